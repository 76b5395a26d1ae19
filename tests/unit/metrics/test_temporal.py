"""dtSSD and flicker against sums over single frames."""

import numpy as np
import pytest
import torch

from glassine.metrics import DtSSD, Flicker


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
