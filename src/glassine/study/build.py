"""Build a study that raters can open from folders of stickers.

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

from PIL import ImageColor

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
from glassine.study.server import CLIPS_NAME, Item, page_plan, write_page
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
    for spelling in (name, f"#{name}"):
        try:
            red, green, blue = ImageColor.getrgb(spelling)[:3]
        except ValueError:
            continue
        return f"#{red:02x}{green:02x}{blue:02x}"
    raise UserError(f"background must be checker, white, black, any CSS color name, or '#rrggbb', got {name}")


def write_clip(source: Path, target: Path) -> tuple[str, ...]:
    """Write `source` again as WebP that plays for ever, each visible pixel as it was.

    All stickers are written again, also those that a browser could show: a format, a comment in the file or the colors
    of invisible pixels may tell which method it came from.

    Returns:
        What is shown otherwise than the file says, such as its timing.

    Raises:
        UserError: damaged or unreadable.
    """
    with open_sticker(source) as reader, create_sticker(target, reader.width, reader.height) as writer:
        for frame, duration in reader:
            frame[frame[..., 3] == 0] = 0
            writer.append(frame, duration)
    return (*reader.notes, *writer.notes)


def clip_names(items: Iterable[Item], seed: int) -> dict[tuple[str, str], str]:
    """Method and item to a name of sixteen letters.

    The names come from the bytes of all source files, which raters do not have, so that nobody can work them out from
    guessed names; the same files and seed give the same names.
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
    """How a study is made.

    Attributes:
        questions: what is asked of each comparison.
        backgrounds: `checker` or `#rrggbb`.
        show: two methods at a time, or all at once, of which the best is chosen.
        pairs: how many comparisons, without the checks; None for all.
        checks: how many comparisons come twice with sides swapped.
        ties: whether "no difference" is an answer; the papers let raters choose only a best one.
        title: of the page.
        seed: of the lot.
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
    """Write the folder `out`: `site` for raters, `key.json` and `answers` beside it.

    Args:
        out: a new or empty folder.
        methods: name to folder.
        items: what all methods have; those with a damaged sticker are left out and named in the key.
        prompts: item to what it was asked to show.
        design: how it is made.
        advance: called after each of the clips.

    Raises:
        UserError: nothing left to show, more comparisons asked for than there are, or `out` cannot be written.
    """
    most = most_trials(len(items), len(methods), design.show)
    # numbers that cannot be are refused before minutes of work
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
    """Write all clips but those of items with a damaged one: the reason by item; and what is to be told, by file."""
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

    # in the order of their names, so that the files' dates tell nothing either
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
