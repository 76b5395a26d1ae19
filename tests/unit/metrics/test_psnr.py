import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from glassine.metrics import AlphaPSNR


def test_summary_equals_skimage_frame_by_frame(clips):
    pred, true = clips
    metric = AlphaPSNR()
    metric.update(pred, true)
    per_clip = [
        np.mean([peak_signal_noise_ratio(t.numpy(), p.numpy(), data_range=1) for p, t in zip(*pair, strict=True)])
        for pair in zip(pred, true, strict=True)
    ]
    np.testing.assert_allclose(metric.per_clip(), per_clip, rtol=1e-5)
    summary = metric.compute()
    assert summary["mean"].item() == pytest.approx(np.mean(per_clip), rel=1e-5)
    assert summary["median"].item() == pytest.approx(np.median(per_clip), rel=1e-5)
    pooled = peak_signal_noise_ratio(true.numpy(), pred.numpy(), data_range=1)
    assert summary["pooled"].item() == pytest.approx(pooled, rel=1e-5)


def test_one_dropped_object_shows_in_share_and_pooled_but_hardly_in_the_median():
    true = torch.zeros(10, 2, 1, 16, 16)
    true[..., 4:12, 4:12] = 1
    pred = (true - 0.01).clamp(0, 1)
    pred[3] = 0
    metric = AlphaPSNR()
    metric.update(pred, true)
    summary = metric.compute()
    assert summary["share_under_20db"].item() == pytest.approx(0.1)
    assert summary["median"] > 40
    assert summary["pooled"] < 17


def test_pooled_error_weighs_clips_by_their_pixels():
    metric = AlphaPSNR()
    metric.update(torch.full((1, 3, 1, 10, 10), 0.1), torch.zeros(1, 3, 1, 10, 10))
    metric.update(torch.full((1, 1, 1, 10, 10), 0.3), torch.zeros(1, 1, 1, 10, 10))
    assert metric.compute()["pooled"].item() == pytest.approx(-10 * np.log10((3 * 0.01 + 0.09) / 4), rel=1e-5)


def test_perfect_frames_read_the_cap():
    true = torch.rand(1, 2, 1, 8, 8)
    pred = true.clone()
    pred[:, 1] = (true[:, 1] - 0.1).abs()
    for cap in (60.0, 80.0):
        metric = AlphaPSNR(cap=cap)
        metric.update(pred[:, :1], true[:, :1])
        assert metric.compute()["mean"].item() == metric.compute()["pooled"].item() == pytest.approx(cap)
        metric.reset()
        metric.update(pred, true)
        second = peak_signal_noise_ratio(true[0, 1].numpy(), pred[0, 1].numpy(), data_range=1)
        assert metric.compute()["mean"].item() == pytest.approx((cap + second) / 2, rel=1e-5)


def test_halves_merge_to_the_whole(clips):
    pred, true = clips
    whole, left, right = AlphaPSNR(), AlphaPSNR(), AlphaPSNR()
    whole.update(pred, true)
    left.update(pred[:2], true[:2])
    right.update(pred[2:], true[2:])
    left.merge_state(right)
    for name, value in whole.compute().items():
        torch.testing.assert_close(left.compute()[name], value)
