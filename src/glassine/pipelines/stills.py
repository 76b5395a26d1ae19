"""Stills to animate: reading one in any format, and checking that it can be animated.

Nothing here needs a network, so a still that is refused is refused before networks are loaded.
"""

from pathlib import Path

import numpy as np

from glassine.data.codecs import open_sticker
from glassine.pipelines.backgrounds import INVISIBLE_TO, OPAQUE_FROM
from glassine.utils.errors import UserError

Frame = np.ndarray


def read_still(path: Path) -> tuple[Frame, int, int]:
    """Read an image in any supported format; of an animation, the middle frame.

    Returns:
        `h w 4` uint8, straight RGBA; its index; and the number of frames.

    Raises:
        UserError: as `open_sticker`.
    """
    with open_sticker(path) as reader:
        # a video's header may state a wrong number
        frames = reader.num_frames if reader.durations and reader.num_frames else sum(1 for _ in reader)
        return reader.frames_at([frames // 2])[0], frames // 2, frames


def is_opaque(frame: Frame) -> bool:
    """Whether `h w 4` uint8 has no visible transparency."""
    return bool((frame[..., 3] >= OPAQUE_FROM).all())


def check_still(frame: Frame, name: str = "the picture") -> None:
    """Check that an image can be a base image.

    Args:
        frame: `h w 4` uint8, straight RGBA.
        name: its name in error messages.

    Raises:
        UserError: wrong shape or type, no transparency, or nothing visible.
    """
    if frame.ndim != 3 or frame.shape[-1] != 4 or frame.dtype != np.uint8 or 0 in frame.shape:
        raise UserError(f"{name} must be uint8 RGBA (height, width, 4), got {frame.dtype} {frame.shape}")
    if is_opaque(frame):
        raise UserError(
            f"{name} must have transparent pixels around the sticker, got an opaque one: give an image with an alpha "
            "channel, or cut it out of its background first (--cut-out)"
        )
    if not (frame[..., 3] > INVISIBLE_TO).any():
        raise UserError(f"{name} must show something, got a fully transparent one")
