"""Errors of large areas of alpha, against SciPy."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from glassine.metrics import HolesFilled, InteriorPunched


def _holes(metric, pred, true):
    metric.update(pred, true)
    return metric.per_clip().numpy()


def _square_with_hole(hole=6):
    true = torch.zeros(1, 2, 1, 32, 32)
    true[..., 6:26, 6:26] = 1
    true[..., 13 : 13 + hole, 13 : 13 + hole] = 0
    return true


def test_filled_share_equals_scipys_holes(clips):
    pred, true = clips
    expected = []
    for p, t in zip(pred.numpy(), true.numpy(), strict=True):
        filled = total = 0
        for p_frame, t_frame in zip(p[:, 0], t[:, 0], strict=True):
            outline = t_frame >= 0.05
            labels, count = ndimage.label(ndimage.binary_fill_holes(outline) & ~outline)
            for hole in (labels == index for index in range(1, count + 1)):
                if hole.sum() >= 16:
                    filled += (p_frame[hole] >= 0.5).sum()
                    total += hole.sum()
        expected.append(filled / total)
    assert max(expected) > 0
    np.testing.assert_allclose(_holes(HolesFilled(), pred, true), expected, rtol=1e-6)


def test_punched_share_equals_scipys_erosion(clips):
    pred, true = clips
    expected = []
    for p, t in zip(pred.numpy(), true.numpy(), strict=True):
        square = np.ones((3, 3), bool)
        inside = [ndimage.binary_erosion(frame > 0.95, square, border_value=1) for frame in t[:, 0]]
        expected.append((p[:, 0][np.stack(inside)] < 0.5).mean())
    assert max(expected) > 0
    np.testing.assert_allclose(_holes(InteriorPunched(margin=1), pred, true), expected, rtol=1e-6)


def test_a_filled_hole_and_a_punched_interior_are_told_apart():
    true = _square_with_hole()
    solid = true.clone()
    solid[..., 13:19, 13:16] = 1  # half of the hole
    assert _holes(HolesFilled(), solid, true).item() == pytest.approx(0.5)
    assert _holes(InteriorPunched(margin=1), solid, true).item() == 0
    empty = torch.zeros_like(true)
    assert _holes(HolesFilled(), empty, true).item() == 0
    assert _holes(InteriorPunched(margin=1), empty, true).item() == 1


@pytest.mark.parametrize("turns", range(4))
def test_what_is_open_to_the_border_is_no_hole(turns):
    true = torch.ones(1, 2, 1, 32, 32)
    true[..., :20, 13:19] = 0  # a bay from the upper border into the object
    true = true.rot90(turns, dims=(-2, -1))
    assert np.isnan(_holes(HolesFilled(), true, true)).all()


def test_what_is_small_is_no_hole():
    speck = _square_with_hole(hole=3)
    assert np.isnan(_holes(HolesFilled(), speck, speck)).all()
    assert _holes(HolesFilled(min_area=9), torch.ones_like(speck), speck).item() == 1


def test_a_diagonal_gap_does_not_open_a_hole():
    true = torch.zeros(1, 1, 1, 16, 16)
    true[..., 2:12, 2:12] = 1
    true[..., 4:10, 4:10] = 0
    true[..., 2, 2], true[..., 3, 3] = 0, 0  # touch the outside and the hole by corners only
    assert _holes(HolesFilled(), torch.ones_like(true), true).item() == 1


@pytest.mark.parametrize("turns", range(4))
def test_an_edge_off_by_the_margin_is_no_punched_interior(turns):
    true = torch.zeros(1, 1, 1, 32, 32)
    true[..., :20, 6:26] = 1  # cut off by the frame's upper border, which does not erode
    pred = torch.zeros_like(true)
    pred[..., :17, 9:23] = 1
    pred, true = pred.rot90(turns, dims=(-2, -1)), true.rot90(turns, dims=(-2, -1))
    assert _holes(InteriorPunched(), pred, true).item() == 0
    assert _holes(InteriorPunched(), torch.zeros_like(true), true).item() == 1
    assert _holes(InteriorPunched(margin=2), pred, true).item() == pytest.approx(1 - 17 * 14 / (18 * 16))


def test_nothing_solid_has_no_interior():
    faded = torch.full((1, 1, 1, 8, 8), 0.5)
    assert np.isnan(_holes(InteriorPunched(), faded, faded)).all()
