import pytest
import torch
from torch import nn

from glassine.nn.layout_adapter import LayoutAdapter


class Pool(nn.Module):
    out_channels = 3

    def forward(self, x):
        return nn.functional.avg_pool2d(x, 16)


@pytest.mark.parametrize("grid", [(4, 4), (8, 6), (1, 1)])
def test_features_arrive_on_the_latents_grid_whatever_the_encoders_stride(grid):
    adapter = LayoutAdapter(Pool(), depth=2, width=8)
    assert adapter(torch.rand(2, 5, 3, 64, 48), grid).shape == (2, 5, 4, *grid)


def test_an_untrained_adapter_changes_nothing_unless_asked_to():
    clip = torch.rand(1, 2, 3, 32, 32)
    assert LayoutAdapter(Pool(), width=8)(clip, (4, 4)).abs().max() == 0
    assert LayoutAdapter(Pool(), width=8, zero_init=False)(clip, (4, 4)).abs().max() > 0


@pytest.mark.parametrize("depth", [0, 3, 5, 8])
def test_each_of_the_depth_layers_is_a_3d_convolution_with_group_norm(depth):
    adapter = LayoutAdapter(Pool(), depth=depth, width=8)
    kinds = [type(m) for m in adapter.temporal_layers.modules() if isinstance(m, nn.Conv3d | nn.GroupNorm)]
    assert kinds == [nn.Conv3d, nn.GroupNorm] * depth
    assert adapter.temporal_radius == depth
