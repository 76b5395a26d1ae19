"""`glassine data` on emoji of several sources, with no network: what is reached is written, what is not is said."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.helpers.drawings import as_dotlottie, as_json, as_tgs, layer, lottie, square, svg

from glassine.__main__ import main
from glassine.data.shards import StickerShards
from glassine.data.sources import noto
from glassine.data.sources import npm as npm_module
from glassine.data.sources.emoji import emoji_group, emoji_split
from glassine.data.sources.world import SOURCES
from glassine.utils.errors import UserError

STEMS = ["1f355", "1f680", "1f984", "1f9c0", "1f9ed", "1fa80"]  # pizza, rocket, ...


def tarball(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def webp(number: int) -> bytes:
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[8 : 20 + 7 * number, 10 : 30 + 5 * number] = [40 * number, 120, 200, 255]
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "WEBP", lossless=True)
    return out.getvalue()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Downloads of two packages and the names; npm itself reaches nothing."""

    def unreachable() -> list[str]:
        raise UserError("npm could not fetch anything (ENOTFOUND)")

    monkeypatch.setattr(npm_module, "npm_command", unreachable)
    folder = tmp_path / "cache"
    folder.mkdir()
    english = [{"hexcode": stem.upper(), "label": f"thing {stem}", "tags": ["thing"]} for stem in STEMS]
    chinese = [{"hexcode": stem.upper(), "label": f"物 {stem}"} for stem in STEMS]
    names = {"en/data.json": json.dumps(english).encode(), "zh/data.json": json.dumps(chinese).encode()}
    tarball(folder / "emojibase-data-17.0.0.tgz", names)
    stills = {f"assets/{stem}.webp": webp(number) for number, stem in enumerate(STEMS)}
    tarball(folder / "lobehub-fluent-emoji-3d-1.1.0.tgz", stills)
    given = tmp_path / "given"
    for number, stem in enumerate(STEMS[:2]):
        (given / stem).mkdir(parents=True)
        moving = lottie([layer(square(20 + 9 * number))], frames=6, fps=60)
        (given / stem / "lottie.json").write_bytes(as_json(moving))
    return tmp_path


def fetch_world(cache: Path, *more: str) -> int:
    where = ["--cache", str(cache / "cache"), "--to", str(cache / "world")]
    return main(["data", "fetch", "world", *where, "--workers", "0", *more])


def test_what_can_be_reached_is_written_and_the_rest_is_named(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rlottie_python")
    assert fetch_world(cache, "--from", str(cache / "given")) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert f"2 of {len(SOURCES)} sources are in" in out
    for name in ("fluent", "fluent-flat", "noto"):
        assert f"missing: {name}: npm could not fetch anything" in out
    assert sorted(path.name for path in (cache / "world").iterdir()) == ["fluent-3d", "noto-animated"]

    shards = StickerShards(cache / "world")
    assert len(shards) == 8
    infos = {shards.key(row): shards.metadata(row) for row in range(8)}
    pizza, moving = infos["fluent-3d-1f355"], infos["noto-animated-1f355"]
    assert (pizza.group, pizza.split) == (moving.group, moving.split)
    assert pizza.caption == "Cartoon\tthing 1f355, 3D"
    assert moving.caption_zh == "Cartoon\t物 1f355，Noto"
    assert (moving.license, moving.num_frames, sum(moving.durations)) == ("CC BY 4.0", 3, 100)
    assert "Google" in moving.attribution
    assert (moving.width, moving.height) == (256, 256)

    assert fetch_world(cache, "--from", str(cache / "given")) == 0  # goes on where it was: nothing is written again
    assert "6 already existed" in " ".join(capsys.readouterr().out.split())


def test_where_nothing_can_be_reached_it_fails(cache: Path, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(*args: object, **settings: object) -> None:
        raise noto.urllib.error.URLError("no route to host")

    monkeypatch.setattr(noto.urllib.request, "urlopen", refuse)
    for tgz in (cache / "cache").glob("*.tgz"):
        tgz.unlink()
    assert fetch_world(cache) == 2
    captured = capsys.readouterr()
    assert "fluent is skipped: npm could not fetch anything" in " ".join(captured.out.split())
    assert captured.err.startswith("glassine: ")


def test_one_source_that_cannot_be_reached_is_an_error(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "fetch", "noto", "--cache", str(cache / "cache"), "--to", str(cache / "noto")]) == 2
    assert "ENOTFOUND" in capsys.readouterr().err
    assert not (cache / "noto").exists()
    assert main(["data", "fetch", "noto", "--from", str(cache / "given")]) == 2
    assert "and world, got it with noto" in capsys.readouterr().err


def test_info_counts_sources_and_says_how_near_the_splits_are(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--cache", str(cache / "cache"), "--to", str(cache / "shards"), "--workers", "0"]
    assert main(["data", "fetch", "fluent-3d", *where]) == 0
    regrouped = cache / "shards"
    given = {"1f355": "test", "1f680": "val"}
    rewrite_splits(regrouped, {f"fluent-3d-{stem}": split for stem, split in given.items()})
    outdated = sum(emoji_split(emoji_group(stem)) != given.get(stem, "train") for stem in STEMS)
    capsys.readouterr()
    assert main(["data", "info", str(regrouped)]) == 0
    out = capsys.readouterr().out
    assert "Fluent Emoji by Microsoft" in out
    assert "fluent-3d" in out
    line = next(line for line in out.splitlines() if "train and test:" in line)
    assert "fluent-3d-1f355" in line
    assert "near-duplicates" not in line
    assert float(line.split(":")[1].split()[0]) < 34
    assert f"{outdated} emoji have groups or splits from a different table; run `glassine data regroup`" in " ".join(
        out.split()
    )
    assert main(["data", "info", str(regrouped), "--compare", "3"]) == 0
    assert "not compared: 6 stickers" in " ".join(capsys.readouterr().out.split())


def rewrite_splits(folder: Path, splits: dict) -> None:
    from glassine.data.shards import regroup_shards

    regroup_shards(folder, lambda info: (info.group, splits.get(info.key, "train")))


def test_twins_in_two_splits_are_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = tmp_path / "files"
    files.mkdir()
    for number, name in enumerate(("a", "b", "c")):
        (files / f"{name}.webp").write_bytes(webp(min(number, 1)))  # b and c are the same
    assert main(["data", "build", "--from", str(files), "--to", str(tmp_path / "shards"), "--workers", "0"]) == 0
    rewrite_splits(tmp_path / "shards", {"c": "test"})
    capsys.readouterr()
    assert main(["data", "info", str(tmp_path / "shards")]) == 0
    assert "train and test: inf dB (b, c): near-duplicates (from 34 dB)" in " ".join(capsys.readouterr().out.split())


def test_groups_are_computed_and_shards_follow_the_table(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--cache", str(cache / "cache"), "--to", str(cache / "shards"), "--workers", "0"]
    stills = {f"assets/{stem}.webp": webp(number // 2) for number, stem in enumerate(STEMS)}  # three pairs of twins
    tarball(cache / "cache" / "lobehub-fluent-emoji-3d-1.1.0.tgz", stills)
    assert main(["data", "fetch", "fluent-3d", *where]) == 0
    table = cache / "groups.json"
    assert main(["data", "groups", str(cache / "shards"), "--to", str(table)]) == 0
    content = json.loads(table.read_text())
    assert content["groups"] == {
        STEMS[0]: " ".join(STEMS[:2]),
        STEMS[2]: " ".join(STEMS[2:4]),
        STEMS[4]: " ".join(STEMS[4:]),
    }
    assert (content["emoji"], content["groups_in_all"], content["stickers"]) == (6, 3, {"fluent-3d": 6})
    assert "6 emoji, 3 alike pairs, 3 groups" in " ".join(capsys.readouterr().out.split())

    rewrite_splits(cache / "shards", dict.fromkeys((f"fluent-3d-{stem}" for stem in STEMS), "test"))
    assert main(["data", "regroup", str(cache / "shards")]) == 0
    shards = StickerShards(cache / "shards")
    expected = [(emoji_group(stem), emoji_split(emoji_group(stem))) for stem in STEMS]
    assert [(shards.group(row), shards.metadata(row).split) for row in range(6)] == expected
    assert main(["data", "groups", str(cache / "shards"), "--to", str(cache / "groups.txt")]) == 2


def test_a_folder_of_drawings_becomes_shards(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rlottie_python")
    pytest.importorskip("resvg_py")
    files = tmp_path / "files"
    files.mkdir()
    (files / "a.svg").write_bytes(svg())
    (files / "b.json").write_bytes(as_json(lottie()))
    (files / "c.tgs").write_bytes(as_tgs(lottie([layer(square(), ef=[{"ty": 21}])])))
    (files / "d.lottie").write_bytes(as_dotlottie(lottie()))
    (files / "e.tgs").write_bytes(as_tgs(lottie())[:40])
    (files / "notes.json").write_bytes(b'{"not": "an animation"}')
    (files / "stickers.csv").write_text("file,description\na.svg,?!\nb.json,a square\n")
    assert (
        main(["data", "build", "--from", str(files), "--to", str(tmp_path / "to"), "--size", "96", "--workers", "0"])
        == 0
    )
    out = " ".join(capsys.readouterr().out.split())
    assert "4 stickers written" in out
    assert "e: e.tgs" in out or "1 corrupt, skipped: e:" in out
    assert "1 are not fully rendered: c: 1 effects" in out
    assert "1 have a description without letters, treated as missing: a: ?!" in out
    shards = StickerShards(tmp_path / "to")
    assert [shards.read(row, [0]).shape for row in range(4)] == [(1, 96, 96, 4)] * 4
    assert shards.metadata(0).caption == "Cartoon\t"
