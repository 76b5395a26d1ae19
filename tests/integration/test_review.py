"""`glassine review` from clips to shards, through the command line."""

import json
import re
from pathlib import Path

import pytest
from tests.helpers.taught_clips import taught
from tests.helpers.tiny_review import answers_of, write_answers

from glassine.__main__ import main
from glassine.data.shards import StickerShards
from glassine.review.plan import load_key


def review(*arguments: object) -> int:
    return main(["review", *map(str, arguments)])


@pytest.fixture
def built(tmp_path: Path) -> Path:
    taught(tmp_path / "clips", prompts=3, splits={2: "test"}, calm=0.0, lively=6.0)
    assert review("build", tmp_path / "clips", tmp_path / "out", "--quiet") == 0
    return tmp_path / "out"


def test_people_choose_and_what_they_chose_is_exported(built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    key = load_key(built)
    for name in ("anna", "ben"):
        write_answers(built / "answers" / f"{name}.jsonl", key, name, answers_of(key, lambda c: c.teacher == "lively"))
    assert review("report", built, "--resamples", 50) == 0
    report = capsys.readouterr().out
    assert re.search(r"\| lively +\| +100\.0% ", report)
    assert "Krippendorff's alpha 1.00" in report
    assert json.loads((built / "report.json").read_text())["agreement"]["alpha"] == 1
    assert (built / "report.md").read_text() == report

    assert review("export", built, tmp_path / "shards") == 0
    assert "2 of 3 chosen clips\n  left out, of the test split: 1" in capsys.readouterr().out
    shards = StickerShards(tmp_path / "shards")
    assert [shards.key(row) for row in range(len(shards))] == ["p0-lively-0", "p1-lively-0"]


def test_where_nobody_is_at_hand_the_proxy_chooses_and_says_so(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    lax = ("--max-motion", 1, "--max-caption-drop", 2, "--min-still-agreement", -1, "--max-loop-gap", 9)
    assert review("choose", built, "--max-flicker", 999, *lax) == 0
    told = capsys.readouterr().err
    assert "3 of 6 clips chosen" in told
    assert "min_motion: 3" in told
    assert "near copies of training data are not looked for" in told
    assert review("report", built, "--resamples", 50) == 0
    assert "No people chose" in capsys.readouterr().out
    assert review("export", built, tmp_path / "shards") == 2
    assert "no people have answered, only the proxy" in capsys.readouterr().err
    assert review("export", built, tmp_path / "shards", "--by", "proxy") == 0
    assert "no people chose" in capsys.readouterr().out
    assert len(StickerShards(tmp_path / "shards")) == 2


def test_bad_input_is_told_in_one_line_and_loses_nothing(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    key = load_key(built)
    kept = write_answers(built / "answers" / "anna.jsonl", key, "anna", answers_of(key, lambda clip: False))
    twin = write_answers(tmp_path / "b.jsonl", key, "anna", answers_of(key, lambda clip: True))
    before = kept.read_bytes()
    (tmp_path / "clips/clips/p0-calm-0.webp").unlink()
    for arguments, says in (
        (("build", tmp_path / "clips", tmp_path / "new"), "lacks 1 files of its manifest: clips/p0-calm-0.webp"),
        (("build", tmp_path, tmp_path / "new"), "must be the manifest of a folder of clips"),
        (("report", tmp_path), "is no review"),
        (("report", built, "--answers", kept, twin), "annotators must have different names"),
        (("report", built, "--resamples", "0"), "--resamples must be in"),
        (("export", built, tmp_path / "shards"), "nothing was chosen"),
        (("export", built, tmp_path / "shards", "--min-share", "2"), "min_share must be in (0, 1], got 2"),
        (("choose", built, "--min-motion", "2"), "min_motion must be at most max_motion"),
        (("choose", built, "--train", tmp_path / "nowhere"), "nowhere"),
    ):
        assert review(*arguments) == 2, arguments
        error = capsys.readouterr().err.strip().splitlines()
        assert says in error[-1], arguments
    assert kept.read_bytes() == before
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "shards").exists()
