"""The picture that a user wants animated: read, checked, fitted into what the network sees, and the way back."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glassine.data.codecs import open_sticker
from glassine.data.shards import resize_frames
from glassine.errors import UserError
from glassine.pipelines.alpha_levels import OPAQUE_FROM

Frame = np.ndarray


def read_still(path: Path) -> tuple[Frame, int, int]:
    """A picture in any format that is read; of an animation the middle frame.

    Returns:
        `h w 4` uint8, straight RGBA; its number, from 0; and how many frames there are.

    Raises:
        UserError: as `open_sticker`.
    """
    with open_sticker(path) as reader:
        # a video's header may be wrong about their number
        frames = reader.num_frames if reader.durations and reader.num_frames else sum(1 for _ in reader)
        return reader.frames_at([frames // 2])[0], frames // 2, frames


def is_opaque(frame: Frame) -> bool:
    """Whether `h w 4` uint8 has no transparency that anybody would see."""
    return bool((frame[..., 3] >= OPAQUE_FROM).all())


def check_still(frame: Frame, name: str = "the picture") -> None:
    """Refuse what cannot be a base image.

    Args:
        frame: `h w 4` uint8, straight RGBA.
        name: what messages call it.

    Raises:
        UserError: another kind of array, one without transparency, or one that is clear everywhere.
    """
    if frame.ndim != 3 or frame.shape[-1] != 4 or frame.dtype != np.uint8 or 0 in frame.shape:
        raise UserError(f"{name} came as {frame.dtype} {frame.shape}; it must be uint8 (height, width, 4), RGBA")
    if is_opaque(frame):
        raise UserError(
            f"{name} has no transparency, and animating needs to know what belongs to the sticker: give a picture with "
            "an alpha channel, or cut it out of its background first (--cut-out)"
        )
    if not frame[..., 3].any():
        raise UserError(f"{name} is clear everywhere, so there is nothing to animate; give one that shows something")


@dataclass(frozen=True)
class FittedStill:
    """Sizes in pixels, height first, of a picture that is fitted into a frame as training clips are.

    Attributes:
        full: of the picture.
        frame: that the network sees; the picture's shape is kept, clear pixels fill the rest on both sides.
    """

    full: tuple[int, int]
    frame: tuple[int, int]

    @property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns of the frame that the picture covers."""
        scale = min(one / other for one, other in zip(self.frame, self.full, strict=True))
        sides = [max(1, round(side * scale)) for side in self.full]
        starts = [(room - side) // 2 for room, side in zip(self.frame, sides, strict=True)]
        rows, columns = (slice(start, start + side) for start, side in zip(starts, sides, strict=True))
        return rows, columns

    def shrink(self, picture: Frame) -> Frame:
        """`h w 4` uint8, straight, into the frame, `1 h' w' 4`."""
        return resize_frames(picture[None], *self.frame, keep_shape=True)

    def enlarge(self, frames: Frame) -> Frame:
        """Frames `f h' w' 4` uint8 as the network made them, at the picture's size `f h w 4`."""
        return resize_frames(np.ascontiguousarray(frames[:, *self.box]), *self.full)
