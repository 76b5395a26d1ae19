"""How well an OCR engine reads stickers: on rendered text whose truth is known, outlined, moving, in several fonts."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from glassine.curation.ocr import FRAMES, OcrEngine, read_frames
from glassine.data.sticker import Sticker
from glassine.utils.errors import UserError

ENGLISH = (
    "Hello", "Good morning", "OK", "LOL", "Thank you!", "Happy birthday", "See you", "WOW", "Miss you", "No way",
    "Bye bye", "I love you", "So tired", "Congrats", "Let's go", "Good night", "Sorry", "Yes!", "Oh my god", "Help me",
)  # fmt: skip
CHINESE = (
    "你好", "早上好", "谢谢", "生日快乐", "再见", "我爱你", "加油", "晚安", "哈哈哈", "太好了",
    "对不起", "好的", "想你了", "恭喜发财", "辛苦了", "没问题", "开心", "收到", "加班中", "新年快乐",
)  # fmt: skip
_COLORS = ((250, 250, 250), (30, 30, 34), (230, 50, 60), (250, 205, 60), (50, 110, 220), (60, 160, 80))


@dataclass(frozen=True)
class TextStyle:
    """How a text sticker is drawn.

    Attributes:
        font: a TrueType file.
        outlined: a rim of the opposite lightness around the letters, as most stickers have.
        moving: the text swings up and down and is cut by no edge; False is a still.
        grown: the text appears letter by letter.
    """

    font: Path
    outlined: bool
    moving: bool
    grown: bool = False


def bundled_fonts() -> list[Path]:
    """Latin fonts that matplotlib brings: sans, serif, monospaced, bold, oblique."""
    import matplotlib as mpl

    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    names = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono", "DejaVuSans-BoldOblique")
    return [folder / f"{name}.ttf" for name in names]


def text_sticker(text: str, style: TextStyle, seed: int, side: int = 192) -> Sticker:
    """A transparent sticker of one or two lines of text.

    Args:
        text: what it says.
        style: how it is drawn.
        seed: of the color.
        side: pixels.

    Raises:
        UserError: the font cannot be read.
    """
    try:
        size = 10
        while size < 60 and _width(text, style.font, size + 2) < 0.86 * side:
            size += 2
        font = ImageFont.truetype(style.font, size)
    except OSError as error:
        raise UserError(f"{style.font} must be a TrueType font ({error})") from error
    color = _COLORS[int(np.random.default_rng(seed).integers(len(_COLORS)))]
    rim = (20, 20, 24) if sum(color) > 380 else (252, 252, 252)
    count = 8 if style.moving or style.grown else 1
    frames = []
    for number in range(count):
        picture = Image.new("RGBA", (side, side), (0, 0, 0, 0))
        shown = text[: max(1, -(-len(text) * (number + 1) // count))] if style.grown else text
        top = side * 0.4 + (side * 0.12 * np.sin(2 * np.pi * number / count) if style.moving else 0)
        rim_width = max(2, size // 12) if style.outlined else 0
        ImageDraw.Draw(picture).text(
            (side * 0.07, top), shown, (*color, 255), font, stroke_width=rim_width, stroke_fill=(*rim, 255)
        )
        frames.append(np.asarray(picture))
    return Sticker(np.stack(frames), (120,) * count)


def _width(text: str, font: Path, size: int) -> float:
    return ImageFont.truetype(font, size).getlength(text)


def ocr_accuracy(
    engine: OcrEngine, texts: Sequence[str], fonts: Sequence[Path], side: int = 192, seed: int = 0
) -> dict[str, Any]:
    """Read every text in every style once, each in one of the fonts in turn.

    Args:
        engine: what is measured.
        texts: the truth.
        fonts: TrueType files that have all letters of the texts.
        side: pixels of a sticker.
        seed: of colors.

    Returns:
        For `still`, `outlined`, `moving`, `grown` and `all`: `n`, `exact` (share read without a mistake; case, spaces
        and signs do not count) and `character_error_rate`; and `seconds` a sticker.
    """
    styles = {
        "still": (False, False, False),
        "outlined": (True, False, False),
        "moving": (True, True, False),
        "grown": (True, False, True),
    }
    wrong: dict[str, list[tuple[int, int]]] = {name: [] for name in styles}
    start = time.process_time()
    for number, text in enumerate(texts):
        for place, (name, (outlined, moving, grown)) in enumerate(styles.items()):
            style = TextStyle(fonts[(number + place) % len(fonts)], outlined, moving, grown)
            sticker = text_sticker(text, style, seed + 7 * number + place, side)
            chosen = np.unique(np.linspace(0, sticker.num_frames - 1, FRAMES).round().astype(int))
            read = read_frames(engine, sticker.frames[chosen])
            truth, got = bare(text), bare(read)
            wrong[name].append((edit_distance(truth, got), len(truth)))
    spent = (time.process_time() - start) / max(1, len(texts) * len(styles))
    parts = {**wrong, "all": [one for part in wrong.values() for one in part]}
    return {"seconds": spent} | {
        name: {
            "n": len(part),
            "exact": sum(errors == 0 for errors, _ in part) / max(1, len(part)),
            "character_error_rate": sum(e for e, _ in part) / max(1, sum(n for _, n in part)),
        }
        for name, part in parts.items()
    }


def bare(text: str) -> str:
    """Letters and digits of a text in lower case."""
    return "".join(one for one in unicodedata.normalize("NFKC", text).casefold() if one.isalnum())


def edit_distance(one: str, other: str) -> int:
    """How many letters must be inserted, removed or exchanged (Levenshtein)."""
    before = list(range(len(other) + 1))
    for row, a in enumerate(one, 1):
        line = [row]
        for column, b in enumerate(other, 1):
            line.append(min(before[column] + 1, line[-1] + 1, before[column - 1] + (a != b)))
        before = line
    return before[-1]
