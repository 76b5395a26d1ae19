"""Read each file of a crawl once: is it whole, what is it, and all numbers that later stages decide by."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glassine.curation.blocks import Row
from glassine.curation.crawl import Opened
from glassine.curation.keyframes import keyframes
from glassine.curation.measures import measure
from glassine.curation.motion import describe_motion
from glassine.curation.prints import make_prints
from glassine.data.codecs import MAX_PIXELS, open_bytes
from glassine.data.codecs.guard import printable
from glassine.data.codecs.lottie import LeftOutWarning
from glassine.data.codecs.still import HEAD_BYTES, Kind, sniff
from glassine.data.shards import resize_frames
from glassine.data.sticker import Sticker
from glassine.utils.errors import UserError

SMALL = 96
"""Longer side, in pixels, of the frames that are measured."""
DRAWN = 256
"""Longer side, in pixels, at which drawings (Lottie, SVG) are drawn."""
MAX_FRAMES = 600
MAX_TOTAL_PIXELS = 2**28
"""Most pixels, frames times width times height, that are decoded of one file: 4,096 frames of 256 x 256."""
CAUSES = ("empty", "no image or video", "too large", "damaged or cut off", "unreadable", "crashed its decoder")


@dataclass(frozen=True)
class Decoded:
    """A file's frames, and what kind of file it is."""

    sticker: Sticker
    kind: str
    width: int
    height: int
    left_out: str


def decode(data: bytes, name: str, longest: int | None = None, max_pixels: int = MAX_PIXELS) -> Decoded:
    """Decode a whole file within limits.

    Args:
        data: its bytes.
        name: how messages call it.
        longest: frames are scaled down to so many pixels of the longer side while they are read; None keeps them.
        max_pixels: largest frame that is read.

    Raises:
        UserError: not a sticker, damaged, or beyond a limit.
    """
    kind = sniff(data[:HEAD_BYTES], name)
    if kind is Kind.SVG and any(sign in data[:1024].lower() for sign in (b"<html", b"<!doctype html")):
        raise UserError(f"{name}: is not an image or video, but a web page: servers answer so for what is gone")
    frames, durations, pixels = list[np.ndarray](), list[int](), 0
    size = DRAWN if longest is None else min(longest, DRAWN)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with open_bytes(data, name, max_pixels=max_pixels, size=size) as reader:
            width, height, loop = reader.width, reader.height, reader.loop
            for frame, duration in reader:
                pixels += frame.shape[0] * frame.shape[1]
                if len(frames) >= MAX_FRAMES or (pixels > MAX_TOTAL_PIXELS and frames):
                    raise UserError(
                        f"{name}: at most {MAX_FRAMES} frames and {MAX_TOTAL_PIXELS:,} pixels of a file are read, "
                        "got more: it is a film and no sticker"
                    )
                frames.append(_scaled(frame, longest) if longest else frame)
                durations.append(duration)
    if not frames:
        raise UserError(f"{name}: has no frames; the file is damaged or cut off")
    lacks = [str(one.message).rpartition("not drawn: ")[2] for one in caught if one.category is LeftOutWarning]
    if kind in (Kind.LOTTIE, Kind.SVG, Kind.GZIP):  # their size is ours
        width = height = 0
    sticker = Sticker(np.stack(frames), tuple(durations), loop)
    return Decoded(sticker, kind.value, width or sticker.width, height or sticker.height, ", ".join(lacks))


def _scaled(frame: np.ndarray, longest: int) -> np.ndarray:
    height, width = frame.shape[:2]
    if max(height, width) <= longest:
        return frame
    scale = longest / max(height, width)
    return resize_frames(frame[None], max(1, round(height * scale)), max(1, round(width * scale)))[0]


def cause_of(message: str) -> str:
    """The kind of trouble that an error message is about, one of `CAUSES`."""
    if "is empty" in message:
        return "empty"
    if "is not an image or video" in message:
        return "no image or video"
    if "at most" in message or "do not fit" in message:
        return "too large"
    if "not installed" in message or "no permission" in message or "cannot be read" in message:
        return "unreadable"
    return "damaged or cut off"


class Ingest:
    """Stage: rows of a listing to rows with a content hash and measures, or with `broken` and a cause.

    Args:
        crawl: the folder.
        unpack: where compressed tars were unpacked to.
        max_pixels: largest frame that is read.
    """

    name, risky = "ingest", True

    def __init__(self, crawl: Path | str, unpack: Path | str, max_pixels: int = MAX_PIXELS) -> None:
        self.crawl, self.unpack, self.max_pixels = Path(crawl), Path(unpack), max_pixels
        self._opened: Opened | None = None

    def settings(self) -> Mapping[str, Any]:
        """What results depend on."""
        return {"version": 2, "max_pixels": self.max_pixels, "small": SMALL, "drawn": DRAWN, "frames": MAX_FRAMES}

    def __call__(self, rows: list[Row]) -> list[Row]:
        """See `ingest_file`."""
        self._opened = self._opened or Opened(self.crawl, self.unpack)
        return [self._one(row) for row in rows]

    def _one(self, row: Row) -> Row:
        assert self._opened is not None
        try:
            data = self._opened.read(row)
        except UserError as error:
            return {**row, "broken": cause_of(str(error)), "says": printable(str(error))[:300]}
        except OSError as error:
            return {**row, "broken": "unreadable", "says": printable(str(error.strerror or error))[:300]}
        return {**row, **ingest_file(data, printable(str(row["at"])), self.max_pixels)}


def ingest_file(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> dict[str, Any]:
    """All that is known of one file from its bytes.

    Args:
        data: the file.
        name: how messages call it.
        max_pixels: largest frame that is read.

    Returns:
        `sha` (64 hex digits), and either `broken` with its cause and `says`, or `kind`, `width`, `height`, `frames`,
        `measures`, `prints`, `keyframes`, `motion`, `motion_zh`.
    """
    sha = hashlib.sha256(data).hexdigest()
    try:
        decoded = decode(data, name, SMALL, max_pixels)
        return {"sha": sha, **describe_frames(decoded)}
    except UserError as error:
        return {"sha": sha, "broken": cause_of(str(error)), "says": printable(str(error))[:300]}
    except (MemoryError, RecursionError, ArithmeticError, ValueError, OSError, RuntimeError, LookupError) as error:
        said = f"{type(error).__name__}: {printable(str(error))[:200]}"
        return {"sha": sha, "broken": "damaged or cut off", "says": said}


def describe_frames(decoded: Decoded) -> dict[str, Any]:
    """Measures, prints, keyframes and motion of small frames."""
    sticker = decoded.sticker
    measures = measure(sticker.frames, sticker.durations, decoded.width, decoded.height)
    motion = describe_motion(sticker.frames, sticker.durations, measures["change"])
    out: dict[str, Any] = {
        "kind": decoded.kind,
        "width": decoded.width,
        "height": decoded.height,
        "frames": sticker.num_frames,
        "measures": measures,
        "prints": make_prints(sticker.frames, sticker.durations).as_json(),
        "keyframes": keyframes(sticker.frames),
        "motion": asdict(motion) | {"kinds": list(motion.kinds), "en": motion.english, "zh": motion.chinese},
    }
    if decoded.left_out:
        out["left_out"] = decoded.left_out
    return out


def read_again(opened: Opened, row: Row, longest: int | None, chosen: Sequence[int] | None = None) -> Sticker:
    """Decode a file once more for a later stage.

    Args:
        opened: the crawl.
        row: of `Ingest`.
        longest: of the longer side, in pixels; None keeps the file's size.
        chosen: frames that are wanted; None for all.

    Raises:
        UserError: the file was changed since, or cannot be read any more.
    """
    data = opened.read(row)
    if hashlib.sha256(data).hexdigest() != row["sha"]:
        raise UserError(f"{printable(str(row['at']))}: was changed while the data set was made; run again")
    sticker = decode(data, printable(str(row["at"])), longest).sticker
    if chosen is None:
        return sticker
    places = [min(place, sticker.num_frames - 1) for place in chosen]
    return Sticker(sticker.frames[places], tuple(sticker.durations[place] for place in places), sticker.loop)
