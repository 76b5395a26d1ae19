"""Fréchet and kernel video distance."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import nn
from torchmetrics.image.kid import maximum_mean_discrepancy, poly_mmd

from glassine.metrics.fvd import (
    FVD,
    KVD,
    PROTOCOLS,
    Moments,
    feature_moments,
    frechet_distance,
    kernel_distance,
    weighted_frechet_distance,
    weighted_kernel_distance,
)
from glassine.utils.errors import UserError


class Eyes(nn.Module):
    """Three random projections of each frame's mean color, joined with how the color changes."""

    num_features = 6

    def __init__(self, frames=(9, None)):
        super().__init__()
        self.frames = frames
        self.projection = nn.Linear(3, 3)
        nn.init.orthogonal_(self.projection.weight)
        self.seen = []

    def forward(self, clips):
        self.seen.append(clips)
        colors = self.projection(clips.mean((3, 4)))  # b f 3
        return torch.cat([colors.mean(1), colors.diff(dim=1).square().mean(1)], dim=1)


def stickers(count, seed, frames=8):
    return torch.rand(count, frames, 4, 6, 6, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def metric():
    torch.manual_seed(0)
    return FVD(Eyes(), "eyes")


def test_names_say_network_protocol_and_background_and_counts_stand_beside(metric):
    metric.update(stickers(5, 0), real=True)
    metric.update(stickers(4, 1), real=False)
    result = metric.compute()
    assert list(result) == [
        "fvd_eyes_rep2_16f_white", "fvd_eyes_rep2_16f_white_n_real", "fvd_eyes_rep2_16f_white_n_fake",
        "fvd_eyes_rep2_16f_black", "fvd_eyes_rep2_16f_black_n_real", "fvd_eyes_rep2_16f_black_n_fake",
    ]  # fmt: skip
    assert result["fvd_eyes_rep2_16f_white_n_real"] == 5
    assert result["fvd_eyes_rep2_16f_black_n_fake"] == 4
    assert result["fvd_eyes_rep2_16f_white"] != result["fvd_eyes_rep2_16f_black"]


def test_is_the_distance_of_the_features_on_each_background(metric):
    real, fake = stickers(12, 0), stickers(9, 1) ** 2
    metric.update(real, real=True)
    metric.update(fake, real=False)
    for background, color in (("white", 1), ("black", 0)):
        moments = []
        for clips in (real, fake):
            opaque = clips[:, :, :3] * clips[:, :, 3:] + color * (1 - clips[:, :, 3:])
            moments.append(feature_moments(metric.network(opaque.repeat_interleave(2, dim=1))))
        expected = frechet_distance(*moments)
        assert metric.compute()[f"fvd_eyes_rep2_16f_{background}"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("protocol", "shown"),
    [("rep2_16f", [0, 0, 1, 1, 2, 2]), ("pingpong_16f", [0, 1, 2, 3, 4, 5]), ("native_16f", [0, 1, 2, 3, 4, 5])],
)
def test_a_protocol_says_which_frames_are_seen(protocol, shown):
    metric = FVD(Eyes(), "eyes", protocol, backgrounds=["white"])
    clips = torch.linspace(0, 1, max(PROTOCOLS[protocol]) + 1).view(1, -1, 1, 1, 1).expand(1, -1, 3, 4, 4)
    metric.update(clips, real=True)
    seen = metric.network.seen[0][0, :, 0, 0, 0]
    assert len(seen) == 16
    torch.testing.assert_close(seen[:6], clips[0, shown, 0, 0, 0])
    if protocol == "pingpong_16f":
        torch.testing.assert_close(seen, seen.flip(0))


def test_two_processes_together_give_the_value_of_one(metric):
    real, fake = stickers(10, 0), stickers(7, 1)
    whole, half = metric, FVD(metric.network, "eyes")
    other = FVD(metric.network, "eyes")
    whole.update(real, real=True)
    whole.update(fake, real=False)
    half.update(real[:3], real=True)
    half.update(fake[:6], real=False)
    other.update(real[3:], real=True)
    other.update(fake[6:], real=False)
    half.merge_state(other)
    assert half.compute() == pytest.approx(whole.compute(), rel=1e-9)


def test_real_clips_are_scored_once_for_several_methods(metric):
    metric.update(stickers(6, 0), real=True)
    method, expected = FVD(metric.network, "eyes"), FVD(metric.network, "eyes")
    method.update(stickers(6, 1), real=False)
    method.merge_state(metric)
    expected.update(stickers(6, 0), real=True)
    expected.update(stickers(6, 1), real=False)
    assert method.compute() == pytest.approx(expected.compute())


def test_too_few_clips_have_no_distance_but_are_counted(metric):
    metric.update(stickers(1, 0), real=True)
    metric.update(stickers(8, 1), real=False)
    result = metric.compute()
    assert math.isnan(result["fvd_eyes_rep2_16f_white"])
    assert result["fvd_eyes_rep2_16f_white_n_real"] == 1


def test_a_protocol_that_is_too_short_for_the_network_is_refused_with_those_that_are_not():
    with pytest.raises(UserError, match=r"must give eyes 9 or more frames, got native_8f with 8: .*rep2_16f.*pingpong"):
        FVD(Eyes(), "eyes", "native_8f")
    with pytest.raises(UserError, match=r"8 frames, got .* with 16: choose from native_8f"):
        FVD(Eyes(frames=(8, 8)), "eyes")
    with pytest.raises(UserError, match="protocol must be one of rep2_16f, pingpong_16f"):
        FVD(Eyes(), "eyes", "rep3")


def test_clips_of_another_length_than_the_protocols_are_refused(metric):
    with pytest.raises(UserError, match=r"must have 8 frames for rep2_16f, got 6: .*native_16f \(clips of 16"):
        metric.update(stickers(2, 0, frames=6), real=True)


def test_opaque_clips_have_one_background(metric):
    clips = stickers(2, 0)[:, :, :3]
    with pytest.raises(UserError, match="clips must be RGBA for the backgrounds white and black"):
        metric.update(clips, real=True)
    FVD(metric.network, "eyes", backgrounds=["white"]).update(clips, real=True)


def test_features_that_are_not_finite_are_not_averaged_away(metric):
    metric.network.projection.weight[:] = torch.nan
    with pytest.raises(UserError, match="got NaN or infinity for fvd_eyes_rep2_16f_white"):
        metric.update(stickers(2, 0), real=True)


def test_an_unknown_color_or_an_unnamed_network_is_refused():
    with pytest.raises(UserError, match="background must be a color"):
        FVD(Eyes(), "eyes", backgrounds=["blurple"])
    with pytest.raises(UserError, match="must be lower-case words"):
        FVD(Eyes(), "")


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
    with pytest.raises(UserError, match=r"protocol must be one of .* got 'all'"):
        KVD(Eyes(), "eyes", "all")
    with pytest.raises(UserError, match=r"clips must have .* frames for .*, got 5"):
        KVD(Eyes(), "eyes").update(stickers(2, 0, frames=5), real=True)


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
