"""Looping motion of a sticker as a smooth field of displacements over one of its frames, and images moved by it.

Generative Image Dynamics (Li et al., arXiv 2309.07906, section 3) writes the path of every pixel of a still as a few
Fourier terms over time, its spectral volume, and renders frames by warping the still. Here the terms are harmonics of
the loop, so that the motion ends where it began; the path is relative to the still's own frame, which is shown
unchanged; and the field is coarse, since parts of stickers move as wholes.

Fields are `k g g 2` float32: k terms, two a harmonic (cosine and sine), on a grid of g x g cells; displacements are x
and y, in shares of the frame's side. They say where each place of the still goes.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]
Floats = NDArray[np.float32]
Pair = tuple[float, float]

HARMONICS = 4
GRID = 16
UNLIKE = 0.12  # premultiplied difference in [0, 1] at which a pixel of the still is hardly found in another frame
RIDGE = 0.3  # weight of a small field against an exact one, growing with the harmonic
SCALES = (0.7, 1.5, 3.0, 6.0, 12.0)  # in cells: what a cell does not know it takes from around
ENOUGH = 2.0  # pixels of the sticker from which on a cell mostly counts itself
LIFT = 0.35  # brightness of black where motion is estimated; 0 is what is around the sticker
ROUNDS = 16  # of the inversion of a field
FINE = 64  # side of the window's grid on which it is inverted, being smooth
LEAST_AREA = 0.2  # to which share of its area a cell may be squeezed
STEEPEST = 0.75  # how much neighboring cells may differ, in cells: from 1 on a field cannot be inverted by iteration
LEAST_SIDE = 16  # pixels that optical flow needs
MOMENTS = 32  # of the loop at which folds and reach are looked at


class Motion(NamedTuple):
    """The motion of a clip around one of its frames.

    Attributes:
        field: `k g g 2` float32.
        amount: root mean square displacement of the sticker over the loop, in shares of the frame's side.
        gain: how much nearer the moved frame is to the others than the frame itself, in dB.
    """

    field: Floats
    amount: float
    gain: float


def terms(num_frames: int, reference: float, harmonics: int = HARMONICS) -> Floats:
    """`f k`: the Fourier terms at each frame of a loop; time is 0 at `reference`, and so are all terms."""
    angle = 2 * np.pi * (np.arange(num_frames)[:, None] - reference) / num_frames * np.arange(1, harmonics + 1)  # f h
    return np.stack([np.cos(angle) - 1, np.sin(angle)], axis=-1).reshape(num_frames, 2 * harmonics).astype(np.float32)


def fit_motion(frames: Frames, reference: int, grid: int = GRID, harmonics: int = HARMONICS) -> Motion:
    """The motion of a looping clip around one of its frames.

    Args:
        frames: `f h w 4` uint8, straight RGBA, whole loop, of a size that `grid` divides.
        reference: index of the frame that is the still.
        grid: g.
        harmonics: half of k.
    """
    small = [premultiplied(frame) for frame in frames]
    bright = [brightness(frame) for frame in small]
    still = small[reference]
    size = np.asarray(frames.shape[2:0:-1], np.float32)  # width, height
    tracks = np.zeros((len(frames), grid, grid, 2), np.float32)
    for number in range(len(frames)):
        if number == reference:
            continue
        moved = optical_flow(bright[reference], bright[number])  # h w 2, pixels
        unlike = np.abs(still - warp(small[number], moved)).max(-1)
        known = still[..., 3] * np.exp(-((unlike / UNLIKE) ** 2))
        tracks[number] = _in_cells(moved / size, known, grid)
    basis = terms(len(frames), reference, harmonics)  # f k
    damping = RIDGE * np.diag(np.sqrt(np.repeat(np.arange(1, harmonics + 1), 2))).astype(np.float32)
    wanted = np.concatenate([tracks.reshape(len(frames), -1), np.zeros((len(damping), grid * grid * 2), np.float32)])
    field = np.linalg.lstsq(np.concatenate([basis, damping]), wanted, rcond=None)[0]
    field = field.reshape(-1, grid, grid, 2).astype(np.float32)
    shrunk = np.stack([cv2.resize(frame, (4 * grid, 4 * grid), interpolation=cv2.INTER_AREA) for frame in small])
    rows = terms(len(frames), reference, harmonics)
    moved = np.stack([_moved(shrunk[reference], np.tensordot(row, field, 1)) for row in rows])
    errors = [float(np.square(clip - shrunk).mean()) for clip in (shrunk[reference], moved)]
    gain = 10 * float(np.log10(max(errors[0], 1e-7) / max(errors[1], 1e-7)))
    return Motion(field, amount_of(field, frames[reference, ..., 3]), gain)


def amount_of(field: Floats, alpha: Frames) -> float:
    """Root mean square displacement over the loop of what alpha `h w` shows, in shares of the frame's side."""
    grid = field.shape[1]
    shown = cv2.resize(alpha.astype(np.float32), (grid, grid), interpolation=cv2.INTER_AREA)
    path = np.square(_paths(field)).sum(-1).mean(0)  # g g
    shown = shown if shown.any() else np.ones_like(shown)
    return float(np.sqrt((path * shown).sum() / max(float(shown.sum()), 1e-6)))


def reach(field: Floats, alpha: Frames, seen_from: int = 8) -> tuple[Pair, Pair]:
    """The box that what alpha `h w` shows keeps to in a loop: least and largest y and x, in shares of the sides."""
    height, width = alpha.shape
    rows, columns = np.nonzero(alpha > max(0, min(seen_from, int(alpha.max()) - 1)))
    if not len(rows):
        rows, columns = (places.ravel() for places in np.mgrid[:height, :width])
    goes = np.stack([cv2.resize(path, (width, height))[rows, columns] for path in _paths(field)])  # f n 2
    y, x = rows / height + goes[..., 1], columns / width + goes[..., 0]
    return (float(y.min()), float(x.min())), (float(y.max()) + 1 / height, float(x.max()) + 1 / width)


def _paths(field: Floats) -> Floats:
    """Displacements `f g g 2` of the still at `MOMENTS` moments of the loop."""
    return np.tensordot(terms(MOMENTS, 0, len(field) // 2), field, 1).astype(np.float32)


def move(
    still: Frames, field: Floats, num_frames: int, reference: int, window: tuple[int, int, int, int] | None = None
) -> Frames:
    """The clip `f h w 4` of a still that moves in a loop.

    Args:
        still: `h w 4` uint8, straight.
        field: `k g g 2`.
        num_frames: f.
        reference: index of the frame that is the still, unchanged.
        window: top, left, height and width in pixels of the part of the still, or beyond it, that the field is of;
            around it everything moves as at its edge. None is the whole still.
    """
    result = np.empty((num_frames, *still.shape), np.uint8)
    image = premultiplied(still)
    for number, row in enumerate(terms(num_frames, reference, len(field) // 2)):
        result[number] = still if number == reference else straight(_moved(image, np.tensordot(row, field, 1), window))
    return result


def _moved(image: Floats, goes: Floats, window: tuple[int, int, int, int] | None = None) -> Floats:
    """Premultiplied `h w 4`, moved by displacements `g g 2` of the window, of which each says where its place goes."""
    height, width = image.shape[:2]
    top, left, high, wide = (0, 0, height, width) if window is None else window
    half = goes.shape[0] // 2
    around = np.pad(goes.astype(np.float32), ((half, half), (half, half), (0, 0)), mode="edge")  # 2g 2g 2
    fine = cv2.resize(around, (2 * FINE, 2 * FINE), interpolation=cv2.INTER_CUBIC)  # of twice the window
    there = _inverted(np.asarray(fine, np.float32) * np.float32(FINE))  # in pixels of the fine grid
    # where each pixel of the still lies on that grid
    x = ((np.arange(width, dtype=np.float32) + 0.5 - left) / wide + 0.5) * FINE - 0.5
    y = ((np.arange(height, dtype=np.float32) + 0.5 - top) / high + 0.5) * FINE - 0.5
    grid_x, grid_y = np.broadcast_to(x, (height, width)), np.broadcast_to(y[:, None], (height, width))
    found = cv2.remap(there, grid_x, grid_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # h w 2
    scale = np.asarray([wide, high], np.float32) / FINE
    return warp(image, np.asarray(found * scale, np.float32), interpolation=cv2.INTER_CUBIC)


def optical_flow(first: Frames, second: Frames) -> Floats:
    """Where each pixel of `first` `h w` uint8 is in `second`: the way there, `h w 2` in pixels (DIS, 1603.03590)."""
    height, width = first.shape
    more = (0, max(0, LEAST_SIDE - height), 0, max(0, LEAST_SIDE - width))  # rows and columns to add
    pair = [cv2.copyMakeBorder(frame, *more, cv2.BORDER_REPLICATE) if any(more) else frame for frame in (first, second)]
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return np.asarray(flow.calc(*pair, None), np.float32)[:height, :width]  # type: ignore[call-overload]


def smoothed(field: Floats, cells: float) -> Floats:
    """The field, blurred in space by this standard deviation in cells; 0 leaves it."""
    if not cells:
        return field
    blurred = [cv2.GaussianBlur(term, (0, 0), cells, borderType=cv2.BORDER_REPLICATE) for term in field]
    return np.stack(blurred).astype(np.float32)


def without_folds(field: Floats) -> Floats:
    """The field, weakened as a whole until it neither folds the image nor tears it.

    No cell is squeezed below `LEAST_AREA`, and no two neighbors differ by more than `STEEPEST`.
    """
    paths = _paths(field) * field.shape[1]  # f g g 2, cells
    across, down = np.diff(paths, axis=2)[:, :-1], np.diff(paths, axis=1)[:, :, :-1]  # f g-1 g-1 2
    squares = np.square(across).sum(-1) + np.square(down).sum(-1)
    turned = across[..., 0] * down[..., 1] - across[..., 1] * down[..., 0]
    steepest = np.sqrt((squares + np.sqrt(np.maximum(squares**2 - 4 * turned**2, 0))) / 2).max()  # singular value
    strongest = min(1.0, STEEPEST / max(float(steepest), 1e-6))
    for share in np.linspace(strongest, 0, 41):
        area = (1 + share * across[..., 0]) * (1 + share * down[..., 1]) - share**2 * across[..., 1] * down[..., 0]
        if area.min() >= LEAST_AREA:
            break
    return (field * share).astype(np.float32)


def premultiplied(frame: Frames) -> Floats:
    """`h w 4` uint8, straight, as premultiplied RGBA in [0, 1]."""
    values = frame.astype(np.float32) / np.float32(255)
    values[..., :3] *= values[..., 3:]
    return values


def straight(values: Floats) -> Frames:
    """`h w 4` premultiplied RGBA as uint8, straight; no color where nothing is seen."""
    alpha = (values[..., 3:].clip(0, 1) * 255).round()
    color = np.where(alpha > 0, values[..., :3] / np.maximum(values[..., 3:], 1e-3), 0).clip(0, 1) * 255
    return np.concatenate([color.round(), alpha], -1).astype(np.uint8)


def brightness(values: Floats) -> Frames:
    """One channel of premultiplied RGBA, `h w` uint8, in which black stands out from what is clear."""
    light = values[..., :3] @ np.asarray([0.299, 0.587, 0.114], np.float32)
    return ((LIFT * values[..., 3] + (1 - LIFT) * light).clip(0, 1) * 255).round().astype(np.uint8)


def _inverted(goes: Floats) -> Floats:
    """Where each place of `h w 2` comes from, if that says where each place goes; both in pixels of this grid."""
    there: Floats = -goes
    for _ in range(ROUNDS):
        there = -warp(goes, there, cv2.BORDER_REPLICATE)
    return there


def warp(
    values: Floats, flow: Floats, border: int = cv2.BORDER_CONSTANT, interpolation: int = cv2.INTER_LINEAR
) -> Floats:
    """`h w c` read at each pixel plus its flow `h w 2` in pixels."""
    height, width = flow.shape[:2]
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    x, y = columns + flow[..., 0], rows + flow[..., 1]
    return np.asarray(cv2.remap(values, x, y, interpolation, borderMode=border))


def _in_cells(flow: Floats, weight: Floats, grid: int) -> Floats:
    """The weighted mean `g g 2` of a flow `h w 2` in each cell; where nothing has weight, that of around it."""
    high, wide = flow.shape[0] // grid, flow.shape[1] // grid
    parts = np.concatenate([flow * weight[..., None], weight[..., None]], -1).reshape(grid, high, grid, wide, 3)
    sums = parts.sum((1, 3)).astype(np.float32)  # g g 3
    result, left = np.zeros((grid, grid, 2), np.float32), np.ones((grid, grid, 1), np.float32)
    for scale in SCALES:
        near = cv2.GaussianBlur(sums, (0, 0), scale, borderType=cv2.BORDER_CONSTANT)
        share = near[..., 2:] / (near[..., 2:] + ENOUGH)
        result += left * share * near[..., :2] / np.maximum(near[..., 2:], 1e-6)
        left = left * (1 - share)
    return (result / np.maximum(1 - left, 1e-6)).astype(np.float32)
