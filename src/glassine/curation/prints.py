"""What stickers are compared by: perceptual hashes and small pictures that survive re-encoding and another background.

Each compared frame is brought to a canonical form first: a flat background that was painted under a sticker is taken
for transparency, the frame is cropped to what is visible in any frame, fitted into a square and put on mid gray. Of
that come a PDQ hash (256 bits, Facebook's ThreatExchange; `pdqhash`, BSD/MIT) to find candidates with, and a small
picture to decide by: two emoji may share a hash and differ by a mouth.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from glassine.data.alpha import composite_frames
from glassine.utils.errors import UserError

MOMENTS = 4
"""Frames compared of an animation: those that stand at 1/8, 3/8, 5/8 and 7/8 of its length."""
SIDE = 64  # of the canonical picture that is hashed
THUMB = 24  # of the picture that decides
HASH_BYTES = 32
GRAY = (128, 128, 128)
CROP = 0.8  # of each side, of the print that finds cropped copies
_FLAT = 18  # levels by which a painted background may differ from one color: what GIF and JPEG make of it
_FLAT_SHARE = 0.9  # of the border that must have that color
_LEAST_HOLE = 0.004  # of the area
_LEAST_VISIBLE = 24  # alpha
_FILLED = 0.97  # of both sides: a border of less is none


@dataclass(frozen=True)
class Prints:
    """What is compared of one sticker.

    Attributes:
        hashes: `v*m 32` uint8, PDQ of the frames at `MOMENTS`, one of a still; of a transparent sticker again as it
            looks when it was flattened onto white and onto black, see `variants`; and of one that does not fill its
            canvas once more with all of the canvas: a ground that hides the end of a drawing moves its border.
        mirrored: `m 32` uint8, of the frames mirrored.
        cropped: `32` uint8, of the first of them cut to its middle, as crawled copies often are.
        cropped_thumb: `THUMB THUMB 3` uint8, of that.
        thumbs: `v*m THUMB THUMB 3` uint8.
        alone: `k 32` uint8, of an animation's first and middle frame as if they were stills: cropped to themselves.
        alone_thumbs: `k THUMB THUMB 3` uint8, of those.
        quality: PDQ's, 0 to 100, the highest of the frames; below 20 a picture is nearly flat.
    """

    hashes: np.ndarray
    mirrored: np.ndarray
    cropped: np.ndarray
    cropped_thumb: np.ndarray
    thumbs: np.ndarray
    alone: np.ndarray
    alone_thumbs: np.ndarray
    quality: int

    def as_json(self) -> dict[str, Any]:
        """Text that JSON holds."""
        names = ("hashes", "mirrored", "cropped", "cropped_thumb", "thumbs", "alone", "alone_thumbs")
        return {name: base64.b64encode(getattr(self, name).tobytes()).decode() for name in names} | {
            "count": len(self.hashes),
            "mirrored_count": len(self.mirrored),
            "alone_count": len(self.alone),
            "quality": self.quality,
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Prints:
        """Back from `as_json`."""
        count, alone = int(content["count"]), int(content["alone_count"])

        def array(name: str, *shape: int) -> np.ndarray:
            return np.frombuffer(base64.b64decode(content[name]), np.uint8).reshape(shape)

        return cls(
            array("hashes", count, HASH_BYTES),
            array("mirrored", int(content["mirrored_count"]), HASH_BYTES),
            array("cropped", HASH_BYTES),
            array("cropped_thumb", THUMB, THUMB, 3),
            array("thumbs", count, THUMB, THUMB, 3),
            array("alone", alone, HASH_BYTES),
            array("alone_thumbs", alone, THUMB, THUMB, 3),
            int(content["quality"]),
        )


def moments(durations: Sequence[int]) -> list[int]:
    """The frames that stand in the middle of each of `MOMENTS` equal parts of the time; one of a still."""
    if len(durations) == 1:
        return [0]
    ends = np.cumsum(np.asarray(durations, np.float64))
    times = (np.arange(MOMENTS) + 0.5) / MOMENTS * ends[-1]
    return np.searchsorted(ends, times, side="right").clip(max=len(durations) - 1).tolist()


def make_prints(frames: np.ndarray, durations: Sequence[int], chosen: Sequence[int] | None = None) -> Prints:
    """The prints of a sticker.

    Args:
        frames: `f h w 4` uint8 straight RGBA, small: 96 pixels are enough.
        durations: ms of each frame.
        chosen: places in `frames` of the compared ones; None for those of `moments`.

    Raises:
        UserError: the package `pdqhash` is not installed.
    """
    try:
        import pdqhash
    except ImportError as error:
        raise UserError("comparing stickers needs pdqhash: pip install 'glassine[curation]'") from error

    places = list(moments(durations) if chosen is None else chosen)
    looks = variants(frames)
    pictures = [canonical(look, places) for look in looks]  # v m SIDE SIDE 3
    if not _fills(looks[0]):
        pictures.append(canonical(looks[0], places, whole=True))
    hashed = [pdqhash.compute(np.ascontiguousarray(one)) for look in pictures for one in look]
    mirrored = [pdqhash.compute(np.ascontiguousarray(one[:, ::-1]))[0] for one in pictures[0]]
    top, left = (round(side * (1 - CROP) / 2) for side in frames.shape[1:3])
    middle = frames[places[:1], top : frames.shape[1] - top, left : frames.shape[2] - left]
    cropped = canonical(without_flat_background(middle), [0])[0]
    alone = [canonical(looks[0][place : place + 1], [0])[0] for place in (0, places[len(places) // 2])]
    alone = alone if len(durations) > 1 else []
    return Prints(
        np.stack([_packed(bits) for bits, _ in hashed]),
        np.stack([_packed(bits) for bits in mirrored]),
        _packed(pdqhash.compute(cropped)[0]),
        _thumb(cropped),
        np.stack([_thumb(one) for look in pictures for one in look]),
        np.array([_packed(pdqhash.compute(one)[0]) for one in alone], np.uint8).reshape(len(alone), HASH_BYTES),
        np.array([_thumb(one) for one in alone], np.uint8).reshape(len(alone), THUMB, THUMB, 3),
        max(int(quality) for _, quality in hashed),
    )


def variants(frames: np.ndarray) -> list[np.ndarray]:
    """A sticker as it is and, if it is transparent, as what is left of it after it was flattened onto white or black.

    White parts of a drawing on white cannot be told from the ground: a flattened copy has lost them, and is found by
    what the original looks like when it loses them, too. An opaque one is also taken with all that its border does not
    reach: parts of a drawing may have the ground's color by chance.
    """
    if frames[..., 3].min() >= 250:
        holes, filled = without_flat_background(frames), without_flat_background(frames, holes=False)
        return [holes] if np.array_equal(holes, filled) else [holes, filled]
    looks = [frames]
    for ground in ((255, 255, 255), (0, 0, 0)):
        opaque = np.full_like(frames, 255)
        opaque[..., :3] = composite_frames(frames, ground)
        looks.append(without_flat_background(opaque))
    return looks


def _thumb(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture, (THUMB, THUMB), interpolation=cv2.INTER_AREA)


def _packed(bits: np.ndarray) -> np.ndarray:
    return np.packbits(bits.astype(np.uint8))


def _box(frames: np.ndarray) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of what is visible in any frame, as of a slice; all 0 where nothing is."""
    seen = frames[..., 3].max(axis=0) >= _LEAST_VISIBLE
    if not seen.any():
        return 0, 0, 0, 0
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _fills(frames: np.ndarray) -> bool:
    """Whether what is visible reaches the borders, or there is nothing visible."""
    top, bottom, left, right = _box(frames)
    height, width = frames.shape[1:3]
    return not bottom or min((bottom - top) / height, (right - left) / width) >= _FILLED


def canonical(frames: np.ndarray, chosen: Sequence[int], whole: bool = False) -> np.ndarray:
    """Frames as they are compared: what is visible, fitted into a square, on mid gray.

    Args:
        frames: `f h w 4` uint8 straight RGBA, all of them: what is visible is looked for in all. Flat backgrounds are
            gone already, see `without_flat_background`.
        chosen: which ones are returned.
        whole: all of the canvas instead of what is visible.

    Returns:
        `m SIDE SIDE 3` uint8.
    """
    top, bottom, left, right = (0, frames.shape[1], 0, frames.shape[2]) if whole else _box(frames)
    if not bottom:
        return np.full((len(chosen), SIDE, SIDE, 3), GRAY[0], np.uint8)
    part = frames[chosen, top:bottom, left:right]
    opaque = composite_frames(part, GRAY)
    side = max(opaque.shape[1:3])
    top, left = (side - opaque.shape[1]) // 2, (side - opaque.shape[2]) // 2
    square = np.full((len(opaque), side, side, 3), GRAY[0], np.uint8)
    square[:, top : top + opaque.shape[1], left : left + opaque.shape[2]] = opaque
    how = cv2.INTER_AREA if side >= SIDE else cv2.INTER_LINEAR
    return np.stack([cv2.resize(one, (SIDE, SIDE), interpolation=how) for one in square])


def without_flat_background(frames: np.ndarray, holes: bool = True) -> np.ndarray:
    """Opaque frames whose border is of one color lose areas of that color; others stay.

    A sticker that was flattened onto white, or whose GIF has a painted ground, then compares like the original.

    Args:
        frames: `f h w 4` uint8.
        holes: also areas that the border does not reach: holes in a drawing show the ground, too.
    """
    if frames[..., 3].min() < 250:
        return frames
    border = np.concatenate([frames[:, 0], frames[:, -1], frames[:, :, 0], frames[:, :, -1]], axis=1)[..., :3]
    color = np.median(border.reshape(-1, 3), axis=0)
    near = np.abs(border.astype(np.int16) - color.astype(np.int16)).max(axis=-1) <= _FLAT
    if near.mean() < _FLAT_SHARE:
        return frames
    out = frames.copy()
    differs = np.abs(frames[..., :3].astype(np.int16) - color.astype(np.int16)).max(axis=-1).clip(max=255)
    around = np.ones((3, 3), np.uint8)
    for alpha, one in zip(out[..., 3], differs.astype(np.uint8), strict=True):
        flat = cv2.medianBlur(one, 3) <= _FLAT
        _, labels, about, _ = cv2.connectedComponentsWithStats(flat.astype(np.uint8), connectivity=4)
        ground = (about[:, cv2.CC_STAT_AREA] >= _LEAST_HOLE * flat.size) & holes
        edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
        ground[edge] = True
        ground[0] = False  # what is not flat
        left = (~ground[labels]).astype(np.uint8)
        # specks that compression leaves around a drawing would move its border
        solid = cv2.dilate(cv2.morphologyEx(left, cv2.MORPH_OPEN, around), around)
        # the rim is a mixture with the ground
        alpha[cv2.erode(left & solid, around, borderValue=1) == 0] = 0
    return out
