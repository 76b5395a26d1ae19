"""What raters are asked, as the papers asked it or in the user's own words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from glassine.descriptions import read_yaml
from glassine.errors import UserError


@dataclass(frozen=True)
class Question:
    """One thing that raters compare.

    Attributes:
        name: short, of the report's tables.
        text: what the page asks; its answer is one of the stickers that are shown.
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
    """The questions of presets and files, one after the other.

    Args:
        wanted: names of `PRESETS`, or YAML or JSON files that map each question's name to its text.

    Raises:
        UserError: neither a preset nor such a file, or a name that comes twice.
    """
    questions = [question for name in wanted for question in PRESETS.get(name) or _read(Path(name))]
    names = [question.name for question in questions]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"the question {twice!r} came twice; give each one once")
    return tuple(questions)


def _read(path: Path) -> tuple[Question, ...]:
    if not path.is_file():
        presets = ", ".join(PRESETS)
        raise UserError(f"questions {path} came; give {presets}, or a YAML or JSON file of names and texts")
    content = read_yaml(path)
    texts = list(content.items()) if isinstance(content, dict) else []
    if not texts or not all(isinstance(part, str) and part.strip() for pair in texts for part in pair):
        raise UserError(f"{path} holds no questions; write one `name: question` line for each, all of it text")
    return tuple(Question(name.strip(), text.strip()) for name, text in texts)
