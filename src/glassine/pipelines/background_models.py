"""What lies behind a sticker, found on the border of one picture: a flat color, a gradient, a checkerboard, and others.

Each model predicts the background's color at every pixel, so that one closed-form alpha (`closed_form`) serves all.
Frame lines and letterbox bars are peeled off first. Only numpy and OpenCV are needed here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from glassine.pipelines.insets import NO_INSET, Floats, Inset, Picture, find_inset, largest_difference
from glassine.pipelines.ramps import find_ramp
from glassine.pipelines.rounds import find_round

Kind = Literal["flat", "profile", "gradient", "checkerboard", "picture", "unknown"]
NEAR = 16  # of 255: colors this close are one color under compression
REACH = 12  # pixels over which compression blurs an edge
GOOD_FIT = 0.6  # share of the border that a model must explain to be believed


@dataclass(frozen=True)
class Behind:
    """A background model of one picture.

    Attributes:
        kind: which model it is; `flat` is one color, `profile` changes along one axis only.
        colors: `3`, or `h w 3` of the picture inside `inset`; float32 in [0, 255].
        fit: share of the border that it explains, in [0, 1].
        noise: how far the explained border pixels are from it, in 255ths (the 95th percentile).
        inset: lines and bars around, which are background in any case.
        blend: `h w`, true where two colors of the background meet and any mixture of them is background; or None.
        pair: `2 3`, these two colors.
    """

    kind: Kind
    colors: Floats
    fit: float
    noise: float
    inset: Inset = NO_INSET
    blend: NDArray[np.bool_] | None = None
    pair: Floats | None = None

    def picture(self, inner: Picture) -> Floats:
        """The background's color at each pixel of the picture inside `inset`: `h w 3` float32 in [0, 255]."""
        colors = np.broadcast_to(self.colors, inner.shape).astype(np.float32)
        if self.blend is not None and self.pair is not None and self.blend.any():
            colors[self.blend] = nearest_mixture(inner[self.blend], self.pair)
        return colors

    def spread(self, picture: Picture) -> Floats:
        """Its colors on the whole picture (`h w 3`), `h w 3` with lines and bars their own colors; `3` if flat."""
        if self.colors.ndim == 1 and not self.inset:
            return self.colors
        whole = picture.astype(np.float32)
        inner = np.ascontiguousarray(self.inset.of(picture))
        self.inset.of(whole)[:] = self.picture(inner)
        return whole

    @property
    def mean_color(self) -> tuple[int, int, int]:
        """One color that stands for the background."""
        red, green, blue = self.colors.reshape(-1, 3).mean(axis=0).round().astype(int).tolist()
        return red, green, blue


def nearest_mixture(colors: NDArray, pair: Floats) -> Floats:
    """The mixture of two colors (`2 3`) that is nearest to each of `n 3`."""
    line = pair[1] - pair[0]
    share = ((colors - pair[0]) @ line) / max(float(line @ line), 1.0)
    return (pair[0] + np.clip(share, 0, 1)[:, None] * line).astype(np.float32)


def border_of(picture: NDArray) -> NDArray:
    """The outermost pixels of `h w c`, `n c`: top row, bottom row, left and right column."""
    return np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])


def most_frequent(pixels: NDArray, tolerance: float = NEAR) -> Floats:
    """The most frequent color of `n 3`: the fullest cell of a coarse histogram, then the median of what is near."""
    cells = (pixels.astype(np.uint8) >> 4).astype(np.int32) @ np.array((256, 16, 1), np.int32)
    counts = np.bincount(cells, minlength=4096)
    center = pixels[cells == counts.argmax()].mean(axis=0)
    near = pixels[largest_difference(pixels, center) <= tolerance]
    # the exact value of an undamaged background is far more frequent than any other
    values, counts = np.unique(near.astype(np.uint8), axis=0, return_counts=True)
    if counts.max() >= 0.5 * len(near):
        return values[counts.argmax()].astype(np.float32)
    return np.median(near, axis=0).astype(np.float32)


def find_behind(picture: Picture, color: tuple[int, int, int] | None = None) -> Behind:
    """The simplest model that explains the border of one picture.

    Args:
        picture: `h w 3`.
        color: of a flat background, where the user gives it; None looks for a model.
    """
    if color is not None:
        return _judged("flat", np.asarray(color, np.float32), picture)
    plain = _simplest(picture)
    inset = find_inset(picture)
    if not inset:
        return plain
    inner = _simplest(np.ascontiguousarray(inset.of(picture)))
    if inner.fit < GOOD_FIT or inner.kind == "unknown":
        return plain
    return Behind(inner.kind, inner.colors, inner.fit, inner.noise, inset, inner.blend, inner.pair)


def _simplest(picture: Picture) -> Behind:
    flat = _judged("flat", most_frequent(border_of(picture)), picture)
    if min(picture.shape[:2]) < 8 or (flat.fit > 0.9 and flat.noise <= 2):
        return flat
    best = flat
    # a gradient of few levels passes for a noisy flat color: what explains the border more closely is taken
    for fitted in (_profile, _checkerboard, _gradient, _ramp, _round):
        other = fitted(picture)
        if other is None or (flat.fit >= 0.4 and not _leaves_something(other, picture)):
            continue
        if best.kind == other.kind == "gradient":
            best = max(best, other, key=lambda model: _reach(model, picture))
        elif _better(other, best):
            best = other
        # a gradient that fits the border may be wrong inside, so that all kinds of them are compared
        if best.fit > 0.95 and best.noise <= 2 and best.kind != "gradient":
            break
    if best.fit < GOOD_FIT and best.kind == "flat" and best.fit < 0.35:
        return Behind("unknown", best.colors, best.fit, best.noise)
    return best


def _leaves_something(model: Behind, picture: Picture) -> bool:
    """Whether anything stands out: a wide banner on white is no background of three stripes."""
    return float((largest_difference(picture, model.picture(picture)) > 20).mean()) > 0.002


def _reach(model: Behind, picture: Picture) -> float:
    """Share of the picture, from the border inward, that a model explains closely: two surfaces may share a border."""
    tolerance = 2 + model.noise
    near = largest_difference(picture, model.picture(picture)) <= tolerance
    return float(connected_to_border(near).mean()) / (1 + 0.02 * tolerance)


def _better(other: Behind, best: Behind) -> bool:
    if other.fit > best.fit + 0.08:
        return True
    return other.fit > best.fit - 0.02 and other.noise < 0.6 * best.noise - 1


def _judged(
    kind: Kind,
    colors: Floats,
    picture: Picture,
    blend: NDArray[np.bool_] | None = None,
    pair: Floats | None = None,
    tolerance: float = 12,
) -> Behind:
    model = Behind(kind, colors.astype(np.float32), 0.0, 0.0, blend=blend, pair=pair)
    distance = border_of(largest_difference(picture, model.picture(picture))[..., None])[:, 0]
    near = distance <= tolerance
    noise = float(np.percentile(distance[near], 95)) if near.any() else 0.0
    return Behind(kind, model.colors, float(near.mean()), noise, blend=blend, pair=pair)


def _profile(picture: Picture) -> Behind | None:
    """Colors that change along one axis only: gradients of any stops, two colors side by side, stripes, a horizon."""
    found = []
    for across in (False, True):
        view = picture.transpose(1, 0, 2) if across else picture  # rows vary, columns do not
        first, last = view[:, :2].mean(axis=1), view[:, -2:].mean(axis=1)  # h 3
        apart = np.abs(first - last).max(axis=1)  # h
        agree = apart <= 12
        if agree.mean() < 0.6:
            continue
        line = (first + last) / 2
        if not agree.all():  # where the sticker touches one side: the side that is nearer to its neighbors' colors
            smooth = _fill_gaps(line, agree)
            nearer = np.abs(first - smooth).max(axis=1) <= np.abs(last - smooth).max(axis=1)
            guess = np.where(nearer[:, None], first, last)
            usable = np.abs(guess - smooth).max(axis=1) <= 24
            line = np.where(agree[:, None], line, np.where(usable[:, None], guess, smooth))
        line = line.astype(np.float32)
        colors = np.broadcast_to(line[:, None], view.shape)
        colors = np.ascontiguousarray(colors.transpose(1, 0, 2) if across else colors)
        jump = np.abs(np.diff(line, axis=0)).max(axis=1, initial=0) > 24
        blend = pair = None
        if jump.any() and jump.sum() <= 3:
            at = int(np.flatnonzero(jump).mean())
            pair = np.stack([line[max(0, at - REACH)], line[min(len(line) - 1, at + 1 + REACH)]])
            # compression softens the edge between both by some pixels, of which any mixture is background
            before = np.abs(line[max(0, at - REACH) : at + 1] - pair[0]).max(axis=1) > 1.5
            after = np.abs(line[at + 1 : at + 2 + REACH] - pair[1]).max(axis=1) > 1.5
            start = at - (len(before) - int(before.argmax())) if before.any() else at
            end = at + 2 + (len(after) - int(after[::-1].argmax())) if after.any() else at + 2
            row = np.zeros(len(line), bool)
            row[max(0, start - 1) : end + 1] = True
            blend = np.broadcast_to(row[:, None], view.shape[:2])
            blend = np.ascontiguousarray(blend.T if across else blend)
        found.append(_judged("profile", colors, picture, blend, pair))
    return max(found, key=lambda model: model.fit) if found else None


def _fill_gaps(line: NDArray, known: NDArray[np.bool_]) -> NDArray:
    """`n 3` with what is not known interpolated from what is."""
    places = np.arange(len(line))
    return np.stack([np.interp(places, places[known], line[known, c]) for c in range(3)], axis=1)


def _powers(x: NDArray, y: NDArray, degree: int) -> NDArray:
    return np.stack([x**i * y**j for i in range(degree + 1) for j in range(degree + 1 - i)], axis=-1)


def _gradient(picture: Picture) -> Behind | None:
    """A smooth surface: polynomials fitted from the border inward, robustly, with what is left of it smoothed."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    pixels, px, py = border_of(picture).astype(np.float32), border_of(x[..., None])[:, 0], border_of(y[..., None])[:, 0]
    known = np.ones(len(pixels), bool)
    weights: NDArray | None = None
    for degree, limit in ((1, 60.0), (1, 30.0), (2, 20.0), (2, 12.0), (2, 8.0)):
        if known.sum() < 40 or known.mean() < 0.3:
            return None
        weights = _solve(_powers(px, py, degree)[known], pixels[known])
        away = np.abs(_powers(px, py, degree) @ weights - pixels).max(axis=1)
        known = away <= max(limit, float(np.median(away)) * 1.5)
    assert weights is not None
    colors = (_powers(x, y, 2) @ weights).astype(np.float32)
    for degree in (2, 3, 4):
        filled = connected_to_border(largest_difference(picture, colors) <= 8)
        step = max(1, int(np.sqrt(filled.sum() / 4000)))
        chosen = filled[::step, ::step]
        if chosen.sum() < 200:
            break
        weights = _solve(_powers(x[::step, ::step], y[::step, ::step], degree)[chosen], picture[::step, ::step][chosen])
        colors = (_powers(x, y, degree) @ weights).astype(np.float32)
    filled = connected_to_border(largest_difference(picture, colors) <= 8)
    if filled.any():
        colors = colors + _smooth_residual(picture - colors, filled)
    return _judged("gradient", np.clip(colors, 0, 255), picture)


def _ramp(picture: Picture) -> Behind | None:
    """A linear gradient in any direction, of any stops."""
    return _told_by_border(find_ramp, picture)


def _round(picture: Picture) -> Behind | None:
    """A round gradient around any point, of any stops."""
    return _told_by_border(find_round, picture)


def _told_by_border(find: Callable[..., Floats | None], picture: Picture) -> Behind | None:
    """The gradient that `find` reads off the border's colors and their columns and rows."""
    y, x = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]].astype(np.float32)
    places = [border_of(plane[..., None])[:, 0] for plane in (x, y)]
    colors = find(picture, border_of(picture).astype(np.float32), *places)
    return None if colors is None else _judged("gradient", colors, picture)


def _solve(powers: NDArray, values: NDArray) -> NDArray:
    return np.linalg.lstsq(powers.astype(np.float64), values.astype(np.float64), rcond=None)[0]


def _smooth_residual(residual: Floats, known: NDArray[np.bool_], sigma: float = 6.0) -> Floats:
    """The mean of `h w 3` over known pixels around; it fades to 0 far from them."""
    mask = known.astype(np.float32)
    total = cv2.GaussianBlur(residual * mask[..., None], (0, 0), sigma)
    weight = cv2.GaussianBlur(mask, (0, 0), sigma)
    return (total / (weight + 0.05)[..., None]).astype(np.float32)


def _checkerboard(picture: Picture) -> Behind | None:
    """The painted transparency of picture editors: two colors in squares, period and phase found along the border."""
    border = border_of(picture)
    first = most_frequent(border, 10)
    rest = border[largest_difference(border, first) > 6]
    if len(rest) < 0.15 * len(border):
        return None
    second = most_frequent(rest, 10)
    pair = np.stack([first, second])
    line = second - first
    if np.abs(line).max() < 6 or line.max() * line.min() < -36:
        return None
    sign = (picture - (first + second) / 2) @ line  # h w
    on_line = largest_difference(picture, nearest_mixture(picture.reshape(-1, 3), pair).reshape(picture.shape)) <= 14
    sign = np.where(on_line, np.sign(sign), 0).astype(np.float32)
    waves = []
    for rows in (sign[[0, 1, -2, -1]], sign[:, [0, 1, -2, -1]].T):
        wave = _square_wave(rows)
        if wave is None:
            return None
        waves.append(wave)
    (across, edge_x, period_x), (down, edge_y, period_y) = waves
    if not 0.8 < period_x / period_y < 1.25:
        return None
    board = down[:, None] * across[None]  # h w, of +-1
    edge = border_of((sign * board)[..., None])[:, 0]
    if edge.sum() < 0:
        board = -board
    colors = np.where(board[..., None] > 0, second, first)
    soft = np.maximum(edge_y[:, None], edge_x[None])
    if min(period_x, period_y) < 4:
        soft = np.zeros_like(soft)
    return _judged("checkerboard", colors, picture, soft, pair)


def _square_wave(rows: Floats) -> tuple[Floats, NDArray[np.bool_], float] | None:
    """The square wave (+-1) that fits `r n` best up to the sign of each row; where it changes; half its period."""
    length = rows.shape[1]
    change = np.diff(rows, axis=1) != 0
    runs = np.concatenate([np.diff(np.flatnonzero(row)) for row in change]) if change.any() else np.empty(0)
    runs = runs[runs >= 3]
    if len(runs) < 3:
        return None
    start = float(np.median(runs))
    if start > length / 3:
        return None
    place = np.arange(length, dtype=np.float32) + 0.5
    best: tuple[float, float, float] = (0.0, 0.0, 0.0)
    fine = 0.25 * start / length
    candidates = np.concatenate([np.arange(start * 0.85, start * 1.15, fine), [round(start)]])
    for period in candidates:
        phases = np.arange(0, period, max(0.25, period / 64))
        wave = 1 - 2 * (np.floor((place[None] - phases[:, None]) / period).astype(int) % 2)  # phases n
        score = np.abs(wave @ rows.T).sum(axis=1)  # phases
        # whole periods win ties: pictures that were not resized have them
        score = score + (1e-3 * length if abs(period - round(period)) < 1e-6 else 0)
        top = int(score.argmax())
        if score[top] > best[0]:
            best = float(score[top]), float(period), float(phases[top])
    score, period, phase = best
    if score < 0.6 * np.abs(rows).sum() or period < 2.5:
        return None
    wave = (1 - 2 * (np.floor((place - phase) / period).astype(int) % 2)).astype(np.float32)
    fraction = np.abs((place - phase) / period - np.round((place - phase) / period)) * period
    return wave, fraction <= 1.0, period


def connected_to_border(near: NDArray) -> NDArray[np.bool_]:
    """True where `near` (`h w`) holds and is connected, side by side, to the border."""
    canvas = np.pad(near.astype(np.uint8), 1, constant_values=1)
    cv2.floodFill(canvas, None, (0, 0), (2,), flags=4)
    return canvas[1:-1, 1:-1] == 2


Estimator = Callable[[Picture], Behind]
