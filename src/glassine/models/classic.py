"""Classic methods without learning, the baselines in the score tables.

`Threshold` uses the color distance to the background. `FloodFill` also uses connectivity to the border, like the magic
wand of paint programs; `ColorProjection` adds closed-form un-mixing of edge colors, and is the best of them on clean
flat backgrounds. `GrabCut` is given the true bounding box, as by the user of an interactive tool.
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
    """Convert a clip to numpy, with the background color of each frame.

    Args:
        clip: `b f 3 h w` in [0, 1].
        background: `b 3`, or None for `estimate_background(clip)`.

    Returns:
        Frames `n h w 3` and backgrounds `n 3`, where n = b * f.

    Raises:
        ValueError: `clip` or `background` has the wrong shape.
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
    """Largest absolute difference over the channels of `h w 3` and `3`: `h w` in [0, 1]."""
    largest = np.abs(frame[..., 0] - background[0])
    for channel in (1, 2):  # twenty times as fast as numpy's maximum over an axis of length 3
        np.maximum(largest, np.abs(frame[..., channel] - background[channel]), out=largest)
    return largest


def connected_to_border(near: Mask) -> NDArray[np.uint8]:
    """Return 1 where `near` (`h w`) is true and 4-connected to the frame's border, else 0."""
    # a ring around the frame connects all border pixels, so that a single fill reaches them
    canvas = np.pad(near.astype(np.uint8), 1, constant_values=1)
    cv2.floodFill(canvas, None, (0, 0), (2,), flags=4)
    return (canvas[1:-1, 1:-1] == 2).astype(np.uint8)


class FloodFill(nn.Module):
    """Alpha is 0 in regions of the background color that are connected to the border; edges are a soft ramp.

    Enclosed regions of the background color stay opaque: eye whites, but also real holes.

    Args:
        tolerance: maximum difference of any channel from the background, in [0, 1].
        softness: standard deviation of the soft edge in pixels; 0 gives hard edges.
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
                # the fill stops at the outer end of an anti-aliased edge, so the ramp lies entirely inside the sticker
                inside = inside * np.clip(2 * cv2.GaussianBlur(inside, (0, 0), self.softness) - 1, 0, 1)
            planes.append(inside)
        return rearrange(torch.from_numpy(np.stack(planes)).to(clip), "(b f) h w -> b f 1 h w", b=len(clip))


class Threshold(nn.Module):
    """Alpha is 1 where any channel differs from the background by more than a tolerance, else 0.

    Args:
        tolerance: maximum difference of any background pixel, in [0, 1].
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
    """Flood fill from the border, then alpha from colors in a band along the edge.

    A pixel of the band is modeled as a mixture of the background B and the nearest solid color F inside the sticker.
    Alpha is the projection of its color C onto the line between them, (C - B)(F - B) / |F - B|^2.

    Args:
        tolerance: maximum difference of any channel from the background in filled regions, in [0, 1].
        band: width of the edge band in pixels.
        median: size of the median filter, 3 or 5, that removes compression noise from the filled image and from F; 0
            for none.
        gap: the fill does not pass openings narrower than a disc of this radius in pixels, so that it does not leak
            through a gap in a thin outline; 0 passes all openings.

    Raises:
        ValueError: `median` is not 0, 3 or 5.

    The defaults are a compromise for all files at 256 px. On 40 stickers of the training split, tolerance 0.012 and
    band 1 are best on undamaged images, and `for_damaged_files` on their own color with JPEG 75.
    """

    def __init__(self, tolerance: float = 0.02, band: int = 2, median: int = 0, gap: int = 0) -> None:
        super().__init__()
        if median not in (0, 3, 5):
            raise ValueError(f"the median's width is {median}; it must be 0, 3 or 5")
        self.tolerance, self.band, self.median, self.gap = tolerance, band, median, gap

    def forward(self, clip: Tensor, background: Tensor | None = None) -> Tensor:
        """Find alpha `b f 1 h w` in [0, 1] of `clip` (`b f 3 h w` in [0, 1]); `background` is `b 3` or estimated."""
        with ThreadPoolExecutor() as threads:  # numpy and OpenCV release the GIL
            planes = list(threads.map(self._plane, *clip_pixels(clip, background)))
        return rearrange(torch.from_numpy(np.stack(planes)).to(clip), "(b f) h w -> b f 1 h w", b=len(clip))

    def _plane(self, frame: Pixels, background: Pixels) -> Pixels:
        """Return alpha `h w` of one frame `h w 3`."""
        calm = np.asarray(cv2.medianBlur(frame, self.median), np.float32) if self.median else frame
        outside = self._fill(background_distance(calm, background) <= self.tolerance)
        alpha = 1 - outside.astype(np.float32)
        offsets = np.square(np.arange(-self.band, self.band + 1))
        disc = (np.add.outer(offsets, offsets) <= self.band**2).astype(np.uint8)
        solid = cv2.erode(1 - outside, disc) > 0  # more than `band` pixels from the outside
        if not solid.any():
            return alpha
        edge = (outside == 0) & ~solid
        solid_color = _nearest(calm, solid, edge) - background  # n 3
        difference = frame[edge] - background
        length = np.maximum(np.square(solid_color).sum(axis=-1), 1e-4)
        alpha[edge] = np.clip((difference * solid_color).sum(axis=-1) / length, 0, 1)
        return alpha

    def _fill(self, near: Mask) -> NDArray[np.uint8]:
        """Return 1 outside the sticker: where `near` is true and connected to the border without narrow openings."""
        if not self.gap:
            return connected_to_border(near)
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * self.gap + 1, 2 * self.gap + 1))
        plane = near.astype(np.uint8)
        core = connected_to_border(cv2.erode(plane, disc, borderValue=1) > 0)
        return np.asarray(cv2.dilate(core, disc), np.uint8) & plane


def for_damaged_files() -> ColorProjection:
    """The best of 180 settings on 40 stickers of the training split, on backgrounds of their own color with JPEG 75."""
    return ColorProjection(tolerance=0.02, band=4, median=5, gap=1)


def _nearest(frame: Pixels, solid: Mask, wanted: Mask) -> Pixels:
    """Return the colors `n 3` of the nearest `solid` pixel for each of the n `wanted` pixels."""
    _, labels = cv2.distanceTransformWithLabels(
        1 - solid.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    places = np.flatnonzero(solid)
    place_of = np.zeros(len(places) + 1, np.int64)  # each solid pixel has its own label, from 1
    place_of[labels.reshape(-1)[places]] = places
    return frame.reshape(-1, 3)[place_of[labels[wanted]]]


Box = tuple[int, int, int, int]


class GrabCut(nn.Module):
    """GrabCut (Rother, Kolmogorov and Blake, SIGGRAPH 2004) as implemented in OpenCV, per frame; alpha is 0 or 1.

    Args:
        iterations: iterations of color model fitting and graph cut.
    """

    def __init__(self, iterations: int = 4) -> None:
        super().__init__()
        self.iterations = iterations

    def forward(self, clip: Tensor, boxes: Tensor) -> Tensor:
        """Segment the content of each box.

        Args:
            clip: `b f 3 h w` in [0, 1].
            boxes: `b f 4` integers: left, top, right, bottom in pixels, the last two exclusive; see `true_boxes`.
                An empty box gives alpha 0.

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
            return np.ones_like(mask)  # no pixel outside the box from which to learn the background
        cv2.setRNGSeed(0)  # the color models are initialized from random samples
        cv2.grabCut(
            frame, mask, (0, 0, 0, 0), np.zeros((1, 65)), np.zeros((1, 65)), self.iterations, cv2.GC_INIT_WITH_MASK
        )
        return ((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)).astype(np.uint8)


def true_boxes(alpha: Tensor, threshold: float = 0.02) -> Tensor:
    """Return the bounding box `b f 4` (left, top, right, bottom, the last two exclusive) of `alpha` `b f 1 h w`.

    Pixels above `threshold` count; a frame without such pixels gets 0, 0, 0, 0.
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
