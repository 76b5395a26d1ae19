"""The plan of a study, generated from one seed: trials, questions, prompts, and the key that raters never see."""

from __future__ import annotations

import csv
import itertools
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Literal

from glassine.utils.class_paths import read_yaml
from glassine.utils.errors import UserError
from glassine.utils.files import read_plain, read_plain_text

NAMES = ("prompts.json", "prompts.csv")


def find_prompts(folders: Iterable[Path]) -> Path | None:
    """The first `prompts.json` or `prompts.csv` in the folders."""
    return next((path for folder in folders for name in NAMES if (path := folder / name).is_file()), None)


def read_prompts(path: Path, items: Iterable[str]) -> dict[str, str]:
    """Prompts of the items; those without one are skipped.

    Args:
        path: JSON that maps file names to prompts, or CSV with the columns `file` and `prompt`; file names with or
            without suffix.
        items: names without suffix.

    Raises:
        UserError: unreadable, in another format, or matching none of the items.
    """
    given = _read_prompts(path)
    by_stem = {Path(name).stem: prompt for name, prompt in given.items()} | dict(given)
    prompts = {item: by_stem[item].strip() for item in items if by_stem.get(item, "").strip()}
    if not prompts:
        raise UserError(f"{path} has no prompt for any sticker; its names must match the files")
    return prompts


def _read_prompts(path: Path) -> Mapping[str, str]:
    try:
        text = read_plain_text(path, "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"prompts {path} cannot be read ({error}); give a UTF-8 .json or .csv file") from error
    if path.suffix.lower() == ".csv":
        rows = csv.DictReader(text.splitlines(keepends=True))
        columns = list(rows.fieldnames or ())
        if not {"file", "prompt"} <= set(columns):
            raise UserError(f"{path} has the columns {', '.join(columns)}; 'file' and 'prompt' are needed")
        return {row["file"] or "": row["prompt"] or "" for row in rows}
    try:
        content = json.loads(text)
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}); write {{file name: prompt}}, or give a .csv file") from error
    if not isinstance(content, dict) or not all(isinstance(prompt, str) for prompt in content.values()):
        raise UserError(f"{path} is not a prompt table; write a JSON object {{file name: prompt}}")
    return content


@dataclass(frozen=True)
class Question:
    """One thing that raters compare.

    Attributes:
        name: short name for the report's tables.
        text: text shown on the page; the answer is one of the stickers shown.
    """

    name: str
    text: str


PRESETS: dict[str, tuple[Question, ...]] = {
    # Layer-Animate, section IV: motion dynamics, precision of transparent regions, authenticity of content
    "layer-animate": (
        Question("motion", "Which sticker moves better: livelier, and more like the real thing?"),
        Question("transparency", "Which sticker is cut out more precisely: nothing missing, nothing left over?"),
        Question("authenticity", "Which sticker's content looks more authentic: whole, well formed, believable?"),
    ),
    # ILDiff, section IV, Fig. 4: frame smooth, hole residue
    "ildiff": (
        Question("frame smoothness", "Which sticker is smoother from frame to frame, with less flicker?"),
        Question("hole residue", "Which sticker has cleaner holes: less background left in gaps and openings?"),
    ),
    # VSD2M, "User Preference", Fig. 7: quality, interest
    "vsd2m": (
        Question("quality", "Which sticker has the better quality?"),
        Question("interest", "Which sticker is more interesting?"),
    ),
}


def load_questions(wanted: Sequence[str]) -> tuple[Question, ...]:
    """The questions of presets and files, concatenated.

    Args:
        wanted: names of `PRESETS`, or YAML or JSON files that map each question's name to its text.

    Raises:
        UserError: neither a preset nor such a file, or a duplicate name.
    """
    questions = [question for name in wanted for question in PRESETS.get(name) or _read(Path(name))]
    names = [question.name for question in questions]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"questions must differ, got {twice!r} twice")
    return tuple(questions)


def _read(path: Path) -> tuple[Question, ...]:
    if not path.is_file():
        presets = ", ".join(PRESETS)
        raise UserError(f"questions must be {presets}, or a YAML or JSON file of names and texts, got {path}")
    content = read_yaml(path)
    texts = list(content.items()) if isinstance(content, dict) else []
    if not texts or not all(isinstance(part, str) and part.strip() for pair in texts for part in pair):
        raise UserError(f"{path} contains no questions; write one `name: question` line for each, all of it text")
    return tuple(Question(name.strip(), text.strip()) for name, text in texts)


KEY_NAME = "key.json"
ANSWERS_NAME = "answers"
SITE_NAME = "site"


@dataclass(frozen=True)
class Clip:
    """The method and item of a clip on the page."""

    method: str
    item: str


@dataclass(frozen=True)
class KeyTrial:
    """A trial's item and clips, and the id of the trial it repeats."""

    item: str
    clips: tuple[str, ...]
    repeats: str | None = None


@dataclass(frozen=True)
class StudyKey:
    """The key of a study, for its owner only.

    Attributes:
        study: id, which changes with anything that raters see.
        title: of the page.
        show: `pairs` or `all`.
        forms: number of orders of the page.
        seed: random seed.
        methods: name to folder.
        questions: in the page's order.
        clips: file name, without suffix, to its method and item.
        trials: id to what is compared.
        skipped: item to the reason for skipping it.
        notes: `METHOD/FILE` to what differs from the file, such as its timing.
        version: of glassine.
        date: of the build, UTC.
    """

    study: str
    title: str
    show: str
    forms: int
    seed: int
    methods: Mapping[str, str]
    questions: tuple[Question, ...]
    clips: Mapping[str, Clip]
    trials: Mapping[str, KeyTrial]
    skipped: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    version: str = ""
    date: str = ""

    def save(self, folder: Path) -> None:
        """Write `key.json`."""
        (folder / KEY_NAME).write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load_key(folder: Path) -> StudyKey:
    """Read the key of a study's folder.

    Raises:
        UserError: there is no study, or its key is corrupt.
    """
    path = folder / KEY_NAME
    if not path.is_file():
        raise UserError(f"{folder} contains no study ({KEY_NAME} is missing); give a folder written by `study build`")
    try:
        content = json.loads(read_plain(path))
        content["questions"] = tuple(Question(**question) for question in content["questions"])
        content["clips"] = {name: Clip(**clip) for name, clip in content["clips"].items()}
        content["trials"] = {
            name: KeyTrial(trial["item"], tuple(trial["clips"]), trial["repeats"])
            for name, trial in content["trials"].items()
        }
        return StudyKey(**content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} is corrupt ({error}); restore it, or build the study again") from error


Show = Literal["pairs", "all"]
FORMS = 16
"""Number of orders, assigned to raters in turn. Neighbors show the same pairs with sides swapped."""

_DRAWS = 40


@dataclass(frozen=True)
class Trial:
    """One comparison of stickers of the same item.

    Attributes:
        id: id used by pages and answers; it reveals neither item nor methods.
        item: name of the files.
        methods: methods shown, in the order of the command line.
        repeats: id of the trial repeated with sides swapped, as an attention check.
    """

    id: str
    item: str
    methods: tuple[str, ...]
    repeats: str | None = None


@dataclass(frozen=True)
class Showing:
    """A trial as shown in one form: `methods` from left to right."""

    trial: Trial
    methods: tuple[str, ...]


Form = tuple[Showing, ...]


def most_trials(items: int, methods: int, show: Show) -> int:
    """Number of possible comparisons for the given items and methods."""
    return items * (math.comb(methods, 2) if show == "pairs" else 1)


def make_trials(
    items: Sequence[str], methods: Sequence[str], show: Show, count: int | None, checks: int, seed: int
) -> list[Trial]:
    """Choose balanced comparisons: counts of items, and of pairs of methods, differ by at most one.

    Args:
        items: names.
        methods: at least two.
        show: two methods at a time, or all of them.
        count: number of trials without the checks; None for all.
        checks: number of trials repeated with sides swapped.
        seed: random seed.

    Raises:
        UserError: too many trials or checks.
    """
    pairs = list(itertools.combinations(methods, 2)) if show == "pairs" else [tuple(methods)]
    most = most_trials(len(items), len(methods), show)
    number = most if count is None else count
    if not 1 <= number <= most:
        raise UserError(
            f"--pairs must be in [1, {most}] for {len(items)} stickers of {len(methods)} methods, got {number}"
        )
    if not 0 <= checks <= number:
        raise UserError(f"--checks must be in [0, {number}], since each repeats a comparison, got {checks}")
    lot = Random(f"trials {seed}")
    items, pairs = lot.sample(list(items), len(items)), lot.sample(pairs, len(pairs))
    # walking along the diagonals, shifted by one after each cycle, visits every item with every pair exactly once
    round_length = math.lcm(len(items), len(pairs))
    trials = [
        Trial("", items[step % len(items)], pairs[(step + step // round_length) % len(pairs)]) for step in range(number)
    ]
    ids = lot.sample([f"t{place}" for place in range(number + checks)], number + checks)
    trials = [replace(trial, id=name) for trial, name in zip(trials, ids, strict=False)]
    repeated = lot.sample(trials, checks)
    trials += [replace(trial, id=name, repeats=trial.id) for trial, name in zip(repeated, ids[number:], strict=True)]
    return sorted(trials, key=lambda trial: int(trial.id[1:]))


def make_forms(trials: Sequence[Trial], seed: int, forms: int = FORMS) -> list[Form]:
    """Draw the forms.

    In each, every method of a pair is on the left as often as on the right, up to one; form 1 has the sides of form 0
    swapped, 3 those of 2, and so on. Each form has its own order, in which a check and the trial it repeats are far
    apart.
    """
    drawn = list[Form]()
    for number in range(forms):
        lot = Random(f"form {number} {seed}")
        if number % 2:
            sides = {showing.trial.id: showing.methods[::-1] for showing in drawn[-1]}
        else:
            sides = _sides(trials, lot)
        drawn.append(tuple(Showing(trial, sides[trial.id]) for trial in _order(trials, lot)))
    return drawn


def _sides(trials: Sequence[Trial], lot: Random) -> dict[str, tuple[str, ...]]:
    groups = defaultdict[tuple[str, ...], list[Trial]](list)
    for trial in trials:
        if trial.repeats is None:
            groups[trial.methods].append(trial)
    sides = dict[str, tuple[str, ...]]()
    for methods, group in groups.items():
        order = methods
        for place, trial in enumerate(lot.sample(group, len(group))):
            order = order[::-1] if place % 2 else tuple(lot.sample(methods, len(methods)))
            sides[trial.id] = order
    return sides | {trial.id: sides[trial.repeats][::-1] for trial in trials if trial.repeats is not None}


def _order(trials: Sequence[Trial], lot: Random) -> list[Trial]:
    """Of several random orders, the one whose checks are farthest from the trials they repeat."""
    draws = [lot.sample(list(trials), len(trials)) for _ in range(_DRAWS if any(t.repeats for t in trials) else 1)]

    def nearest(draw: list[Trial]) -> int:
        place = {trial.id: number for number, trial in enumerate(draw)}
        return min((abs(place[t.id] - place[t.repeats]) for t in draw if t.repeats is not None), default=0)

    return max(draws, key=nearest)
