import math

import pytest
import torch

from glassine.metrics.generated import Sharpness, gradient_magnitude


def test_the_gradient_of_a_ramp_is_its_slope():
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(10.0), indexing="ij")
    ramp = (0.03 * rows + 0.04 * columns).expand(2, 3, 8, 10)
    assert gradient_magnitude(ramp).tolist() == pytest.approx([0.05, 0.05], rel=1e-4)


def test_an_edge_keeps_its_sum_when_blurred_but_texture_does_not():
    stripes = (torch.arange(32) // 2 % 2).float().expand(1, 3, 32, 32)
    soft = torch.nn.functional.avg_pool2d(stripes, 3, 1)
    assert gradient_magnitude(soft) < 0.5 * gradient_magnitude(stripes)


def test_sharpness_is_made_by_true_over_all_batches():
    metric = Sharpness()
    true, made = torch.rand(6, 3, 8, 8), 0.5 * torch.rand(4, 3, 8, 8)
    for part in true.split(4):
        metric.update(part, real=True)
    assert math.isnan(metric.compute())
    metric.update(made, real=False)
    wanted = gradient_magnitude(made).mean() / gradient_magnitude(true).mean()
    torch.testing.assert_close(metric.compute(), wanted)
