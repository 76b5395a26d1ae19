import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import structural_similarity_index_measure

from glassine.metrics import AlphaSSIM
from glassine.metrics.image import ssim
from glassine.utils.errors import UserError


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
    with pytest.raises(UserError, match=r"9x5.*at least 6"):
        AlphaSSIM().update(clip, clip)
