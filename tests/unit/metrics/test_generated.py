import pytest
import torch
from torch import nn

from glassine.metrics.generated import GeneratedClipMetric, exactly, opaque_clips, score_name
from glassine.utils.errors import UserError


def test_a_name_says_what_was_measured_by_whom_and_how():
    assert score_name("fvd", "i3d", "rep2_16f", "white") == "fvd_i3d_rep2_16f_white"
    assert score_name("clip", "glassine", "score", "#FF8800") == "clip_glassine_score_ff8800"


@pytest.mark.parametrize("network", ["", "I3D", "clip-vit", "_", "a__b"])
def test_no_score_is_without_the_name_of_its_network(network):
    with pytest.raises(UserError, match="the network of fvd is called"):
        score_name("fvd", network, "white")


def test_transparent_clips_are_laid_on_the_background_and_opaque_ones_are_left_alone():
    clip = torch.cat([torch.full((1, 2, 3, 4, 4), 0.5), torch.full((1, 2, 1, 4, 4), 0.25)], dim=2)
    torch.testing.assert_close(opaque_clips(clip, "white"), torch.full((1, 2, 3, 4, 4), 0.875))
    torch.testing.assert_close(opaque_clips(clip, "black"), torch.full((1, 2, 3, 4, 4), 0.125))
    assert torch.equal(opaque_clips(clip[:, :, :3], "white"), clip[:, :, :3])


def test_broken_clips_are_refused():
    for value in (float("nan"), 1.5):
        with pytest.raises(UserError, match=r"allowed is \[0, 1\]"):
            opaque_clips(torch.full((1, 2, 3, 4, 4), value), "white")
    for wrong in (torch.zeros(2, 3, 4, 4), torch.zeros(1, 2, 1, 4, 4), torch.zeros(1, 2, 3, 4, 4, dtype=torch.uint8)):
        with pytest.raises(ValueError, match="b f 3 h w"):
            opaque_clips(wrong, "white")
    with pytest.raises(UserError, match="no color"):
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
