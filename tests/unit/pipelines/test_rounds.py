import numpy as np
import pytest

from glassine.pipelines.background_models import border_of, find_behind
from glassine.pipelines.rounds import find_round


def round_gradient(size: tuple[int, int], point: tuple[float, float], stops: list[tuple[int, int, int]]) -> np.ndarray:
    """`h w 3` uint8: `stops` from `point` (in widths and heights) to the farthest corner."""
    height, width = size
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    away = np.hypot(x / width - point[0], y / height - point[1])
    at = np.linspace(0, away.max(), len(stops))
    return np.stack([np.interp(away, at, np.asarray(stops)[:, c]) for c in range(3)], axis=-1).round().astype(np.uint8)


def found_in(picture: np.ndarray) -> np.ndarray | None:
    y, x = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]].astype(np.float32)
    places = [border_of(plane[..., None])[:, 0] for plane in (x, y)]
    return find_round(picture, border_of(picture).astype(np.float32), *places)


@pytest.mark.parametrize("size", [(160, 160), (120, 200)])
@pytest.mark.parametrize("stops", [[(250, 240, 90), (40, 60, 190)], [(20, 160, 90), (240, 240, 240), (200, 30, 80)]])
def test_a_round_gradient_is_found_behind_a_sticker_and_followed_to_its_middle(size, stops):
    behind = round_gradient(size, (0.4, 0.6), stops)
    picture = behind.copy()
    picture[size[0] // 8 : size[0] // 2, size[1] // 3 : 2 * size[1] // 3] = (10, 10, 10)
    found = found_in(picture)
    assert found is not None
    assert np.abs(found - behind).max() < 12
    assert np.abs(found - behind).mean() < 2


def test_what_is_no_round_gradient_is_none():
    flat = np.full((96, 96, 3), 120, np.uint8)
    assert found_in(flat) is None
    noise = np.random.default_rng(0).integers(0, 255, (96, 96, 3)).astype(np.uint8)
    assert found_in(noise) is None
    halves = np.where(np.arange(96)[None, :, None] < 40, (200, 30, 30), (30, 30, 200)) * np.ones((96, 1, 1))
    assert found_in(halves.astype(np.uint8)) is None


def test_the_model_of_a_picture_is_the_round_gradient_and_not_a_surface_that_fits_its_border():
    behind = round_gradient((192, 192), (0.5, 0.5), [(255, 255, 200), (240, 120, 60), (60, 20, 90)])
    picture = behind.copy()
    picture[100:150, 60:110] = (20, 200, 40)
    model = find_behind(picture)
    assert model.kind == "gradient"
    assert np.abs(model.picture(picture) - behind).max() < 8
