import cv2
import numpy as np
import pytest

from glassine.pipelines.area_shapes import SHAPES
from glassine.pipelines.closed_form import closed_form, look
from glassine.pipelines.regions import describe


def two_eyes(damage: bool):
    """A dark disc on white with two white eyes, as JPEG or as drawn."""
    picture = np.full((96, 96, 3), 255, np.uint8)
    cv2.circle(picture, (48, 48), 36, (40, 60, 150), -1)
    for x in (34, 62):
        cv2.circle(picture, (x, 40), 7, (255, 255, 255), -1)
    if damage:
        picture = cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_COLOR)
    return look(picture, np.full(picture.shape, 255, np.float32))


def column(features: np.ndarray, name: str) -> np.ndarray:
    return features[:, SHAPES.index(name)]


@pytest.mark.parametrize("damage", [False, True])
def test_shapes_say_where_and_what_an_area_is(damage):
    evidence = two_eyes(damage)
    assert evidence.damaged == damage
    found = closed_form(evidence)
    areas = describe(evidence, found.alpha <= 0, found.areas)
    assert all(area.damaged == damage for area in areas)
    features = np.stack([area.shapes for area in areas])
    assert features.shape == (2, len(SHAPES))
    assert (column(features, "twin") > 0.8).all()
    assert (column(features, "round") > 0.6).all()
    assert (column(features, "height") < 0.5).all()
    np.testing.assert_allclose(column(features, "off center"), 0.2, atol=0.05)
    assert (column(features, "background's luma") > 0.99).all()
