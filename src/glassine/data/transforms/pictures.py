"""Backgrounds that are not one color, as files have them: gradients, two colors, checkerboards, scenes, flashes."""

from collections.abc import Sequence

import cv2
import numpy as np

from glassine.data.transforms.base import Background, Floats

BOARDS = ((255, 204), (255, 192), (255, 239), (255, 230), (204, 153), (153, 102), (128, 102), (64, 48))
"""Grays of the checkerboards that picture editors paint for transparency."""


def _grid(frames: Floats) -> tuple[Floats, Floats]:
    """Coordinates in [0, 1), `h w` each: down and across."""
    height, width = frames.shape[1:3]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return y / height, x / width


def _color(rng: np.random.Generator) -> Floats:
    """A random color; every third is white, gray or black."""
    if rng.random() < 0.33:
        return np.full(3, float(rng.choice([1.0, 0.94, 0.5, 0.0])), np.float32)
    return (rng.integers(0, 256, 3) / 255).astype(np.float32)


def _stored(picture: Floats, frames: Floats) -> Floats:
    """One picture (`h w 3`) behind every frame, in whole 8-bit values: `f h w 3`."""
    whole = (np.round(np.clip(picture, 0, 1) * 255) / 255).astype(np.float32)
    return np.broadcast_to(whole, (len(frames), *whole.shape)).copy()


class Gradient(Background):
    """Two or three colors that run into each other, in a line or around a point; args as `Background`."""

    name = "gradient"

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__(weight)

    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Draw the gradient for `frames` (`f h w 4`): `f h w 3`."""
        y, x = _grid(frames)
        if rng.random() < 0.3:
            place = np.hypot(x - rng.uniform(0.2, 0.8), y - rng.uniform(0.2, 0.8))
        else:
            angle = rng.choice([0, np.pi / 2, rng.uniform(0, 2 * np.pi)])
            place = np.cos(angle) * x + np.sin(angle) * y
        place = (place - place.min()) / max(float(np.ptp(place)), 1e-6)
        stops = np.stack([_color(rng) for _ in range(int(rng.integers(2, 4)))])
        at = np.linspace(0, 1, len(stops))
        return _stored(np.stack([np.interp(place, at, stops[:, c]) for c in range(3)], axis=-1), frames)


class TwoColors(Background):
    """Two colors side by side, above each other or in stripes; args as `Background`."""

    name = "two_colors"

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__(weight)

    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Draw them for `frames` (`f h w 4`): `f h w 3`."""
        place = _grid(frames)[int(rng.integers(2))]
        count = 2 if rng.random() < 0.7 else int(rng.integers(3, 9))
        edges = np.sort(rng.uniform(0.15, 0.85, count - 1))
        stripe = np.searchsorted(edges, place) % 2
        first, second = _color(rng), _color(rng)
        return _stored(np.where(stripe[..., None] > 0, first, second), frames)


class Checkerboard(Background):
    """The painted transparency of picture editors, of the usual sizes and grays, or resized to uneven squares.

    Args:
        squares: Fewest and most pixels of a square at 256 px; it scales with the frames.
        weight: How often it is chosen against its neighbors in the list.
    """

    name = "checkerboard"

    def __init__(self, squares: tuple[int, int] = (5, 24), weight: float = 1.0) -> None:
        super().__init__(weight)
        if not 1 <= squares[0] <= squares[1]:
            raise ValueError(f"squares must be low, high of at least 1 pixel, got {squares}")
        self.squares = squares

    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Draw it for `frames` (`f h w 4`): `f h w 3`."""
        height, width = frames.shape[1:3]
        side = max(2.0, rng.integers(self.squares[0], self.squares[1] + 1) * max(height, width) / 256)
        side = float(round(side)) if rng.random() < 0.7 else side
        light, dark = BOARDS[int(rng.integers(len(BOARDS)))]
        y, x = np.mgrid[0:height, 0:width] + rng.uniform(0, 2 * side, (2, 1, 1)).round()
        odd = (np.floor(x / side) + np.floor(y / side)) % 2 > 0
        board = np.where(odd[..., None], light, dark) * np.ones(3) / 255
        return _stored(board.astype(np.float32), frames)


class Scene(Background):
    """A procedural photograph: noise of several sizes, blurred shapes, a horizon, grain; it may pan and shake.

    Args:
        moving: How often it pans.
        weight: How often it is chosen against its neighbors in the list.
    """

    name = "scene"

    def __init__(self, moving: float = 0.4, weight: float = 1.0) -> None:
        super().__init__(weight)
        self.moving = moving

    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Draw it for `frames` (`f h w 4`): `f h w 3`."""
        count, height, width = frames.shape[:3]
        room = max(8, round(0.25 * max(height, width)))
        size = (width + 2 * room, height + 2 * room)
        picture = np.zeros((size[1], size[0], 3), np.float32)
        strength = 1.0
        for cells in (2, 4, 9, 20, 48):
            grid = rng.random((cells, cells, 3), dtype=np.float32)
            picture += strength * cv2.resize(grid, size, interpolation=cv2.INTER_CUBIC)
            strength *= rng.uniform(0.35, 0.75)
        low, high = np.percentile(picture, (2, 98))
        picture = (picture - low) / max(float(high - low), 1e-6)
        for _ in range(int(rng.integers(0, 14))):
            center = tuple(int(v) for v in rng.integers(0, size))
            axes = tuple(int(v) for v in rng.integers(room // 4 + 1, 2 * room, 2))
            color = tuple(float(v) for v in rng.random(3))
            cv2.ellipse(picture, center, axes, float(rng.uniform(0, 180)), 0, 360, color, -1, cv2.LINE_AA)
        if rng.random() < 0.7:
            picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.5, 6) * height / 256 + 0.1)))
        picture = np.clip(picture + rng.normal(0, rng.uniform(0, 0.03), picture.shape), 0, 1).astype(np.float32)
        step = np.zeros(2)
        if rng.random() < self.moving:
            step = rng.uniform(-0.03, 0.03, 2) * max(height, width)
        seen = []
        for number in range(count):
            # there and back again, so that a long clip stays on the picture
            x, y = np.abs((room + number * step + 2 * room) % (4 * room) - 2 * room).round().astype(int)
            seen.append(picture[y : y + height, x : x + width])
        return (np.round(np.stack(seen) * 255) / 255).astype(np.float32)


class Flashing(Background):
    """One flat color a frame: it fades from one to another, or flashes between two or three; args as `Background`."""

    name = "flashing"

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__(weight)

    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Draw the colors for `frames` (`f h w 4`): `f h w 3`."""
        count = len(frames)
        colors = np.stack([_color(rng) for _ in range(3)])
        if rng.random() < 0.5:
            share = np.linspace(0, 1, count, dtype=np.float32)[:, None]
            chosen = colors[0] * (1 - share) + colors[1] * share
        else:
            chosen = colors[rng.integers(0, 3, count)]
        chosen = np.round(chosen * 255) / 255  # f 3
        return np.broadcast_to(chosen[:, None, None], (*frames.shape[:3], 3)).astype(np.float32)


def wide_backgrounds(flat: Sequence[Background], share: float = 0.35) -> list[Background]:
    """The `flat` ones, with those of this file beside them, which get `share` of all weight in (0, 1).

    Raises:
        ValueError: the share is out of range.
    """
    if not 0 < share < 1:
        raise ValueError(f"share must be in (0, 1), got {share}")
    more: list[Background] = [
        Gradient(0.22),
        TwoColors(0.14),
        Checkerboard(weight=0.24),
        Scene(weight=0.3),
        Flashing(0.1),
    ]
    scale = sum(background.weight for background in flat) * share / (1 - share)
    for background in more:
        background.weight *= scale
    return [*flat, *more]
