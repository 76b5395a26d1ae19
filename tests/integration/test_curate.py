"""`glassine curate` on a small crawl, through the command line."""

import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.helpers.small_crawl import small_crawl

from glassine.__main__ import main
from glassine.data.shards import StickerShards

SMALL = """
ocr: null
rows_a_block: 5
describe:
  class_path: glassine.curation.describe.Measured
  init_args: {network: null}
"""


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def contents(dataset: Path) -> dict[str, str]:
    """Digest of every file of a data set but those that only say how far it is."""
    files = [path for path in sorted(dataset.rglob("*")) if path.is_file() and ".work" not in path.parts]
    return {str(p.relative_to(dataset)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory):
    root = tmp_path_factory.mktemp("crawl")
    what = small_crawl(root / "crawl")
    (root / "small.yaml").write_text(SMALL)
    return root, what


def curate(root: Path, to: Path, *more: str) -> int:
    return main(["curate", str(root / "crawl"), "--to", str(to), "-c", str(root / "small.yaml"), *more])


@pytest.fixture(scope="module")
def dataset(crawl, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, _ = crawl
    to = tmp_path_factory.mktemp("made") / "dataset"
    assert curate(root, to, "--no-ray", "--workers", "0") == 0
    return to


def test_every_file_of_a_crawl_is_kept_or_has_a_reason(crawl, dataset: Path) -> None:
    _, what = crawl
    assert {row["at"] for row in rows(dataset / "broken.jsonl")} == set(what["broken"])
    assert {row["at"] for row in rows(dataset / "rejected.jsonl")} == set(what["rejected"])
    kept = {row["at"] for row in rows(dataset / "stickers.jsonl")}
    same = {name for pair in what["same"] for name in pair}
    assert kept - same == set(what["good"]) - same
    assert len(kept & same) == 1
    causes = {row["at"]: row["cause"] for row in rows(dataset / "broken.jsonl")}
    assert causes == {"cut.webp": "damaged or cut off", "empty.gif": "empty", "page.gif": "no image or video"}


def test_words_of_equal_files_are_joined_and_counted(dataset: Path) -> None:
    row = next(row for row in rows(dataset / "stickers.jsonl") if row["at"] == "again.webp")
    assert row["words"] == {"hello": 2, "hi": 1}
    assert (row["copies"], row["license"], row["url"]) == (2, "CC0", "http://example.org/b")


def test_near_copies_share_a_group_and_so_a_split(crawl, dataset: Path) -> None:
    _, what = crawl
    found = {row["at"]: row for row in rows(dataset / "stickers.jsonl")}
    found["s0.webp"] = found["again.webp"]
    for one, other in what["copies"]:
        assert (found[one]["group"], found[one]["split"]) == (found[other]["group"], found[other]["split"])
    assert len({row["group"] for row in found.values()}) == len(found) - 1 - len(what["copies"])
    assert main(["curate", "check", str(dataset)]) == 0


def test_the_result_is_what_every_task_trains_on(dataset: Path) -> None:
    shards = StickerShards(dataset)
    assert len(shards) == len(rows(dataset / "stickers.jsonl"))
    by_key = {row["key"]: row for row in rows(dataset / "stickers.jsonl")}
    for place in range(len(shards)):
        info, row = shards.metadata(place), by_key[shards.key(place)]
        assert (info.split, info.group, info.trigger_words) == (row["split"], row["group"], tuple(row["words"]))
        assert info.num_frames == row["frames"]
        assert info.description
        assert info.description_zh
        assert shards.read(place, [0]).shape[-1] == 4


def test_two_processes_make_the_same_data_set_bit_for_bit(crawl, dataset: Path, tmp_path: Path) -> None:
    root, _ = crawl
    assert curate(root, tmp_path / "again", "--no-ray", "--workers", "2") == 0
    assert contents(tmp_path / "again") == contents(dataset)


def test_a_run_that_was_finished_is_not_done_again(crawl, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, _ = crawl
    before = contents(dataset)
    for stage in ("ingest.Ingest", "describe.Describe", "encode.Encode"):
        monkeypatch.setattr(f"glassine.curation.{stage}.__call__", None)  # would fail if it were called
    assert curate(root, dataset, "--no-ray", "--workers", "0") == 0
    assert contents(dataset) == before


@pytest.mark.full
@pytest.mark.parametrize("stage", ["ingest", "encode"])
def test_a_killed_run_goes_on_after_its_last_finished_block(crawl, dataset: Path, tmp_path: Path, stage: str) -> None:
    root, _ = crawl
    to, results = tmp_path / "ds", tmp_path / "ds" / ".work" / "results"
    where = ["--to", str(to), "-c", str(root / "small.yaml"), "--no-ray", "--workers", "0"]
    command = [sys.executable, "-m", "glassine", "curate", str(root / "crawl"), *where]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while not list((results / stage).glob("*.jsonl")):
            assert process.poll() is None
            time.sleep(0.002)
        process.kill()
    assert not (to / "dataset.json").exists()
    finished = {path: path.stat().st_mtime_ns for path in results.rglob("*.jsonl")}
    assert curate(root, to, "--no-ray", "--workers", "0") == 0
    assert contents(to) == contents(dataset)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished


def test_a_threshold_changes_what_is_left_out(crawl, tmp_path: Path) -> None:
    root, _ = crawl
    assert curate(root, tmp_path / "few", "--no-ray", "--workers", "0", "--min-frames", "2", "--keep", "best") == 0
    reasons = {row["at"]: row["reason"] for row in rows(tmp_path / "few" / "rejected.jsonl")}
    assert reasons["frame.jpg"] == "too few frames"
    assert "duplicate" in reasons.values()
    kept = rows(tmp_path / "few" / "stickers.jsonl")
    assert all(row["frames"] > 1 for row in kept)
    assert len({row["group"] for row in kept}) == len(kept)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--max-aspect", "0.5"], "max_aspect must be at least 1, got 0.5"),
        (["--no-ray", "--ray", "auto"], "exclude each other"),
        (["--frozen", "nothing.json"], "must be a frozen test set"),
        (["--min-frames", "50"], "not one of"),
    ],
)
def test_bad_arguments_are_said(crawl, tmp_path: Path, capsys: pytest.CaptureFixture[str], more, says) -> None:
    root, _ = crawl
    more = more if "--no-ray" in more else [*more, "--no-ray", "--workers", "0"]
    assert curate(root, tmp_path / "bad", *more) == 2
    assert says in capsys.readouterr().err


@pytest.mark.full
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_ray_makes_the_same_data_set_with_one_worker_and_with_two(crawl, dataset, tmp_path: Path, workers: str) -> None:
    pytest.importorskip("ray")
    root, _ = crawl
    assert curate(root, tmp_path / "ray", "--workers", workers, "--object-store", "100") == 0
    assert contents(tmp_path / "ray") == contents(dataset)


def test_the_report_escapes_what_a_crawl_says(dataset: Path, tmp_path: Path) -> None:
    assert main(["data", "report", str(dataset), "--to", str(tmp_path / "report")]) == 0
    page = (tmp_path / "report" / "index.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "javascript:" not in page
    assert "href" not in page
    content = json.loads((tmp_path / "report" / "report.json").read_text())
    counts = content["curation"]["counts"]
    assert counts["files"] == counts["kept"] + counts["repeated"] + 3 + 4
    assert counts["rejected"] == {"aspect ratio": 1, "low entropy": 1, "nothing visible": 1, "too small": 1}
    table = {row[0]: row[1:] for row in content["tables"]["TASD table I: numerical properties"]}
    assert table["Ave Description Length"][0] == "96.25"
    for picture in ("word_cloud.png", "frames.png", "all_entropy.png", "sheets/aspect_ratio.png", "samples/000.webp"):
        assert (tmp_path / "report" / picture).stat().st_size > 500


def test_chosen_test_stickers_stay_out_of_training_with_their_near_copies(crawl, dataset: Path, tmp_path: Path) -> None:
    root, _ = crawl
    frozen = tmp_path / "tests.json"
    assert main(["curate", "freeze", str(dataset), "--set", "VSD-C", "--to", str(frozen), "--first"]) == 0
    chosen = json.loads(frozen.read_text())["stickers"]
    assert {one["word"] for one in chosen} <= {"hello", "hi", "bye", "<script>alert(1)</script>"}
    assert curate(root, tmp_path / "ds", "--no-ray", "--workers", "0", "--frozen", str(frozen)) == 0
    found = rows(tmp_path / "ds" / "stickers.jsonl")
    groups = {one["group"] for one in chosen}
    assert {row["split"] for row in found if row["group"] in groups} == {"test"}
    assert "test" not in {row["split"] for row in found if row["group"] not in groups}
    content = json.loads(frozen.read_text())
    content["stickers"][0]["word"] = "changed"
    frozen.write_text(json.dumps(content))
    assert curate(root, tmp_path / "ds2", "--no-ray", "--workers", "0", "--frozen", str(frozen)) == 2
