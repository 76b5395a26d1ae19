import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio
from torchmetrics.functional.image import structural_similarity_index_measure

from glassine.metrics import CompositePSNR, CompositeSSIM
from glassine.metrics.image import background_color
from glassine.utils.errors import UserError


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
    with pytest.raises(UserError, match="'blurple' is no color"):
        CompositeSSIM(background="blurple")
