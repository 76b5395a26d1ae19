"""Clips and teachers of a review: values that are not allowed, and clips that do not fit together, are told."""

from dataclasses import replace
from typing import Any

import pytest

from glassine.review.clips import ReviewClip, Teacher, check_clips, checked_clip, clip_row, parse_teacher
from glassine.utils.errors import UserError

ABOUT = {"caption": "a ball", "caption_zh": None, "group": "ball", "split": "train", "source": "x", "licence": "MIT"}
TEACHERS = {name: Teacher("a" * 64, {"data": name}) for name in ("calm", "lively")}


def clips(prompt: str) -> list[ReviewClip]:
    """A clip of the prompt by each teacher."""
    return [checked_clip(clip_row(prompt, teacher, 0, ABOUT), "here") for teacher in TEACHERS]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"file": "../outside.webp"}, "file must be a path inside the folder"),
        ({"still": "/etc/passwd"}, "still must be a path inside the folder"),
        ({"file": "C:\\clip.webp"}, "file must be a path inside the folder"),
        ({"seed": -1}, "seed must be in"),
        ({"seed": True}, "seed must be in"),
        ({"split": "all"}, "split must be one of train, val, test"),
        ({"prompt": "../p0"}, "prompt must be 1 to 80 letters"),
        ({"caption": " "}, "caption must not be empty"),
        ({"caption_zh": 1}, "caption_zh must be text or null"),
    ],
)
def test_a_clip_has_values_that_are_allowed(values: dict[str, Any], says: str):
    row = clip_row("p0", "calm", 0, ABOUT)
    assert checked_clip(row, "here").name == "p0-calm-0"
    with pytest.raises(UserError, match=says):
        checked_clip(row | values, "here")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"weights": "a" * 64}, "teacher calm must come with its recipe"),
        ({"weights": "a", "recipe": {"a": 1}}, "weights must be a SHA-256"),
        ([], "teacher calm must be an object, got list"),
    ],
)
def test_a_teacher_has_weights_and_a_recipe(content: object, says: str):
    with pytest.raises(UserError, match=says):
        parse_teacher("calm", content)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"teacher": "other"}, "teachers must be among calm, lively, got 'other'"),
        ({"caption": "another"}, "prompt p0 must have one caption"),
        ({"prompt": "p9"}, "prompt p9 must have 1 clips by each teacher, got fewer by lively"),
        ({"file": "clips/p0-lively-0.webp"}, "files must differ"),
    ],
)
def test_clips_fit_together(values: dict[str, Any], says: str):
    first, *others = clips("p0")
    check_clips([first, *others], TEACHERS, "here")
    with pytest.raises(UserError, match=says):
        check_clips([replace(first, **values), *others], TEACHERS, "here")


def test_a_group_has_one_split():
    elsewhere = [replace(clip, split="test") for clip in clips("p1")]
    with pytest.raises(UserError, match="group 'ball' must be in one split"):
        check_clips([*clips("p0"), *elsewhere], TEACHERS, "here")
