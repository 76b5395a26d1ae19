"""Text in stickers: an OCR engine on several frames, joined over time."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from glassine.curation.blocks import Row
from glassine.curation.crawl import Opened
from glassine.curation.filters import Thresholds, text_reason
from glassine.curation.ingest import read_again
from glassine.curation.parts import build_part, package_version
from glassine.data.alpha import composite_frames
from glassine.utils.errors import UserError, printable

LONGEST = 320
"""Longer side, in pixels, of the frames that are read."""
FRAMES = 3
LEAST_SCORE = 0.7
"""Confidence below which a line is left out: drawings have strokes that look like letters."""
_ALIKE = 0.75  # ratio from which two lines of different frames are one
_LIGHT, _DARK = (255, 255, 255), (40, 40, 40)


@dataclass(frozen=True)
class Line:
    """A line of text.

    Attributes:
        text: what it says.
        score: confidence, 0 to 1.
        top: of its box, in pixels.
        left: of its box, in pixels.
    """

    text: str
    score: float
    top: float
    left: float


class OcrEngine(Protocol):
    """Reads text in a picture.

    Attributes:
        identity: name and version, recorded with what it read.
    """

    identity: str

    def read(self, picture: np.ndarray) -> list[Line]:
        """The lines in a picture `h w 3` uint8 RGB."""
        ...


class RapidOcr:
    """PP-OCR by `rapidocr` and onnxruntime; its models come inside the wheel (Apache-2.0). English and Chinese.

    VSD2M uses PaddleOCR fine-tuned on labelled stickers, whose weights are not published.

    Args:
        side: pixels that the shorter side is enlarged to before text is looked for; more finds smaller text.
        params: further settings of `rapidocr.RapidOCR`.

    Raises:
        UserError: the package is not installed.
    """

    def __init__(self, side: int = 320, params: Mapping[str, Any] | None = None) -> None:
        self.side, self.params = side, dict(params or {})
        self.identity = f"rapidocr {package_version('rapidocr')}"
        self._engine: Any = None

    def read(self, picture: np.ndarray) -> list[Line]:
        """See `OcrEngine`."""
        if self._engine is None:
            try:
                from rapidocr import RapidOCR
            except ImportError as error:
                raise UserError(
                    "OCR needs rapidocr and onnxruntime: pip install 'glassine[curation]', or use --no-ocr"
                ) from error
            settings = {
                "Global.log_level": "critical",
                "Global.use_cls": False,  # text is hardly ever upside down
                "Det.limit_side_len": self.side,
                "EngineConfig.onnxruntime.intra_op_num_threads": 1,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
            self._engine = RapidOCR(params=settings | self.params)
        found = self._engine(np.ascontiguousarray(picture[:, :, ::-1]))  # it takes BGR, as OpenCV
        if found is None or found.txts is None:
            return []
        lines = zip(found.txts, found.scores, found.boxes, strict=True)
        return [Line(str(t), round(float(s), 4), float(b[:, 1].min()), float(b[:, 0].min())) for t, s, b in lines]


def on_flat(frames: np.ndarray) -> np.ndarray:
    """Frames `f h w 4` on white, or on dark gray where what is visible is light: `f h w 3`."""
    weight = frames[..., 3].astype(np.float64)
    if weight.min() >= 250:
        return frames[..., :3]
    gray = frames[..., :3].astype(np.float64).mean(axis=-1)
    mean = float((gray * weight).sum() / max(weight.sum(), 1.0))
    return composite_frames(frames, _DARK if mean > 160 else _LIGHT)


def read_frames(engine: OcrEngine, frames: np.ndarray, least: float = LEAST_SCORE) -> str:
    """The text of a sticker: lines of all frames, each once, in the order of their appearance.

    Args:
        engine: reads pictures.
        frames: `f h w 4` uint8 straight RGBA, the frames that are read.
        least: confidence of a line that counts.
    """
    pictures = on_flat(frames)
    read = []
    for picture in pictures:
        scale = LONGEST / max(picture.shape[:2])
        if scale > 1:  # small stickers have small text
            picture = cv2.resize(picture, None, fx=min(scale, 4), fy=min(scale, 4), interpolation=cv2.INTER_CUBIC)
        read.append([line for line in engine.read(picture) if line.score >= least and _has_letters(line.text)])
    return join_lines(read)


def join_lines(frames: Sequence[Sequence[Line]]) -> str:
    """Lines of several frames as one text: of those that are alike, or part of each other, the surest longest one.

    Args:
        frames: the lines of each frame.
    """
    kept: list[Line] = []
    for lines in frames:
        for line in sorted(lines, key=lambda one: (round(one.top / 8), one.left)):
            place = next((n for n, known in enumerate(kept) if _same(known.text, line.text)), None)
            if place is None:
                kept.append(line)
            elif _worth(line) > _worth(kept[place]):
                kept[place] = line
    # two lines of the frames before may both be part of a later one
    whole = [a for n, a in enumerate(kept) if not any(_same(a.text, b.text) for b in kept[:n])]
    return " ".join(unicodedata.normalize("NFKC", line.text).strip() for line in whole)


def _worth(line: Line) -> tuple[int, float]:
    """Longer text is surer to be whole, as long as it is read as surely."""
    return (len(_bare(line.text)) if line.score >= 0.85 else 0, line.score)


def _same(one: str, other: str) -> bool:
    a, b = _bare(one), _bare(other)
    if not a or not b:
        return True
    return a in b or b in a or difflib.SequenceMatcher(None, a, b, autojunk=False).ratio() >= _ALIKE


def _bare(text: str) -> str:
    return "".join(one for one in unicodedata.normalize("NFKC", text).casefold() if one.isalnum())


def _has_letters(text: str) -> bool:
    return bool(_bare(text))


class Ocr:
    """Stage: adds `ocr`, and rejects stickers of long text.

    Args:
        crawl: the folder.
        unpack: where compressed tars were unpacked to.
        thresholds: of filters.
        engine: an `OcrEngine` by `class_path`; None leaves what a manifest said.
    """

    name, risky = "ocr", True

    def __init__(self, crawl: str, unpack: str, thresholds: Thresholds, engine: Mapping[str, Any] | str | None) -> None:
        self.crawl, self.unpack, self.thresholds, self.engine = crawl, unpack, thresholds, engine
        self._made: OcrEngine | None = None
        self._opened: Opened | None = None

    def settings(self) -> Mapping[str, Any]:
        """What results depend on."""
        most = self.thresholds.max_text
        version = package_version("rapidocr")
        return {"version": 1, "engine": self.engine, "package": version, "frames": FRAMES, "max_text": most}

    def __call__(self, rows: list[Row]) -> list[Row]:
        """Read the rows' stickers."""
        if self.engine is not None and self._made is None:
            self._made = build_part(self.engine, "ocr")
            self._opened = Opened(Path(self.crawl), Path(self.unpack))
        return [self._one(row) for row in rows]

    def _one(self, row: Row) -> Row:
        row = dict(row)
        if self._made is not None and self._opened is not None:
            try:
                frames = read_again(self._opened, row, LONGEST, chosen_frames(row["keyframes"])).frames
            except (UserError, OSError) as error:
                return {**row, "rejected": {"gone": 1.0}, "says": printable(str(error))[:300]}
            text = read_frames(self._made, frames)
            row["made"] = {**row.get("made", {}), "ocr": self._made.identity}
            row["ocr"] = text
        if reasons := text_reason(row.get("ocr", ""), self.thresholds):
            row["rejected"] = reasons
        return row


def chosen_frames(keyframes: Sequence[int], most: int = FRAMES) -> list[int]:
    """At most so many of a sticker's keyframes, the last one, where text is whole, among them."""
    if len(keyframes) <= most:
        return list(keyframes)
    return [keyframes[round(place)] for place in np.linspace(0, len(keyframes) - 1, most)]
