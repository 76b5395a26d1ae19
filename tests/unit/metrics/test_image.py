"""PSNR and SSIM of alpha and of composites."""

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import structural_similarity_index_measure

from glassine.metrics import AlphaPSNR, AlphaSSIM, CompositePSNR, CompositeSSIM
from glassine.metrics.image import background_color, ssim
from glassine.utils.errors import UserError


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


@pytest.mark.parametrize("channels", [1, 3])
def test_equals_torchmetrics(clips, channels):
    pred, true = (clip.expand(-1, -1, channels, -1, -1).clone() for clip in clips)
    pred[:, :, 0] *= 0.8
    expected = [structural_similarity_index_measure(p, t, data_range=1.0) for p, t in zip(pred, true, strict=True)]
    torch.testing.assert_close(ssim(pred, true), torch.stack(expected), atol=1e-4, rtol=0)


def test_equals_skimage_away_from_the_border():
    # content far from the border: both ways of padding see zeros there
    true = torch.zeros(1, 1, 1, 48, 48)
    true[..., 16:32, 18:30] = torch.rand(16, 12)
    pred = true * 0.7
    _, full = structural_similarity(
        true[0, 0, 0].double().numpy(),
        pred[0, 0, 0].double().numpy(),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1,
        full=True,
    )
    assert ssim(pred, true).item() == pytest.approx(np.mean(full), abs=1e-4)


def test_perfect_prediction_scores_one(clips):
    metric = AlphaSSIM()
    metric.update(clips[1], clips[1])
    assert metric.compute().item() == pytest.approx(1, abs=1e-5)


def test_frames_too_small_for_the_window_are_refused():
    clip = torch.zeros(1, 1, 1, 5, 9)
    with pytest.raises(UserError, match=r"at least 6 pixels .* got 9x5"):
        AlphaSSIM().update(clip, clip)


def _rgba(alpha):
    colors = torch.rand(*alpha.shape[:2], 3, *alpha.shape[3:], generator=torch.Generator().manual_seed(0))
    return torch.cat([colors, alpha], dim=2)


def _over(rgba, color):
    pixels = rgba.numpy().astype(np.float64)
    return np.stack([pixels[:, c] * pixels[:, 3] + color[c] * (1 - pixels[:, 3]) for c in range(3)], axis=1)


@pytest.mark.parametrize(("name", "color"), [("white", (1, 1, 1)), ("#ff8000", (1, 128 / 255, 0))])
def test_scores_are_those_of_the_pictures_on_the_named_color(clips, name, color):
    pred, true = (_rgba(alpha) for alpha in clips)
    psnr, ssim = CompositePSNR(background=name), CompositeSSIM(background=name)
    psnr.update(pred, true)
    ssim.update(pred, true)
    dbs, similarities = [], []
    for pair in zip(pred, true, strict=True):
        seen = [_over(rgba, color) for rgba in pair]
        dbs.append(np.mean([peak_signal_noise_ratio(t, p, data_range=1) for p, t in zip(*seen, strict=True)]))
        similarities.append(structural_similarity_index_measure(*map(torch.from_numpy, seen), data_range=1.0))
    np.testing.assert_allclose(psnr.per_clip(), dbs, rtol=1e-5)
    np.testing.assert_allclose(ssim.per_clip(), similarities, atol=1e-4)


def test_colors_of_invisible_pixels_do_not_count():
    true = torch.rand(1, 2, 4, 8, 8)
    true[:, :, 3, :4] = 0
    pred = true.clone()
    pred[:, :, :3, :4] = 0.123
    metric = CompositePSNR()
    metric.update(pred, true)
    assert metric.compute().item() == pytest.approx(60)


def test_a_white_object_lost_on_white_shows_on_the_default_background():
    true = torch.ones(1, 1, 4, 8, 8)
    pred = true.clone()
    pred[:, :, 3] = 0
    on_white, on_gray = CompositePSNR(background="white"), CompositePSNR()
    on_white.update(pred, true)
    on_gray.update(pred, true)
    assert on_white.compute() > 59
    assert on_gray.compute() < 7


def test_unknown_color_is_refused():
    assert background_color("gray") == pytest.approx((128 / 255,) * 3)
    with pytest.raises(UserError, match=r"background must be a color, .* got 'blurple'"):
        CompositeSSIM(background="blurple")
