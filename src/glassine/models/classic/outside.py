"""What every classic method starts from: the distance to the background and what is connected to the border."""

import cv2
import numpy as np
from einops import rearrange, repeat
from numpy.typing import NDArray
from torch import Tensor

from ...nn.background import estimate_background

Mask = NDArray[np.uint8] | NDArray[np.bool_]
Pixels = NDArray[np.float32]


def clip_pixels(clip: Tensor, background: Tensor | None) -> tuple[Pixels, Pixels]:
    """Take a clip to numpy, beside the background of each frame.

    Args:
        clip: `b f 3 h w` in [0, 1].
        background: `b 3`, or None for `estimate_background(clip)`.

    Returns:
        Frames `n h w 3` and backgrounds `n 3`, where n is b times f.

    Raises:
        ValueError: Where `clip` has another shape, or `background` does not fit it.
    """
    if clip.ndim != 5 or clip.shape[2] != 3:
        raise ValueError(f"the clip is {tuple(clip.shape)}; it must be b f 3 h w")
    colours = estimate_background(clip) if background is None else background
    if colours.shape != (len(clip), 3):
        raise ValueError(f"the background is {tuple(colours.shape)}; it must be b 3, here ({len(clip)}, 3)")
    frames = rearrange(clip.detach().float().cpu(), "b f c h w -> (b f) h w c").contiguous()
    per_frame = repeat(colours.detach().float().cpu(), "b c -> (b f) c", f=clip.shape[1])
    return frames.numpy(), per_frame.contiguous().numpy()


def background_distance(frame: Pixels, background: Pixels) -> Pixels:
    """Largest difference of any channel: `h w 3` and `3` to `h w` in [0, 1]."""
    largest = np.abs(frame[..., 0] - background[0])
    for channel in (1, 2):  # numpy's maximum over an axis of three takes twenty times as long
        np.maximum(largest, np.abs(frame[..., channel] - background[channel]), out=largest)
    return largest


def connected_to_border(near: Mask) -> NDArray[np.uint8]:
    """Return 1 where `near` (`h w`) holds and is connected, side by side, to the frame's border; else 0."""
    # A ring around the frame joins all border pixels, so that one fill reaches them all
    canvas = np.pad(near.astype(np.uint8), 1, constant_values=1)
    cv2.floodFill(canvas, None, (0, 0), (2,), flags=4)
    return (canvas[1:-1, 1:-1] == 2).astype(np.uint8)
