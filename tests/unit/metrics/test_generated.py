"""Names of results, opaque clips, sharpness and variety."""

import math

import pytest
import torch
from torch import nn

from glassine.metrics.generated import (
    GeneratedClipMetric,
    Sharpness,
    cosine_distances,
    exactly,
    gradient_magnitude,
    mean_pairwise_distance,
    nearest,
    opaque_clips,
    score_name,
)
from glassine.utils.errors import UserError


def test_a_name_says_what_was_measured_by_whom_and_how():
    assert score_name("fvd", "i3d", "rep2_16f", "white") == "fvd_i3d_rep2_16f_white"
    assert score_name("clip", "glassine", "score", "#FF8800") == "clip_glassine_score_ff8800"


@pytest.mark.parametrize("network", ["", "I3D", "clip-vit", "_", "a__b"])
def test_no_score_is_without_the_name_of_its_network(network):
    with pytest.raises(UserError, match="name of the network of fvd must be"):
        score_name("fvd", network, "white")


def test_transparent_clips_are_laid_on_the_background_and_opaque_ones_are_left_alone():
    clip = torch.cat([torch.full((1, 2, 3, 4, 4), 0.5), torch.full((1, 2, 1, 4, 4), 0.25)], dim=2)
    torch.testing.assert_close(opaque_clips(clip, "white"), torch.full((1, 2, 3, 4, 4), 0.875))
    torch.testing.assert_close(opaque_clips(clip, "black"), torch.full((1, 2, 3, 4, 4), 0.125))
    assert torch.equal(opaque_clips(clip[:, :, :3], "white"), clip[:, :, :3])


def test_broken_clips_are_refused():
    for value in (float("nan"), 1.5):
        with pytest.raises(UserError, match=r"clips must be in \[0, 1\]"):
            opaque_clips(torch.full((1, 2, 3, 4, 4), value), "white")
    for wrong in (torch.zeros(2, 3, 4, 4), torch.zeros(1, 2, 1, 4, 4), torch.zeros(1, 2, 3, 4, 4, dtype=torch.uint8)):
        with pytest.raises(ValueError, match="b f 3 h w"):
            opaque_clips(wrong, "white")
    with pytest.raises(UserError, match="background must be a color"):
        opaque_clips(torch.zeros(1, 2, 4, 4, 4), "blurple")


class Holder(GeneratedClipMetric):
    def __init__(self, network):
        super().__init__()
        self.network = self.hold(network)

    def update(self, x):
        pass

    def compute(self):
        return 0.0


def test_the_network_never_learns_whatever_is_done_to_the_module_around_it():
    task = nn.ModuleDict({"metric": Holder(nn.Sequential(nn.Linear(2, 2), nn.Dropout()))})
    task.train()
    assert not any(module.training for module in task["metric"].modules())
    assert not any(parameter.requires_grad for parameter in task.parameters())


def test_networks_keep_their_own_precision_in_a_mixed_precision_run():
    with torch.autocast("cpu", dtype=torch.bfloat16), exactly(torch.device("cpu")):
        out = nn.Linear(2, 2)(torch.ones(1, 2))
    assert out.dtype == torch.float32
    assert not out.requires_grad


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


AXES = torch.eye(3)


def test_distances_are_1_minus_the_cosine():
    found = cosine_distances(torch.cat([AXES, -AXES[:1], AXES[:1] + AXES[1:2]]), 5 * AXES[:1])
    torch.testing.assert_close(found.flatten(), torch.tensor([0, 1, 1, 2, 1 - math.sqrt(0.5)]))


def test_the_pairwise_distance_leaves_out_each_picture_itself():
    assert mean_pairwise_distance(AXES) == pytest.approx(1)
    assert mean_pairwise_distance(AXES[[0, 0, 1]]) == pytest.approx(2 / 3)
    assert math.isnan(mean_pairwise_distance(AXES[:1]))


def test_the_nearest_may_be_chosen_among_some_alone():
    bank = torch.tensor([[1.0, 0.1, 0], [1.0, 0.5, 0], [0, 0, 1.0]])
    distances, rows = nearest(AXES[:2], bank)
    assert rows.tolist() == [0, 1]
    assert distances[0] == pytest.approx(1 - 1 / math.sqrt(1.01), abs=1e-6)
    allowed = torch.tensor([[False, True, True], [False, False, False]])
    distances, rows = nearest(AXES[:2], bank, allowed)
    assert rows[0] == 1
    assert distances[1] == math.inf
