"""Words as outlines, so that letters move, bend and take paint like every other shape."""

from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from glassine.data.sources.procedural.outlines import Outline, rectangle
from glassine.data.sources.procedural.parts import Part, Thing

_EM = 128  # pixels a letter is traced at
WORDS = (
    "OK",
    "LOL",
    "WOW",
    "HI",
    "YES",
    "NO",
    "LOVE",
    "GO!",
    "?!",
    "ZZZ",
    "100",
    "BYE",
    "COOL",
    "NICE",
    "OMG",
    "YAY",
    "HAHA",
    "HEY",
    "BOO",
    "THX",
    "GG",
    "SALE",
    "NEW",
    "PARTY",
    "HAPPY",
    "Hello",
    "Sorry",
    "Wait",
    "Thanks",
    "Good",
    "2026",
    "24/7",
    "&",
)


@lru_cache(maxsize=128)
def letter(character: str) -> tuple[tuple[Outline, ...], float]:
    """The outlines of one letter (line height 1, baseline near 0.3) and its advance, in Pillow's own font."""
    font = ImageFont.load_default(_EM)
    advance = float(font.getlength(character))
    image = Image.new("L", (int(advance) + _EM // 2, int(_EM * 1.4)))
    ImageDraw.Draw(image).text((_EM // 8, 0), character, fill=255, font=font)
    found, _ = cv2.findContours((np.asarray(image) > 127).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    outlines = []
    for contour in found:
        if len(contour) >= 6:
            xy = cv2.approxPolyDP(contour, 0.6, True)[:, 0] - np.asarray([_EM / 8, _EM * 0.65])
            outlines.append((xy / _EM).astype(np.float32))
    return tuple(outlines), advance / _EM


def word(rng: np.random.Generator) -> Thing:
    """One to seven letters, each a carrier of its own; sometimes in a bubble or on a bar."""
    text = str(rng.choice(WORDS))
    traced = [letter(c) for c in text]
    total = sum(advance for _, advance in traced)
    scale = min(1.9 / total, 1.5)
    move = str(rng.choice(["", "beat", "sway", "wave"]))
    parts: list[Part] = []
    if rng.random() < 0.3:
        parts.append(
            Part(
                (rectangle(-1.0, -scale * 0.62, 1.0, scale * 0.55, scale * 0.3),),
                str(rng.choice(["panel", "second", "white"])),
                base=True,
            )
        )
    x = -total * scale / 2
    colours = (
        ["body"] * len(text) if rng.random() < 0.6 else [("body", "accent", "second")[k % 3] for k in range(len(text))]
    )
    for (outlines, advance), role in zip(traced, colours, strict=True):
        shift = np.asarray([x, 0], np.float32)
        x += advance * scale
        if outlines:
            parts.append(
                Part(
                    tuple(o * np.float32(scale) + shift for o in outlines),
                    role,
                    base=True,
                    move=move,
                    pivot=(x - advance * scale / 2, 0),
                )
            )
    return Thing(f'word "{text}"', f"文字“{text}”", (text, "text", "文字"), tuple(parts), ocr=text)
