"""Linear gradients of many stops are told by the border alone, and edges are not taken for them."""

import cv2
import numpy as np
import pytest

from glassine.pipelines.background_models import border_of
from glassine.pipelines.ramps import find_ramp

STOPS = ((255, 120, 60), (255, 240, 230), (80, 140, 255))


def found(picture: np.ndarray) -> np.ndarray | None:
    y, x = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]].astype(np.float32)
    places = [border_of(plane[..., None])[:, 0] for plane in (x, y)]
    return find_ramp(picture, border_of(picture).astype(np.float32), *places)


def drawn(height: int, width: int, degrees: float) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    along = x * np.cos(np.radians(degrees)) + y * np.sin(np.radians(degrees))
    places = np.linspace(along.min(), along.max(), len(STOPS))
    return np.stack([np.interp(along, places, channel) for channel in np.transpose(STOPS)], axis=-1)


@pytest.mark.parametrize("size", [(64, 64), (200, 140), (600, 512)])
@pytest.mark.parametrize("degrees", [20, 45, 100, 160])
def test_a_ramp_is_known_behind_the_sticker(size, degrees):
    truth = drawn(*size, degrees)
    picture = truth.round().astype(np.uint8)
    cv2.circle(picture, (size[1] // 2, size[0] - 2), min(size) // 8, (20, 160, 40), -1)  # it touches the border
    ramp = found(picture)
    assert ramp is not None
    assert np.percentile(np.abs(ramp - truth).max(axis=2), 95) < 3


@pytest.mark.parametrize("side", [96, 512, 1024])
def test_edges_are_no_ramps(side):
    y, x = np.mgrid[0:side, 0:side]
    split = np.where((x + y < side)[..., None], (250, 240, 200), (60, 110, 190)).astype(np.uint8)
    assert found(split) is None
    noisy = np.random.default_rng(0).normal(200, 4, (side, side, 3)).clip(0, 255).astype(np.uint8)
    noisy[x + y < side // 3] = (30, 40, 160)  # a sticker that runs off at a corner
    ramp = found(noisy)
    assert ramp is None or np.abs(ramp[:20, :20] - (30, 40, 160)).max(axis=2).min() > 100


def test_noise_has_no_ramp():
    assert found(np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)) is None
