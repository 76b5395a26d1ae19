"""Errors of alpha against a target, each against an independent reference."""

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage

from glassine.metrics import MAD, MSE, Conn, Grad, SemiTransparentMAD


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


def _reference(pred, true):
    """Follow the definition with SciPy's labelling, all thresholds, the whole frame."""
    level = np.full(true.shape, -1.0)
    for step in range(1, 11):
        both = (pred >= step / 10) & (true >= step / 10)
        labels, count = ndimage.label(both)  # 4 neighbors
        body = np.zeros(true.shape, bool)
        if count:
            body = labels == 1 + np.argmax(ndimage.sum_labels(both, labels, range(1, count + 1)))
        level[(level == -1) & ~body] = (step - 1) / 10
    level[level == -1] = 1
    phis = []
    for alpha in (pred, true):
        distance = (alpha - level).astype(np.float32)  # float32 as the clips are: 0.15 falls on the same side
        phis.append(np.where(distance >= np.float32(0.15), 1 - distance, 1))
    return np.abs(phis[0] - phis[1]).sum() / 1000


def _score(pred, true):
    metric = Conn()
    metric.update(pred, true)
    return metric.per_clip().numpy()


def _expected(pred, true):
    return [
        np.mean([_reference(p[0], t[0]) for p, t in zip(*pair, strict=True)])
        for pair in zip(pred.numpy(), true.numpy(), strict=True)
    ]


def test_equals_the_definition(clips):
    np.testing.assert_allclose(_score(*clips), _expected(*clips), rtol=1e-5)


def test_equals_the_definition_on_noise():
    generator = torch.Generator().manual_seed(3)
    pred, true = (torch.rand(2, 2, 1, 24, 20, generator=generator) ** 0.3 for _ in range(2))
    np.testing.assert_allclose(_score(pred, true), _expected(pred, true), rtol=1e-5)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_constant_frames(value):
    constant = torch.full((1, 2, 1, 8, 8), value)
    assert _score(constant, constant).tolist() == [0]
    # nothing overlaps: every pixel's level is 0 and it counts in full
    assert _score(constant, 1 - constant).item() == pytest.approx(0.064)


def test_a_detached_part_is_an_error_only_where_the_alphas_differ():
    true = torch.zeros(1, 1, 1, 16, 16)
    true[..., 2:10, 2:10] = 1
    true[..., 12:14, 12:14] = 1
    assert _score(true, true).tolist() == [0]
    pred = true.clone()
    pred[..., 12:14, 12:14] = 0
    assert _score(pred, true).item() == pytest.approx(4 / 1000)


def _reference_of_grad(pred, true, sigma):
    """Follow the definition pixel by pixel in float64: a 2D kernel, OpenCV's filter and normalization."""
    half = int(np.ceil(sigma * np.sqrt(-2 * np.log(np.sqrt(2 * np.pi) * sigma * 0.01))))
    kernel = np.zeros((2 * half + 1, 2 * half + 1))
    for y in range(-half, half + 1):
        for x in range(-half, half + 1):
            density_y, density_x = (np.exp(-(v**2) / 2 / sigma**2) / sigma / np.sqrt(2 * np.pi) for v in (y, x))
            kernel[y + half, x + half] = density_y * (-x * density_x / sigma**2)
    kernel /= np.sqrt((kernel**2).sum())
    slopes = []
    for alpha in (pred, true):
        stretched = cv2.normalize(alpha, None, 1.0, 0.0, cv2.NORM_MINMAX)
        across, down = (cv2.filter2D(stretched, -1, k, borderType=cv2.BORDER_REPLICATE) for k in (kernel, kernel.T))
        slopes.append(np.sqrt(across**2 + down**2))
    return ((slopes[0] - slopes[1]) ** 2).sum() / 1000


@pytest.mark.parametrize("sigma", [1.4, 2.0])
def test_equals_the_definition_of_grad(clips, sigma):
    pred, true = clips
    metric = Grad(sigma=sigma)
    metric.update(pred, true)
    expected = [
        np.mean([_reference_of_grad(p[0], t[0], sigma) for p, t in zip(*pair, strict=True)])
        for pair in zip(pred.double().numpy(), true.double().numpy(), strict=True)
    ]
    np.testing.assert_allclose(metric.per_clip(), expected, rtol=1e-4)


def test_noise_on_an_empty_frame_is_no_edge(clips):
    true = clips[1][:1]
    noise = 1e-3 * torch.rand(true.shape)
    empty, noisy = Grad(), Grad()
    empty.update(torch.zeros_like(true), true)
    noisy.update(noise, true)
    assert empty.compute() > 0
    assert noisy.compute() == empty.compute()
    both = Grad()
    both.update(noise, torch.ones_like(noise))
    assert both.compute() == 0


def test_blurred_edges_cost_more_the_softer_they_are(clips):
    true = clips[1][:1]
    soft = [torch.nn.functional.avg_pool2d(true[0], size, 1, size // 2)[None] for size in (3, 5)]
    errors = []
    for pred in soft:
        metric = Grad()
        metric.update(pred, true)
        errors.append(metric.compute().item())
    assert 0 < errors[0] < errors[1]
