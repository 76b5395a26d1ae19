"""Fréchet and kernel video distance."""

import math

import pytest
import torch
from torch import nn

from glassine.metrics.feature_distances import feature_moments, frechet_distance, kernel_distance
from glassine.metrics.fvd import FVD, KVD, PROTOCOLS
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
