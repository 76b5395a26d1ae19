"""A clip of a review and the teacher that made it: what is known about them, and which values are allowed.

The folder that they lie in is read by `glassine.review.manifest`, which gives the format.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any

from glassine.data.sticker import SPLITS
from glassine.study.site import shortened
from glassine.utils.errors import UserError, printable

_MOST_PROMPT, _MOST_TEACHER = 80, 40  # letters; both stand in file names
_PROMPT = re.compile(f"[A-Za-z0-9_-]{{1,{_MOST_PROMPT}}}")
_TEACHER = re.compile(f"[A-Za-z0-9_-]{{1,{_MOST_TEACHER}}}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MOST_SEED = 2**32 - 1
_SHARED = ("caption", "caption_zh", "still", "group", "split", "source", "licence")


@dataclass(frozen=True)
class Teacher:
    """A network that made clips.

    Attributes:
        weights: SHA-256 of its file of weights, 64 hexadecimal digits.
        recipe: how it was trained, JSON values; not empty.
    """

    weights: str
    recipe: Mapping[str, Any]


@dataclass(frozen=True)
class ReviewClip:
    """One clip of one prompt by one teacher.

    Attributes:
        prompt: id, 1 to 80 letters, digits, `-` and `_`.
        caption: English.
        caption_zh: Chinese, or None.
        still: path of the still, relative to the folder, with `/`.
        teacher: name, 1 to 40 letters, digits, `-` and `_`.
        seed: of the sampling.
        file: path of the clip, relative to the folder, with `/`.
        group: of the still; near-duplicates share one, and so a split.
        split: `train`, `val` or `test`.
        source: where the still came from.
        licence: of the still.
    """

    prompt: str
    caption: str
    caption_zh: str | None
    still: str
    teacher: str
    seed: int
    file: str
    group: str
    split: str
    source: str
    licence: str

    @property
    def name(self) -> str:
        """`PROMPT-TEACHER-SEED`, the stem of the file."""
        return f"{self.prompt}-{self.teacher}-{self.seed}"


def parse_teacher(name: object, content: object) -> Teacher:
    """A teacher from JSON values.

    Raises:
        UserError: a name that is not allowed, no digest of its weights, or no recipe.
    """
    if not isinstance(name, str) or not _TEACHER.fullmatch(name):
        raise UserError(
            f"teacher must be named by 1 to {_MOST_TEACHER} letters, digits, '-' and '_', got {str(name)[:60]!r}"
        )
    given = as_mapping(content, f"teacher {name}")
    weights, recipe = given.get("weights"), given.get("recipe")
    if not isinstance(weights, str) or not _DIGEST.fullmatch(weights):
        raise UserError(
            f"teacher {name}: weights must be a SHA-256 of 64 hexadecimal digits, got {str(weights)[:80]!r}"
        )
    if not isinstance(recipe, Mapping) or not recipe:
        raise UserError(
            f"teacher {name} must come with its recipe, got {str(recipe)[:80]!r}: without it nobody can tell what was "
            "chosen from; keep config.yaml next to its weights and make the clips again"
        )
    return Teacher(weights, dict(recipe))


def check_clips(clips: Sequence[ReviewClip], teachers: Mapping[str, Teacher], where: str) -> None:
    """Raise UserError where clips do not fit together.

    Every prompt needs as many clips by each teacher; one prompt has one caption, still, group and split, and one group
    is in one split only.
    """
    if not clips:
        raise UserError(f"{where} must have clips, got none: finish `glassine teach`")
    for clip in clips:
        if clip.teacher not in teachers:
            known = ", ".join(teachers) or "none"
            raise UserError(f"{where}: teachers must be among {known}, got {clip.teacher!r} of clip {clip.name}")
    for what, names in (("clips", [clip.name for clip in clips]), ("files", [clip.file for clip in clips])):
        name, count = Counter(names).most_common(1)[0]
        if count > 1:
            raise UserError(f"{where}: {what} must differ, got {name} {count} times")
    first, split_of_group = dict[str, ReviewClip](), dict[str, str]()
    for clip in clips:
        check_prompt(first.setdefault(clip.prompt, clip), clip, where)
        if split_of_group.setdefault(clip.group, clip.split) != clip.split:
            raise UserError(
                f"{where}: group {clip.group!r} must be in one split, got {split_of_group[clip.group]} and {clip.split}"
            )
    counts = Counter((clip.prompt, clip.teacher) for clip in clips)
    for prompt in first:
        most = max(counts[prompt, teacher] for teacher in teachers)
        lacking = [f"{teacher} ({counts[prompt, teacher]})" for teacher in teachers if counts[prompt, teacher] < most]
        if lacking:
            raise UserError(
                f"{where}: prompt {prompt} must have {most} clips by each teacher, got fewer by {shortened(lacking)}: "
                "clips are missing; run `glassine teach` again, which makes those that are"
            )


def check_prompt(one: ReviewClip, other: ReviewClip, where: str) -> None:
    """Raise UserError where two clips of one prompt differ in what is the prompt's."""
    for name in _SHARED:
        got = getattr(one, name), getattr(other, name)
        if got[0] != got[1]:
            raise UserError(f"{where}: prompt {one.prompt} must have one {name}, got {got[0]!r} and {got[1]!r}")


def parse_clip(row: object, number: int, path: Path) -> ReviewClip:
    """Row `number` of the clips in the manifest at `path`.

    Raises:
        UserError: it is no object, lacks fields, or has values that are not allowed.
    """
    where = f"{path}: clip {number}"
    given = as_mapping(row, where)
    names = {field.name for field in fields(ReviewClip)}
    if lacking := sorted(names - given.keys() - {"caption_zh"}):
        raise UserError(f"{where} must have {', '.join(lacking)}, got {', '.join(sorted(map(str, given)))[:200]}")
    values = {name: given.get(name) for name in names}
    return checked_clip(values, where)


def clip_row(prompt: str, teacher: str, seed: int, about: Mapping[str, Any]) -> dict[str, Any]:
    """A clip as the manifest has it: its files are named by prompt, teacher and seed."""
    files = {"still": f"stills/{prompt}.png", "file": f"clips/{prompt}-{teacher}-{seed}.webp"}
    return {"prompt": prompt, "teacher": teacher, "seed": seed, **about, **files}


def checked_clip(values: Mapping[str, Any], where: str) -> ReviewClip:
    """A clip whose fields have the right types and ranges.

    Raises:
        UserError: they have not, or a path leaves the folder.
    """
    texts = [name for name in values if name not in ("seed", "caption_zh")]
    for name in texts:
        if not isinstance(values[name], str):
            raise UserError(f"{where}: {name} must be text, got {values[name]!r}")
    for name in ("caption", "group"):
        if not values[name].strip():
            raise UserError(f"{where}: {name} must not be empty")
    if values["caption_zh"] is not None and not isinstance(values["caption_zh"], str):
        raise UserError(f"{where}: caption_zh must be text or null, got {values['caption_zh']!r}")
    for name, pattern, most in (("prompt", _PROMPT, _MOST_PROMPT), ("teacher", _TEACHER, _MOST_TEACHER)):
        if not pattern.fullmatch(values[name]):
            raise UserError(
                f"{where}: {name} must be 1 to {most} letters, digits, '-' and '_', got {values[name][:60]!r}"
            )
    if not is_whole(values["seed"]) or not 0 <= values["seed"] <= _MOST_SEED:
        raise UserError(f"{where}: seed must be in [0, {_MOST_SEED}], got {values['seed']!r}")
    if values["split"] not in SPLITS:
        raise UserError(f"{where}: split must be one of {', '.join(SPLITS)}, got {values['split']!r}")
    for name in ("still", "file"):
        inside = PurePosixPath(values[name])
        if (
            inside.is_absolute()
            or ".." in inside.parts
            or not inside.parts
            or "\\" in values[name]
            or ":" in values[name]
        ):
            raise UserError(f"{where}: {name} must be a path inside the folder, got {printable(values[name])[:200]!r}")
    return ReviewClip(**values)


def is_whole(value: object) -> bool:
    """Whether a JSON value is a whole number; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def as_mapping(value: object, where: str) -> Mapping[str, Any]:
    """A JSON object; raises UserError where the value is of another type."""
    if not isinstance(value, dict):
        raise UserError(f"{where} must be an object, got {type(value).__name__}")
    return value
