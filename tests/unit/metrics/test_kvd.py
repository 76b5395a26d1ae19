import math

import pytest
import torch
from tests.unit.metrics.test_fvd import Eyes, stickers
from torchmetrics.image.kid import maximum_mean_discrepancy, poly_mmd

from glassine.metrics.fvd import KVD, kernel_distance
from glassine.utils.errors import UserError


def features(count, seed, shift=0.0, width=5):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + shift


def test_is_the_definition_over_all_pairs_of_two_different_features():
    x, y = features(4, 0), features(3, 1, 0.5)

    def kernel(a, b):
        return (float(a @ b) / 5 + 1) ** 3

    within_x = [kernel(x[i], x[j]) for i in range(4) for j in range(4) if i != j]
    within_y = [kernel(y[i], y[j]) for i in range(3) for j in range(3) if i != j]
    between = [kernel(a, b) for a in x for b in y]
    wanted = sum(within_x) / 12 + sum(within_y) / 6 - 2 * sum(between) / 12
    assert kernel_distance(x, y) == pytest.approx(wanted, rel=1e-9)


def test_agrees_with_the_kernel_distance_of_torchmetrics():
    x, y = features(30, 0), features(30, 1, 0.3)
    kernels = [(a @ b.T / 5 + 1) ** 3 for a, b in ((x, x), (x, y), (y, y))]
    assert kernel_distance(x, y) == pytest.approx(float(maximum_mean_discrepancy(*kernels)), rel=1e-9)
    assert kernel_distance(x, y) == pytest.approx(float(poly_mmd(x, y)), rel=1e-9)


def test_few_clips_do_not_make_it_larger():
    same = [kernel_distance(features(8, seed), features(8, 1000 + seed)) for seed in range(300)]
    apart = [kernel_distance(features(8, seed), features(8, 1000 + seed, 1.0)) for seed in range(300)]
    mean, error = torch.tensor(same).mean().item(), torch.tensor(same).std().item() / math.sqrt(300)
    assert abs(mean) < 3 * error
    assert min(same) < 0
    assert torch.tensor(apart).mean() > 20 * error


def test_clips_are_scored_on_each_background_and_counted():
    torch.manual_seed(0)
    metric = KVD(Eyes(), "eyes")
    real, fake = stickers(12, 0), stickers(9, 1) ** 2
    for part in real.split(5):
        metric.update(part, real=True)
    metric.update(fake, real=False)
    result = metric.compute()
    for background, color in (("white", 1), ("black", 0)):
        seen = [
            metric.network((c[:, :, :3] * c[:, :, 3:] + color * (1 - c[:, :, 3:])).repeat_interleave(2, dim=1))
            for c in (real, fake)
        ]
        name = f"kvd_eyes_rep2_16f_{background}"
        assert result[name] == pytest.approx(kernel_distance(*seen), rel=1e-4)
        assert (result[f"{name}_n_real"], result[f"{name}_n_fake"]) == (12, 9)


def test_too_few_clips_are_no_distance_and_a_reset_forgets():
    metric = KVD(Eyes(), "eyes", backgrounds=["white"])
    metric.update(stickers(5, 0), real=True)
    assert math.isnan(metric.compute()["kvd_eyes_rep2_16f_white"])
    metric.update(stickers(5, 1), real=False)
    assert math.isfinite(metric.compute()["kvd_eyes_rep2_16f_white"])
    metric.reset()
    metric.update(stickers(3, 2), real=False)
    assert metric.compute()["kvd_eyes_rep2_16f_white_n_fake"] == 3


def test_the_rules_of_protocols_hold_here_too():
    with pytest.raises(UserError, match="protocol 'all' came"):
        KVD(Eyes(), "eyes", "all")
    with pytest.raises(UserError, match="clips of 5 frames came"):
        KVD(Eyes(), "eyes").update(stickers(2, 0, frames=5), real=True)
