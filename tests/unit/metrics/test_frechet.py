import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from glassine.metrics.fvd import Moments, feature_moments, frechet_distance


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
