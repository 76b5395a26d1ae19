"""MAD, MSE and the error on semi-transparent pixels against sums over single pixels."""

import numpy as np
import pytest
import torch

from glassine.metrics import MAD, MSE, SemiTransparentMAD


def test_mad_and_mse_equal_numpy(clips):
    pred, true = clips
    mad, mse = MAD(), MSE()
    mad.update(pred, true)
    mse.update(pred, true)
    p, t = pred.double().numpy(), true.double().numpy()
    frame_mads = [[np.abs(p[b, f] - t[b, f]).mean() * 1e3 for f in range(p.shape[1])] for b in range(len(p))]
    frame_mses = [[((p[b, f] - t[b, f]) ** 2).mean() * 1e3 for f in range(p.shape[1])] for b in range(len(p))]
    np.testing.assert_allclose(mad.per_clip(), np.mean(frame_mads, axis=1), rtol=1e-5)
    np.testing.assert_allclose(mse.per_clip(), np.mean(frame_mses, axis=1), rtol=1e-5)


@pytest.mark.parametrize(("low", "high"), [(0.05, 0.95), (0.3, 0.6)])
def test_semi_transparent_error_equals_numpy(clips, low, high):
    pred, true = clips
    metric = SemiTransparentMAD(low, high)
    metric.update(pred, true)
    expected = []
    for p, t in zip(pred.double().numpy(), true.double().numpy(), strict=True):
        soft = (t > low) & (t < high)
        expected.append(1e3 * np.abs(p[soft] - t[soft]).mean())
    np.testing.assert_allclose(metric.per_clip(), expected, rtol=1e-5)


def test_semi_transparent_error_of_hard_alpha_is_not_defined():
    true = torch.zeros(1, 2, 1, 8, 8)
    true[..., :4] = 1
    metric = SemiTransparentMAD()
    metric.update(true * 0.5, true)
    assert metric.compute().isnan()
