"""Classic methods without learning: the baselines of the table.

All but GrabCut start from the distance to the background color and from what is connected to the border: a threshold,
flood fill as the magic wand of paint programs, and flood fill with closed-form un-mixing of edges, the strongest of
them on clean flat backgrounds. GrabCut gets the true bounding box, as from an interactive tool.
"""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import torch
from einops import rearrange, repeat
from numpy.typing import NDArray
from torch import Tensor, nn

from glassine.nn.background import estimate_background

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
    colors = estimate_background(clip) if background is None else background
    if colors.shape != (len(clip), 3):
        raise ValueError(f"the background is {tuple(colors.shape)}; it must be b 3, here ({len(clip)}, 3)")
    frames = rearrange(clip.detach().float().cpu(), "b f c h w -> (b f) h w c").contiguous()
    per_frame = repeat(colors.detach().float().cpu(), "b c -> (b f) c", f=clip.shape[1])
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


class FloodFill(nn.Module):
    """Alpha is 0 where the background's color is connected to the border; the edge between is a soft ramp.

    Regions of the background's color inside the sticker (eye whites, but real holes too) stay opaque.

    Args:
        tolerance: Largest difference of any channel from the background, in parts of the full range.
        softness: Standard deviation of the soft edge in pixels; 0 leaves it hard.
    """

    def __init__(self, tolerance: float = 0.02, softness: float = 1.0) -> None:
        super().__init__()
        self.tolerance = tolerance
        self.softness = softness

    def forward(self, clip: Tensor, background: Tensor | None = None) -> Tensor:
        """Find alpha `b f 1 h w` in [0, 1] of `clip` (`b f 3 h w` in [0, 1]); `background` is `b 3` or estimated."""
        frames, colors = clip_pixels(clip, background)
        planes = []
        for frame, color in zip(frames, colors, strict=True):
            inside = 1 - connected_to_border(background_distance(frame, color) <= self.tolerance).astype(np.float32)
            if self.softness > 0:
                # The fill stops where the edge's ramp begins, so the ramp lies inside: never outside the filled region
                inside = inside * np.clip(2 * cv2.GaussianBlur(inside, (0, 0), self.softness) - 1, 0, 1)
            planes.append(inside)
        return rearrange(torch.from_numpy(np.stack(planes)).to(clip), "(b f) h w -> b f 1 h w", b=len(clip))


class Threshold(nn.Module):
    """Alpha is 1 where any channel differs from the background by more than a tolerance, else 0.

    Args:
        tolerance: In parts of the full range.
    """

    def __init__(self, tolerance: float = 0.02) -> None:
        super().__init__()
        self.tolerance = tolerance

    def forward(self, clip: Tensor, background: Tensor | None = None) -> Tensor:
        """Find alpha `b f 1 h w` in [0, 1] of `clip` (`b f 3 h w` in [0, 1]); `background` is `b 3` or estimated."""
        frames, colors = clip_pixels(clip, background)
        alpha = np.stack(
            [background_distance(frame, color) > self.tolerance for frame, color in zip(frames, colors, strict=True)]
        )
        return rearrange(torch.from_numpy(alpha).to(clip), "(b f) h w -> b f 1 h w", b=len(clip))


class ColorProjection(nn.Module):
    """Flood fill from the border, then alpha by color in a band along the edge.

    A pixel there is taken as a mixture of the background B and of the nearest solid color F further in; alpha is its
    color C projected on the line between both, (C - B)(F - B) / |F - B|^2.

    Args:
        tolerance: Largest difference of any channel from the background while filling, in parts of the full range.
        band: Width of the edge band in pixels.
        median: Width of the median filter (3 or 5) that takes compression noise from what is filled and from F; 0 for
            none.
        gap: The fill passes no opening that a disc of this radius in pixels does not pass, so that it does not run
            through a thin outline with a hole in it; 0 lets it.

    Raises:
        ValueError: `median` is not 0, 3 or 5.

    The defaults are one compromise for all files at 256 px. For 40 stickers of the training split, tolerance 0.012 and
    band 1 are best on undamaged pictures; `for_damaged_files` on their own color with JPEG 75.
    """

    def __init__(self, tolerance: float = 0.02, band: int = 2, median: int = 0, gap: int = 0) -> None:
        super().__init__()
        if median not in (0, 3, 5):
            raise ValueError(f"the median's width is {median}; it must be 0, 3 or 5")
        self.tolerance, self.band, self.median, self.gap = tolerance, band, median, gap

    def forward(self, clip: Tensor, background: Tensor | None = None) -> Tensor:
        """Find alpha `b f 1 h w` in [0, 1] of `clip` (`b f 3 h w` in [0, 1]); `background` is `b 3` or estimated."""
        with ThreadPoolExecutor() as threads:  # numpy and OpenCV let go of Python's lock
            planes = list(threads.map(self._plane, *clip_pixels(clip, background)))
        return rearrange(torch.from_numpy(np.stack(planes)).to(clip), "(b f) h w -> b f 1 h w", b=len(clip))

    def _plane(self, frame: Pixels, background: Pixels) -> Pixels:
        """Return alpha `h w` of one frame `h w 3`."""
        calm = np.asarray(cv2.medianBlur(frame, self.median), np.float32) if self.median else frame
        outside = self._fill(background_distance(calm, background) <= self.tolerance)
        alpha = 1 - outside.astype(np.float32)
        offsets = np.square(np.arange(-self.band, self.band + 1))
        disc = (np.add.outer(offsets, offsets) <= self.band**2).astype(np.uint8)
        solid = cv2.erode(1 - outside, disc) > 0  # more than `band` pixels away from all that is outside
        if not solid.any():
            return alpha
        edge = (outside == 0) & ~solid
        solid_color = _nearest(calm, solid, edge) - background  # n 3
        difference = frame[edge] - background
        length = np.maximum(np.square(solid_color).sum(axis=-1), 1e-4)
        alpha[edge] = np.clip((difference * solid_color).sum(axis=-1) / length, 0, 1)
        return alpha

    def _fill(self, near: Mask) -> NDArray[np.uint8]:
        """Return 1 outside the sticker: where `near` holds and is connected to the border by openings wide enough."""
        if not self.gap:
            return connected_to_border(near)
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * self.gap + 1, 2 * self.gap + 1))
        plane = near.astype(np.uint8)
        core = connected_to_border(cv2.erode(plane, disc, borderValue=1) > 0)
        return np.asarray(cv2.dilate(core, disc), np.uint8) & plane


def for_damaged_files() -> ColorProjection:
    """The best of 180 settings on 40 stickers of the training split, on their own colors with JPEG 75."""
    return ColorProjection(tolerance=0.02, band=4, median=5, gap=1)


def _nearest(frame: Pixels, solid: Mask, wanted: Mask) -> Pixels:
    """Return for each of n `wanted` pixels the color, `n 3`, of the nearest pixel where `solid` holds."""
    _, labels = cv2.distanceTransformWithLabels(
        1 - solid.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    places = np.flatnonzero(solid)
    place_of = np.zeros(len(places) + 1, np.int64)  # each solid pixel has a label of its own, from 1
    place_of[labels.reshape(-1)[places]] = places
    return frame.reshape(-1, 3)[place_of[labels[wanted]]]


Box = tuple[int, int, int, int]


class GrabCut(nn.Module):
    """Rother, Kolmogorov and Blake, "GrabCut" (SIGGRAPH 2004), as OpenCV has it, frame by frame; alpha is 0 or 1.

    Args:
        iterations: Of its alternation between color models and graph cut.
    """

    def __init__(self, iterations: int = 4) -> None:
        super().__init__()
        self.iterations = iterations

    def forward(self, clip: Tensor, boxes: Tensor) -> Tensor:
        """Find alpha.

        Args:
            clip: `b f 3 h w` in [0, 1].
            boxes: `b f 4` integers: left, top, right, bottom in pixels, the last two exclusive; see `true_boxes`.
                A box without area gives alpha 0.

        Returns:
            Alpha `b f 1 h w`, 0 or 1.
        """
        frames, _ = clip_pixels(clip, clip.new_zeros(len(clip), 3))
        corners = rearrange(boxes.cpu().int(), "b f n -> (b f) n").tolist()
        planes = [
            self._cut((frame * 255 + 0.5).astype(np.uint8), box) for frame, box in zip(frames, corners, strict=True)
        ]
        return rearrange(torch.from_numpy(np.stack(planes)).to(clip), "(b f) h w -> b f 1 h w", b=len(clip))

    def _cut(self, frame: np.ndarray, box: Box) -> np.ndarray:
        left, top, right, bottom = box
        mask = np.zeros(frame.shape[:2], np.uint8)
        if right <= left or bottom <= top:
            return mask
        mask[top:bottom, left:right] = cv2.GC_PR_FGD
        if mask.all():
            return np.ones_like(mask)  # a box that leaves no background outside says no more than that
        cv2.setRNGSeed(0)  # its color models start from random samples
        cv2.grabCut(
            frame, mask, (0, 0, 0, 0), np.zeros((1, 65)), np.zeros((1, 65)), self.iterations, cv2.GC_INIT_WITH_MASK
        )
        return ((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)).astype(np.uint8)


def true_boxes(alpha: Tensor, threshold: float = 0.02) -> Tensor:
    """Return the box `b f 4` (left, top, right, bottom, the last two exclusive) around the true `alpha` `b f 1 h w`.

    Pixels count from `threshold` up; a frame without any gets 0, 0, 0, 0.
    """
    visible = alpha[:, :, 0] > threshold  # b f h w
    return torch.stack(
        [
            _first(visible.any(dim=-2)),
            _first(visible.any(dim=-1)),
            _last(visible.any(dim=-2)),
            _last(visible.any(dim=-1)),
        ],
        dim=-1,
    )


def _first(line: Tensor) -> Tensor:
    return line.int().argmax(dim=-1)


def _last(line: Tensor) -> Tensor:
    return torch.where(line.any(dim=-1), line.shape[-1] - line.int().flip(-1).argmax(dim=-1), 0)
