"""Build a review from a folder of clips: a page for annotators, and a key for its owner.

Clips and stills are written anew under names that do not reveal the teacher, with identical visible pixels.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from glassine import __version__
from glassine.data.codecs import read_sticker, write_sticker
from glassine.data.codecs.timing import whole_durations
from glassine.data.sticker import Sticker
from glassine.review.clips import ReviewClip
from glassine.review.manifest import Manifest
from glassine.review.plan import MOST_CLIPS, STILLS_NAME, KeyClip, KeyTrial, ReviewKey, draw_forms
from glassine.study.build import clip_names
from glassine.study.plan import ANSWERS_NAME, SITE_NAME
from glassine.study.site import CLIPS_NAME, Item, write_page
from glassine.utils.errors import UserError
from glassine.utils.files import atomic_path

STILL = "still"  # in place of a teacher and seed, where files are named
SHARED = ("answer_store.js", "page.js", "player.js", "study.css")
BACKGROUNDS = ("checker", "#ffffff", "#000000")


def build_review(
    out: Path,
    manifest: Manifest,
    title: str = "Which would you share?",
    seed: int = 0,
    backgrounds: Sequence[str] = BACKGROUNDS,
    advance: Callable[[], None] = lambda: None,
) -> ReviewKey:
    """Write the folder `out`: `site` for annotators, `key.json` and `answers` next to it.

    Args:
        out: a new or empty folder.
        manifest: what is reviewed.
        title: of the page.
        seed: of orders and names.
        backgrounds: `checker` or `#rrggbb`; the first one is shown first.
        advance: called after each of the clips.

    Raises:
        UserError: a clip that is damaged or has another length or size, too many clips of one prompt, or a folder that
            cannot be written.
    """
    prompts = manifest.prompts()
    for prompt, clips in prompts.items():
        if len(clips) > MOST_CLIPS:
            raise UserError(
                f"a prompt must have at most {MOST_CLIPS} clips, one for each digit, got {len(clips)} of {prompt}: "
                "review fewer teachers or seeds at a time"
            )
    names = clip_names([_item(manifest, prompt, clips) for prompt, clips in prompts.items()], seed)
    order = list(prompts)
    Random(f"trials {seed}").shuffle(order)
    trials = {
        f"t{number}": _trial(prompts[prompt], {of: name for (of, item), name in names.items() if item == prompt})
        for number, prompt in enumerate(order)
    }
    plan = _page_plan(title, backgrounds, trials, draw_forms([len(one.clips) for one in trials.values()], seed))
    with atomic_path(out) as folder:
        site = folder / SITE_NAME
        for name in (CLIPS_NAME, STILLS_NAME):
            (site / name).mkdir(parents=True)
        (folder / ANSWERS_NAME).mkdir()
        _write_clips(manifest, {clip.name: names[_of(clip), clip.prompt] for clip in manifest.clips}, site, advance)
        _write_stills(manifest, {prompt: names[STILL, prompt] for prompt in prompts}, site)
        write_page(site, plan, "glassine.review", SHARED)
        key = ReviewKey(
            review=plan["id"],
            title=title,
            forms=len(plan["forms"]),
            seed=seed,
            frames=manifest.frames,
            size=manifest.size,
            fps=manifest.fps,
            teachers=manifest.teachers,
            clips={
                names[_of(clip), clip.prompt]: KeyClip(f"t{number}", clip.teacher, clip.seed)
                for number, prompt in enumerate(order)
                for clip in prompts[prompt]
            },
            trials=trials,
            version=__version__,
            date=datetime.now(UTC).isoformat(timespec="minutes"),
        )
        key.save(folder)
    return key


def _of(clip: ReviewClip) -> str:
    return f"{clip.teacher} {clip.seed}"


def _item(manifest: Manifest, prompt: str, clips: Sequence[ReviewClip]) -> Item:
    files = {_of(clip): manifest.folder / clip.file for clip in clips}
    return Item(prompt, {**files, STILL: manifest.folder / clips[0].still})


def _trial(clips: Sequence[ReviewClip], names: Mapping[str, str]) -> KeyTrial:
    one = clips[0]
    return KeyTrial(
        one.prompt,
        one.caption,
        one.caption_zh,
        names[STILL],
        one.group,
        one.split,
        one.source,
        one.licence,
        tuple(sorted(names[_of(clip)] for clip in clips)),
    )


def _page_plan(
    title: str, backgrounds: Sequence[str], trials: Mapping[str, KeyTrial], forms: list[list[list[int]]]
) -> dict[str, Any]:
    """The data of the page, which mentions no teacher, seed, file or group; `id` changes with anything else."""
    plan = {
        "title": title,
        "backgrounds": list(backgrounds),
        "trials": [
            {
                "id": name,
                "caption": without_domain(trial.caption),
                "caption_zh": without_domain(trial.caption_zh or "") or None,
                "still": trial.still,
                "clips": list(trial.clips),
            }
            for name, trial in trials.items()
        ],
        "forms": forms,
    }
    return {"id": hashlib.blake2b(json.dumps(plan).encode(), digest_size=6).hexdigest(), **plan}


def without_domain(caption: str) -> str:
    """A caption as people read it: `Cartoon\\ta cat` is "a cat"."""
    return caption.rpartition("\t")[2].strip()


def _write_clips(manifest: Manifest, names: Mapping[str, str], site: Path, advance: Callable[[], None]) -> None:
    # a whole number of ms as the rate says, the same for all clips
    durations = whole_durations([Fraction(1000) / Fraction(manifest.fps)] * manifest.frames, 1)

    def write(clip: ReviewClip) -> None:
        frames = _hidden_colors_removed(manifest.read(clip).frames)
        write_sticker(Sticker(frames, durations), site / CLIPS_NAME / f"{names[clip.name]}.webp")
        advance()

    # in the order of their names, so that file dates reveal nothing either
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(write, sorted(manifest.clips, key=lambda clip: names[clip.name])))


def _write_stills(manifest: Manifest, names: Mapping[str, str], site: Path) -> None:
    stills = {clip.prompt: clip.still for clip in manifest.clips}
    for prompt, name in names.items():
        still = read_sticker(manifest.folder / stills[prompt])
        frames = _hidden_colors_removed(still.frames[:1])
        write_sticker(Sticker(frames, still.durations[:1]), site / STILLS_NAME / f"{name}.png")


def _hidden_colors_removed(frames: np.ndarray) -> np.ndarray:
    """The same pictures, without colors that nobody sees: they could reveal the teacher."""
    frames = frames.copy()
    frames[frames[..., 3] == 0] = 0
    return frames
