import pytest
import torch

from glassine.metrics import MAD, DtSSD
from glassine.utils.errors import UserError


def test_mean_is_over_clips_and_every_clip_can_be_read(clips):
    pred, true = clips
    metric = MAD()
    metric.update(pred[:1], true[:1])
    metric.update(pred[1:], true[1:])
    expected = [1000 * (pred[i] - true[i]).abs().mean() for i in range(3)]
    torch.testing.assert_close(metric.per_clip(), torch.stack(expected))
    torch.testing.assert_close(metric.compute(), torch.stack(expected).mean())


def test_clip_without_a_value_is_left_out_of_the_mean(clips):
    pred, true = clips
    metric = DtSSD()
    metric.update(pred[:1], true[:1])
    alone = metric.compute().item()
    metric.update(pred[1:2, :1], true[1:2, :1])
    assert metric.per_clip().isnan().tolist() == [False, True]
    assert metric.compute().item() == pytest.approx(alone)


def test_reset_forgets_all_clips(clips):
    metric = MAD()
    metric.update(*clips)
    metric.reset()
    assert metric.per_clip().numel() == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.2, 1.5])
def test_broken_predictions_are_refused_not_skipped(clips, value):
    pred, true = clips
    pred[1, 2, 0, 5, 5] = value
    with pytest.raises(UserError, match=r"preds must be in \[0, 1\], got"):
        MAD().update(pred, true)


def test_half_precision_overshoot_is_clamped():
    true = torch.ones(1, 2, 1, 8, 8)
    metric = MAD()
    metric.update((true + 5e-4).half(), true)
    assert metric.compute().item() == 0


@pytest.mark.parametrize("shape", [(2, 1, 8, 8), (1, 2, 3, 8, 8), (1, 0, 1, 8, 8)])
def test_wrong_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="b f 1 h w"):
        MAD().update(torch.zeros(shape), torch.zeros(shape))


def test_integer_clips_are_refused():
    clip = torch.zeros(1, 1, 1, 8, 8, dtype=torch.uint8)
    with pytest.raises(ValueError, match="divide by 255"):
        MAD().update(clip, clip)
