"""Distances between sets of features, against independent references."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torchmetrics.image.kid import maximum_mean_discrepancy, poly_mmd

from glassine.metrics.feature_distances import (
    Moments,
    feature_moments,
    frechet_distance,
    kernel_distance,
    weighted_frechet_distance,
    weighted_kernel_distance,
)


def features(n, d, seed, scale=1.0, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(d, d, generator=generator) / math.sqrt(d)
    return scale * torch.randn(n, d, generator=generator) @ mix + shift


def reference(first, second, ddof):
    """The distance from the definition, by scipy's root of the unsymmetric product."""
    first, second = first.double().numpy(), second.double().numpy()
    cov1, cov2 = (np.cov(rows, rowvar=False, ddof=ddof) for rows in (first, second))
    shared = sqrtm(cov1 @ cov2).real
    return np.square(first.mean(0) - second.mean(0)).sum() + np.trace(cov1 + cov2 - 2 * shared)


@pytest.mark.parametrize("ddof", [0, 1])
def test_agrees_with_scipy_on_random_features(ddof):
    first, second = features(300, 48, 0), features(200, 48, 1, scale=1.5, shift=0.3)
    ours = frechet_distance(feature_moments(first), feature_moments(second), ddof)
    assert ours == pytest.approx(reference(first, second, ddof), abs=1e-3)
    assert ours > 10


def test_is_right_with_fewer_samples_than_dimensions():
    first, second = features(20, 64, 0), features(30, 64, 1, shift=0.2)
    # the roots of the eigenvalues of S1 S2 are the singular values of X1 X2^T / sqrt(n1 n2)
    centred1, centred2 = ((rows - rows.mean(0)).double() for rows in (first, second))
    shared = torch.linalg.svdvals(centred1 @ centred2.T).sum() / math.sqrt(19 * 29)
    traces = centred1.square().sum() / 19 + centred2.square().sum() / 29
    expected = (first.mean(0) - second.mean(0)).double().square().sum() + traces - 2 * shared
    ours = frechet_distance(feature_moments(first), feature_moments(second))
    assert ours == pytest.approx(expected.item(), abs=1e-3)


def test_a_far_mean_does_not_drown_the_covariance():
    first, second = features(100, 8, 0), features(100, 8, 1)
    near = frechet_distance(feature_moments(first), feature_moments(second))
    moved = (feature_moments(rows.double() + 1000) for rows in (first, second))
    assert frechet_distance(*moved) == pytest.approx(near, abs=1e-3)


def test_a_set_is_at_no_distance_from_itself_and_distances_are_symmetric():
    first, second = feature_moments(features(10, 32, 0)), feature_moments(features(40, 32, 1))
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-3)
    assert frechet_distance(first, second) == pytest.approx(frechet_distance(second, first), rel=1e-6)


def test_moments_of_parts_add_up():
    whole = features(50, 16, 0)
    parts = [feature_moments(part) for part in whole.split([20, 29, 1])]
    added = Moments(*(sum(field) for field in zip(*parts, strict=True)))
    expected = feature_moments(whole)
    assert added.samples == expected.samples == 50
    torch.testing.assert_close(added.total, expected.total)
    torch.testing.assert_close(added.outer, expected.outer)
    assert expected.outer.dtype == torch.float64


def test_one_sample_has_no_distance():
    assert math.isnan(frechet_distance(feature_moments(features(1, 4, 0)), feature_moments(features(9, 4, 1))))


def features_of_kvd(count, seed, shift=0.0, width=5):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + shift


def test_is_the_definition_over_all_pairs_of_two_different_features():
    x, y = features_of_kvd(4, 0), features_of_kvd(3, 1, 0.5)

    def kernel(a, b):
        return (float(a @ b) / 5 + 1) ** 3

    within_x = [kernel(x[i], x[j]) for i in range(4) for j in range(4) if i != j]
    within_y = [kernel(y[i], y[j]) for i in range(3) for j in range(3) if i != j]
    between = [kernel(a, b) for a in x for b in y]
    wanted = sum(within_x) / 12 + sum(within_y) / 6 - 2 * sum(between) / 12
    assert kernel_distance(x, y) == pytest.approx(wanted, rel=1e-9)


def test_agrees_with_the_kernel_distance_of_torchmetrics():
    x, y = features_of_kvd(30, 0), features_of_kvd(30, 1, 0.3)
    kernels = [(a @ b.T / 5 + 1) ** 3 for a, b in ((x, x), (x, y), (y, y))]
    assert kernel_distance(x, y) == pytest.approx(float(maximum_mean_discrepancy(*kernels)), rel=1e-9)
    assert kernel_distance(x, y) == pytest.approx(float(poly_mmd(x, y)), rel=1e-9)


def test_few_clips_do_not_make_it_larger():
    same = [kernel_distance(features_of_kvd(8, seed), features_of_kvd(8, 1000 + seed)) for seed in range(300)]
    apart = [kernel_distance(features_of_kvd(8, seed), features_of_kvd(8, 1000 + seed, 1.0)) for seed in range(300)]
    mean, error = torch.tensor(same).mean().item(), torch.tensor(same).std().item() / math.sqrt(300)
    assert abs(mean) < 3 * error
    assert min(same) < 0
    assert torch.tensor(apart).mean() > 20 * error


def test_weighted_distances_of_equal_weights_are_those_of_the_sets():
    x, y = (torch.randn(n, 6, generator=torch.Generator().manual_seed(n)) for n in (20, 30))
    ones = torch.ones(1, 20), torch.ones(1, 30)
    kernel = weighted_kernel_distance(x, y, *ones)
    assert kernel.item() == pytest.approx(kernel_distance(x, y), rel=1e-9)
    frechet = weighted_frechet_distance(x, y, *ones)
    assert frechet.item() == pytest.approx(frechet_distance(feature_moments(x), feature_moments(y)), rel=1e-9)


def test_resampling_does_not_raise_the_kernel_distance():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 60, 8, generator=generator)
    drawn = torch.randint(60, (400, 60), generator=generator)
    weights = torch.zeros(400, 60).scatter_add_(1, drawn, torch.ones(400, 60))
    found = weighted_kernel_distance(x, y, weights, weights)
    spread = found.std().item() / 20  # of the mean of 400
    assert abs(found.mean().item() - kernel_distance(x, y)) < 4 * spread + 0.02
    repeated = kernel_distance(x[drawn[0]], y[drawn[0]])  # clips against themselves
    assert repeated > found[0].item()
