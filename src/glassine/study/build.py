"""Build a study for raters from folders of stickers.

Stickers are re-encoded as animated WebP, on the chosen backgrounds, under names that do not reveal the method.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from glassine import __version__
from glassine.data.codecs import create_sticker, open_sticker
from glassine.study.plan import (
    ANSWERS_NAME,
    PRESETS,
    SITE_NAME,
    Clip,
    KeyTrial,
    Question,
    Show,
    StudyKey,
    make_forms,
    make_trials,
    most_trials,
)
from glassine.study.site import CLIPS_NAME, Item, page_plan, write_page
from glassine.utils.colors import named_color
from glassine.utils.errors import UserError
from glassine.utils.files import atomic_path

CHECKER = "checker"


def parse_backgrounds(names: Iterable[str]) -> tuple[str, ...]:
    """`checker` and colors as `#rrggbb`, in the order given, each once.

    Args:
        names: `checker`, CSS color names, or colors as `#rrggbb` or `rrggbb`.

    Raises:
        UserError: no background, or one that is neither.
    """
    parsed = tuple(dict.fromkeys(_parse(name) for name in names))
    if not parsed:
        raise UserError("backgrounds must be checker, white, black or '#rrggbb', got none")
    return parsed


def _parse(name: str) -> str:
    if name.lower() == CHECKER:
        return CHECKER
    if (color := named_color(name)) is not None:
        return "#{:02x}{:02x}{:02x}".format(*color)
    raise UserError(f"background must be checker, white, black, a CSS color name, or '#rrggbb', got {name}")


def write_clip(source: Path, target: Path) -> tuple[str, ...]:
    """Re-encode `source` as a WebP that loops forever, with identical visible pixels.

    All stickers are re-encoded, even those that a browser could show: a format, a comment in the file or the colors
    of invisible pixels could reveal the method.

    Returns:
        A note on what differs from the file, such as its timing.

    Raises:
        UserError: the file is corrupt or unreadable.
    """
    with open_sticker(source) as reader, create_sticker(target, reader.width, reader.height) as writer:
        for frame, duration in reader:
            frame[frame[..., 3] == 0] = 0
            writer.append(frame, duration)
    return (*reader.notes, *writer.notes)


def clip_names(items: Iterable[Item], seed: int) -> dict[tuple[str, str], str]:
    """A sixteen-letter name for each method and item.

    The names are derived from the bytes of all source files, which raters do not have, so that nobody can reconstruct
    them by guessing; the same files and seed give the same names.
    """
    items = list(items)
    secret = hashlib.blake2b(str(seed).encode())
    for item in items:
        for method, path in item.files.items():
            secret.update(f"\0{method}\0{item.name}\0".encode())
            for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                if file.is_file():
                    with file.open("rb") as stream:
                        secret.update(hashlib.file_digest(stream, "blake2b").digest())
    key = secret.digest()
    return {
        (method, item.name): hashlib.blake2b(f"{method}\0{item.name}".encode(), key=key, digest_size=8).hexdigest()
        for item in items
        for method in item.files
    }


@dataclass(frozen=True)
class StudyDesign:
    """Design of a study.

    Attributes:
        questions: questions asked for each comparison.
        backgrounds: `checker` or `#rrggbb`.
        show: two methods at a time, or all at once to choose the best.
        pairs: number of comparisons, without the checks; None for all.
        checks: number of comparisons shown twice with sides swapped.
        ties: whether "no difference" is an answer; the papers let raters choose only a best one.
        title: title of the page.
        seed: random seed.
    """

    questions: tuple[Question, ...] = PRESETS["layer-animate"]
    backgrounds: tuple[str, ...] = ("checker", "#ffffff", "#000000")
    show: Show = "pairs"
    pairs: int | None = None
    checks: int = 0
    ties: bool = True
    title: str = "Sticker study"
    seed: int = 0


def build_study(
    out: Path,
    methods: Mapping[str, Path],
    items: Sequence[Item],
    prompts: Mapping[str, str],
    design: StudyDesign,
    advance: Callable[[], None] = lambda: None,
) -> StudyKey:
    """Write the folder `out`: `site` for raters, `key.json` and `answers` next to it.

    Args:
        out: a new or empty folder.
        methods: name to folder.
        items: items that all methods have; those with a corrupt sticker are skipped and named in the key.
        prompts: item to its prompt.
        design: design of the study.
        advance: called after each of the clips.

    Raises:
        UserError: nothing to show, too many comparisons requested, or `out` cannot be written.
    """
    most = most_trials(len(items), len(methods), design.show)
    # reject impossible numbers before minutes of work
    make_trials([item.name for item in items], list(methods), design.show, design.pairs, design.checks, design.seed)
    names = clip_names(items, design.seed)
    with atomic_path(out) as folder:
        clips = folder / SITE_NAME / CLIPS_NAME
        clips.mkdir(parents=True)
        (folder / ANSWERS_NAME).mkdir()
        skipped, notes = _write_clips(items, names, clips, advance)
        kept = [item.name for item in items if item.name not in skipped]
        if not kept:
            first = next(iter(skipped.values()))
            raise UserError(f"none of {len(items)} stickers can be shown by all methods; the first one: {first}")
        pairs = min(design.pairs or most, most_trials(len(kept), len(methods), design.show))
        trials = make_trials(kept, list(methods), design.show, pairs, min(design.checks, pairs), design.seed)
        forms = make_forms(trials, design.seed)
        plan = page_plan(design.title, design.questions, design.backgrounds, design.ties, trials, forms, names, prompts)
        write_page(folder / SITE_NAME, plan)
        key = StudyKey(
            study=plan["id"],
            title=design.title,
            show=design.show,
            forms=len(forms),
            seed=design.seed,
            methods={method: str(path) for method, path in methods.items()},
            questions=design.questions,
            clips={name: Clip(method, item) for (method, item), name in names.items() if item not in skipped},
            trials={
                trial.id: KeyTrial(trial.item, tuple(page["clips"]), trial.repeats)
                for trial, page in zip(trials, plan["trials"], strict=True)
            },
            skipped=skipped,
            notes=notes,
            version=__version__,
            date=datetime.now(UTC).isoformat(timespec="minutes"),
        )
        key.save(folder)
    return key


def _write_clips(
    items: Sequence[Item], names: Mapping[tuple[str, str], str], folder: Path, advance: Callable[[], None]
) -> tuple[dict[str, str], dict[str, str]]:
    """Write all clips, except for items with a corrupt one; returns the reasons by item, and notes by file."""
    notes = dict[str, str]()

    def write(job: tuple[str, str, str, Path]) -> tuple[str, str] | None:
        name, item, method, source = job
        try:
            if told := write_clip(source, folder / f"{name}.webp"):
                notes[f"{method}/{source.name}"] = "; ".join(told)
        except UserError as error:
            return item, str(error)
        finally:
            advance()
        return None

    # in the order of their names, so that file dates reveal nothing either
    jobs = sorted(
        (names[method, item.name], item.name, method, path) for item in items for method, path in item.files.items()
    )
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        reasons = sorted(failed for failed in pool.map(write, jobs) if failed is not None)
    skipped = dict(reasons)
    for name, item, method, source in jobs:
        if item in skipped:
            (folder / f"{name}.webp").unlink(missing_ok=True)
            notes.pop(f"{method}/{source.name}", None)
    return skipped, dict(sorted(notes.items()))
