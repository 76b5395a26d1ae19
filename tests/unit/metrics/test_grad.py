import cv2
import numpy as np
import pytest
import torch

from glassine.metrics import Grad


def _reference(pred, true, sigma):
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
def test_equals_the_definition(clips, sigma):
    pred, true = clips
    metric = Grad(sigma=sigma)
    metric.update(pred, true)
    expected = [
        np.mean([_reference(p[0], t[0], sigma) for p, t in zip(*pair, strict=True)])
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
