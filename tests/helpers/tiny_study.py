"""A study of a few tiny stickers."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from glassine.data.codecs import write_sticker
from glassine.data.sticker import Sticker
from glassine.study.build import StudyDesign, build_study
from glassine.study.plan import StudyKey, load_key
from glassine.study.site import match_items


def square(color: Sequence[int], frames: int = 3, size: int = 8) -> Sticker:
    """A square that walks, of one color; each method of a study has its own."""
    pixels = np.zeros((frames, size, size, 4), np.uint8)
    for frame in range(frames):
        pixels[frame, 2:6, frame : frame + 4] = [*color, 255]
    return Sticker(pixels, (90,) * frames)


def write_methods(folder: Path, names: Sequence[str] = ("ours", "base"), items: int = 4) -> dict[str, Path]:
    """A folder of stickers for each method, WebP and GIF in turns."""
    for number, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for item in range(items):
            suffix = "gif" if number % 2 else "webp"
            write_sticker(square((40 + 60 * number, 20 * item, 90)), folder / name / f"item{item}.{suffix}")
    return {name: folder / name for name in names}


def tiny_study(folder: Path, names: Sequence[str] = ("ours", "base"), items: int = 4, **design: Any) -> StudyKey:
    """Build one in `folder / "study"`."""
    methods = write_methods(folder / "in", names, items)
    build_study(folder / "study", methods, match_items(methods), {}, StudyDesign(**design))
    return load_key(folder / "study")


def read_plan(study: Path) -> dict[str, Any]:
    """What the page of a study knows."""
    text = (study / "site" / "plan.js").read_text(encoding="utf-8")
    return json.loads(text.removeprefix("window.STUDY = ").removesuffix(";\n"))


def answers_of(key: StudyKey, best: str | None, trials: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Answers that choose method `best` wherever it is shown, no difference elsewhere."""
    return [
        {
            "trial": trial,
            "question": question.name,
            "choice": next((clip for clip in key.trials[trial].clips if key.clips[clip].method == best), None),
            "shown": list(key.trials[trial].clips),
            "background": "checker",
            "ms": 1500,
            "time": "2024-01-01T00:00:00Z",
        }
        for trial in (key.trials if trials is None else trials)
        for question in key.questions
    ]


def write_answers(path: Path, key: StudyKey, rater: str, answers: Sequence[dict[str, Any]]) -> Path:
    """The file that the page downloads."""
    header = {"study": key.study, "rater": rater, "form": 0}
    path.write_text("".join(json.dumps(line) + "\n" for line in [header, *answers]), encoding="utf-8")
    return path
