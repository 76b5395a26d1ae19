"""Which stickers are left out of a data set, why, and by how much: VSD2M's three filters and some more."""

from __future__ import annotations

import unicodedata
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from glassine.curation.blocks import Row
from glassine.utils.errors import UserError

REASONS = {
    "nothing visible": "hardly a visible pixel in any frame",
    "low entropy": "b. low information entropy",
    "aspect ratio": "c. anomalous aspect ratio",
    "too small": "shorter side too small",
    "too few frames": "fewer frames than asked for",
    "too many frames": "more frames than asked for",
    "opaque": "too few transparent pixels",
    "long text": "a. long optical characters",
    "duplicate": "a near copy of it is kept",
    "gone": "was changed or removed while the data set was made",
    "crashed": "crashed the worker that looked for text",
}
"""Name -> what it means; the letters are those of VSD2M, "Data Construction"."""


@dataclass(frozen=True)
class Thresholds:
    """Where each filter cuts. Defaults reject none of 14,233 emoji, see docs/curation.md.

    Attributes:
        max_text: letters that OCR may find; a Chinese character counts as two. VSD2M says "long" and no number.
        min_entropy: bits, see `glassine.curation.measures.entropy`.
        max_aspect: longer by shorter side.
        min_size: pixels of the shorter side.
        min_frames: 2 leaves stills out.
        max_frames: None for as many as are read.
        min_transparent: mean share of invisible pixels; 0 takes opaque stickers, TASD wants more.
        min_visible: largest share of visible pixels in a frame.
        keep: of near copies `all` (in one group, so in one split), or the `best` animation and the best still.
    """

    max_text: int = 30
    min_entropy: float = 0.25
    max_aspect: float = 3.0
    min_size: int = 48
    min_frames: int = 1
    max_frames: int | None = None
    min_transparent: float = 0.0
    min_visible: float = 0.005
    keep: Literal["all", "best"] = "all"

    def __post_init__(self) -> None:
        """Raise UserError for values that no sticker can meet."""
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name not in ("keep", "max_frames") and value < 0:
                raise UserError(f"{field.name} must be at least 0, got {value:g}")
        if self.max_aspect < 1:
            raise UserError(f"max_aspect must be at least 1, got {self.max_aspect:g}")
        if not 0 <= self.min_transparent < 1 or not 0 <= self.min_visible < 1:
            raise UserError("min_transparent and min_visible must be in [0, 1)")
        if self.max_frames is not None and self.max_frames < self.min_frames:
            raise UserError(f"max_frames must be at least min_frames, got {self.max_frames} and {self.min_frames}")
        if self.keep not in ("all", "best"):
            raise UserError(f"keep must be all or best, got {self.keep!r}")

    def as_json(self) -> dict[str, Any]:
        """For records."""
        return asdict(self)


def measured_reasons(row: Row, limits: Thresholds) -> dict[str, float]:
    """Why a measured sticker is left out: reasons with their scores, in the order of `REASONS`; none for a good one."""
    measures = row["measures"]
    least, most = limits.min_frames, limits.max_frames
    checks = {
        "nothing visible": (measures["visible"], measures["visible"] < limits.min_visible),
        "low entropy": (measures["entropy"], measures["entropy"] < limits.min_entropy),
        "aspect ratio": (measures["aspect"], measures["aspect"] > limits.max_aspect),
        "too small": (min(row["width"], row["height"]), min(row["width"], row["height"]) < limits.min_size),
        "too few frames": (row["frames"], row["frames"] < least),
        "too many frames": (row["frames"], most is not None and row["frames"] > most),
        "opaque": (measures["transparent"], measures["transparent"] < limits.min_transparent),
    }
    return {name: float(score) for name, (score, failed) in checks.items() if failed}


def text_length(text: str) -> int:
    """Letters and digits of a text; wide ones (Chinese, Japanese, Korean) count as two."""
    return sum(1 + (unicodedata.east_asian_width(one) in "WF") for one in text if one.isalnum())


def text_reason(text: str, limits: Thresholds) -> dict[str, float]:
    """`long text` with its length where OCR found too much, else nothing."""
    length = text_length(text)
    return {"long text": float(length)} if length > limits.max_text else {}


def preference(row: Row) -> tuple[Any, ...]:
    """Sorts near copies, the best first: transparent, large, with many frames, little compressed."""
    transparent = row["measures"]["transparent"] > 0.01
    area = row["width"] * row["height"]
    return (not transparent, -area, -row["frames"], -row["bytes"], row["sha"])
