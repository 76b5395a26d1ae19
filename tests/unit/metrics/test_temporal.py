"""Temporal scores of alpha."""

import numpy as np
import pytest
import torch

from glassine.metrics import DtSSD, Flicker
from glassine.metrics.temporal import AlphaLevels, AlphaMotion, AlphaOverlap, alpha_flicker
from glassine.utils.errors import UserError


def _score(metric, pred, true):
    metric.update(pred, true)
    return metric.per_clip().numpy()


def test_dtssd_equals_the_definition_with_and_without_frame_0(clips):
    pred, true = clips
    skipped, counted = [], []
    for p, t in zip(pred.double().numpy(), true.double().numpy(), strict=True):
        frames = [
            100 * np.sqrt((((p[i] - p[i - 1]) - (t[i] - t[i - 1])) ** 2).sum() / t[i].size) for i in range(1, len(t))
        ]
        skipped.append(np.mean(frames))
        counted.append(np.mean([0, *frames]))
    np.testing.assert_allclose(_score(DtSSD(), pred, true), skipped, rtol=1e-5)
    np.testing.assert_allclose(_score(DtSSD(skip_first=False), pred, true), counted, rtol=1e-5)


def test_a_constant_offset_is_no_temporal_error(clips):
    true = clips[1] * 0.5
    assert _score(DtSSD(), true + 0.25, true).max() < 1e-3


def test_single_frames_have_no_temporal_score():
    clip = torch.rand(2, 1, 1, 8, 8)
    assert np.isnan(_score(DtSSD(), clip, clip)).all()
    assert np.isnan(_score(Flicker(), clip, clip)).all()
    assert _score(DtSSD(skip_first=False), clip, clip).tolist() == [0, 0]


@pytest.mark.parametrize("threshold", [0.01, 0.2])
def test_flicker_equals_dtssd_over_still_pixels(clips, threshold):
    pred, true = clips
    expected = []
    for p, t in zip(pred.double().numpy(), true.double().numpy(), strict=True):
        frames = []
        for i in range(1, len(t)):
            still = np.abs(t[i] - t[i - 1]) < threshold
            frames.append(100 * np.sqrt(np.mean(((p[i] - p[i - 1]) - (t[i] - t[i - 1]))[still] ** 2)))
        expected.append(np.mean(frames))
    np.testing.assert_allclose(_score(Flicker(threshold), pred, true), expected, rtol=1e-5)


def test_flicker_ignores_errors_where_the_truth_moves():
    true = torch.zeros(1, 3, 1, 8, 8)
    true[:, 1, ..., :4] = 1  # the left half blinks, the right half is still
    pred = torch.zeros_like(true)
    assert _score(DtSSD(), pred, true).item() > 50
    assert _score(Flicker(), pred, true).item() == 0
    pred[:, 1, ..., 4:] = 0.2
    assert _score(Flicker(), pred, true).item() == pytest.approx(20, rel=1e-5)


def test_flicker_uses_only_the_frames_with_a_still_pixel():
    true = torch.zeros(1, 3, 1, 8, 8)
    true[:, 2] = 1  # all pixels change
    pred = torch.zeros_like(true)
    pred[:, 1] = 0.1
    assert _score(Flicker(), pred, true).item() == pytest.approx(10, rel=1e-5)
    assert np.isnan(_score(Flicker(), pred[:, 1:], true[:, 1:])).all()


def square(left: int, level: float = 1.0, side: int = 8) -> torch.Tensor:
    """Alpha `1 16 32` of a square."""
    alpha = torch.zeros(1, 16, 32)
    alpha[:, 4 : 4 + side, left : left + side] = level
    return alpha


def per_clip(metric, *tensors):
    metric.update(*tensors)
    return metric.per_clip().numpy()


def test_overlap_and_levels_equal_their_definitions(clips):
    pred, true = clips
    base = true[:, 1:2]
    overlap, levels = [], []
    for p, b in zip(pred.double().numpy(), base.double().numpy(), strict=True):
        overlap.append(
            sum(np.minimum(frame, b[0]).sum() for frame in p) / sum(np.maximum(frame, b[0]).sum() for frame in p)
        )
        levels.append(np.mean([np.abs(np.sort(frame.ravel()) - np.sort(b.ravel())).mean() for frame in p]) * 1000)
    np.testing.assert_allclose(per_clip(AlphaOverlap(), pred, base), overlap, rtol=1e-5)
    np.testing.assert_allclose(per_clip(AlphaLevels(), pred, base), levels, rtol=1e-4)


def test_a_thing_that_moves_as_it_is_keeps_its_levels_and_loses_overlap():
    base = square(4)[None, None]
    moved = torch.stack([square(4), square(8), square(12)])[None]
    assert per_clip(AlphaLevels(), moved, base).item() == 0
    assert per_clip(AlphaOverlap(), moved, base).item() == pytest.approx((64 + 32 + 0) / (64 + 96 + 128))
    assert per_clip(AlphaOverlap(), base.expand(1, 3, 1, 16, 32), base).item() == 1


@pytest.mark.parametrize("other", [square(4, 0.5), square(4, side=10), square(4).clamp(min=0.1)])
def test_see_through_grown_and_veiled_things_change_the_levels(other):
    assert per_clip(AlphaLevels(), torch.stack([square(4), other])[None], square(4)[None, None]).item() > 5


def test_motion_is_the_mean_change_a_thousandfold(clips):
    pred, _ = clips
    steps = np.abs(np.diff(pred.double().numpy(), axis=1)).mean((1, 2, 3, 4)) * 1000
    np.testing.assert_allclose(per_clip(AlphaMotion(), pred), steps, rtol=1e-5)
    assert per_clip(AlphaMotion(), pred[:, :1].expand_as(pred)).max() == 0
    assert np.isnan(per_clip(AlphaMotion(), pred[:, :1])).all()


def test_flicker_is_what_comes_and_goes_not_what_comes_and_stays():
    off, on, half = torch.zeros(1, 4, 4), torch.ones(1, 4, 4), torch.full((1, 4, 4), 0.5)

    def of(*frames: torch.Tensor) -> float:
        return alpha_flicker(torch.stack(frames)[None]).item()

    assert of(off, on, on, on) == of(off, half, on, on) == 0
    assert of(off, on, off) == pytest.approx(1000)
    assert of(on, off, half, half) == pytest.approx(250)  # half of it comes back, in one of two inner frames
    assert np.isnan(of(off, on))


def test_clips_without_any_alpha_have_no_overlap_and_are_left_out_of_the_mean():
    metric = AlphaOverlap()
    base = square(4)[None, None]
    metric.update(torch.cat([base, 0 * base]).expand(2, 3, 1, 16, 32), torch.cat([base, 0 * base]))
    assert metric.compute() == 1
    assert metric.per_clip().isnan().tolist() == [False, True]


def test_values_that_are_no_alpha_are_refused():
    with pytest.raises(UserError, match=r"must be in \[0, 1\]"):
        AlphaMotion().update(2 * torch.ones(1, 3, 1, 4, 4))
    with pytest.raises(ValueError, match="same non-empty shape"):
        AlphaLevels().update(torch.ones(1, 3, 1, 4, 4), torch.ones(1, 2, 1, 4, 4))
