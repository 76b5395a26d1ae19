"""The key of a review, which annotators never see, and the orders in which they see the clips."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

from glassine.review.clips import Teacher
from glassine.study.plan import FORMS
from glassine.utils.errors import UserError
from glassine.utils.files import read_plain

KEY_NAME = "key.json"
STILLS_NAME = "stills"
MOST_CLIPS = 9  # of a prompt: each has a digit


@dataclass(frozen=True)
class KeyClip:
    """A clip of the page: the trial that shows it, its teacher and its seed."""

    trial: str
    teacher: str
    seed: int


@dataclass(frozen=True)
class KeyTrial:
    """What one page shows: a prompt with its still and clips.

    Attributes:
        prompt: id of the manifest.
        caption: English.
        caption_zh: Chinese, or None.
        still: its file name, without suffix.
        group: of the still.
        split: of the group.
        source: where the still came from.
        licence: of the still.
        clips: their file names, without suffix, sorted.
    """

    prompt: str
    caption: str
    caption_zh: str | None
    still: str
    group: str
    split: str
    source: str
    licence: str
    clips: tuple[str, ...]


@dataclass(frozen=True)
class ReviewKey:
    """The key of a review, for its owner only.

    Attributes:
        review: id, which changes with anything that annotators see.
        title: of the page.
        forms: number of orders of the page.
        seed: of the orders and of the clips' names.
        frames: of every clip.
        size: height and width of every clip, pixels.
        fps: of every clip.
        teachers: by name, with weights and recipe.
        clips: file name, without suffix, to what it is.
        trials: id to what it shows.
        version: of glassine.
        date: of the build, UTC.
    """

    review: str
    title: str
    forms: int
    seed: int
    frames: int
    size: tuple[int, int]
    fps: float
    teachers: Mapping[str, Teacher]
    clips: Mapping[str, KeyClip]
    trials: Mapping[str, KeyTrial]
    version: str = ""
    date: str = ""

    def save(self, folder: Path) -> None:
        """Write `key.json`."""
        (folder / KEY_NAME).write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load_key(folder: Path) -> ReviewKey:
    """Read the key of a review's folder.

    Raises:
        UserError: there is no review, or its key is damaged.
    """
    path = folder / KEY_NAME
    if not path.is_file():
        raise UserError(f"{folder} is no review ({KEY_NAME} is missing): give a folder written by `review build`")
    try:
        content = json.loads(read_plain(path))
        content["size"] = tuple(content["size"])
        content["teachers"] = {name: Teacher(**teacher) for name, teacher in content["teachers"].items()}
        content["clips"] = {name: KeyClip(**clip) for name, clip in content["clips"].items()}
        content["trials"] = {
            name: KeyTrial(**{**trial, "clips": tuple(trial["clips"])}) for name, trial in content["trials"].items()
        }
        return ReviewKey(**content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({error}): restore it, or build the review again") from error


def draw_forms(counts: Sequence[int], seed: int, forms: int = FORMS) -> list[list[list[int]]]:
    """Draw the orders of the page; annotators get them in turn.

    Each has its own order of the prompts. Of `n` annotators in a row, where `n` is the number of a prompt's clips, each
    clip stands once in every place: a random order is turned by one place from annotator to annotator.

    Args:
        counts: number of clips of each prompt.
        seed: random seed.
        forms: how many.

    Returns:
        For each form, prompts in their order: the number of the prompt, then those of its clips.
    """
    drawn = list[list[list[int]]]()
    for number in range(forms):
        order = list(range(len(counts)))
        Random(f"prompts {number} {seed}").shuffle(order)
        drawn.append([[prompt, *_clips(prompt, counts[prompt], number, seed)] for prompt in order])
    return drawn


def _clips(prompt: int, count: int, form: int, seed: int) -> list[int]:
    clips = list(range(count))
    Random(f"clips {prompt} {form // count} {seed}").shuffle(clips)
    turn = form % count
    return clips[turn:] + clips[:turn]
