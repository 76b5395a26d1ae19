"""A review of a few procedural clips, and answers to it."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.helpers.taught_clips import taught

from glassine.review.build import build_review
from glassine.review.plan import KeyClip, ReviewKey


def tiny_review(folder: Path, prompts: int = 3, splits: dict[int, str] | None = None, **steps: float) -> ReviewKey:
    """Build one in `folder / "review"`."""
    return build_review(folder / "review", taught(folder / "clips", prompts, splits, **steps))


def answers_of(
    key: ReviewKey, shares: Callable[[KeyClip], bool], trials: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """The answers of an annotator who would share the clips that `shares` says."""
    return [
        {
            "trial": trial,
            "question": "share",
            "chosen": [clip for clip in key.trials[trial].clips if shares(key.clips[clip])],
            "shown": list(key.trials[trial].clips),
            "background": "checker",
            "ms": 2000,
            "time": f"2024-01-01T00:00:{number:02d}Z",
            "session": "a",
        }
        for number, trial in enumerate(key.trials if trials is None else trials)
    ]


def write_answers(path: Path, key: ReviewKey, rater: str, answers: Sequence[dict[str, Any]]) -> Path:
    """The file that the page downloads."""
    header = {"study": key.review, "rater": rater, "form": 0}
    path.write_text("".join(json.dumps(line) + "\n" for line in [header, *answers]), encoding="utf-8")
    return path
