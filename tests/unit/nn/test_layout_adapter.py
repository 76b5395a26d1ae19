import pytest
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from einops import rearrange
from tests.helpers.tiny_transparent import inputs, stir, tiny_image_unet, tiny_motion_unet
from torch import nn
from torch.nn import functional as F

from glassine.nn.layout_adapter import LayerAttention, LayoutAdapter, spatial_attentions


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


@torch.no_grad()
def test_it_is_the_released_codes_attention_over_one_layer():
    torch.manual_seed(0)
    attn, x = Attention(8, heads=2, dim_head=4), torch.randn(3, 5, 8)
    layer = LayerAttention(8)
    nn.init.normal_(layer.temporal_o.weight)
    attended = AttnProcessor2_0()(attn, x)
    # with queries and keys of any kind, tokens of a place in one row: here rows of one
    h = layer.temporal_i(layer.temporal_n(x + attended))
    h = rearrange(h, "b n d -> (b n) 1 d")
    query, key = torch.randn(2, *h.shape)
    split = [rearrange(t, "r f (m d) -> r m f d", m=2) for t in (query, key, layer.temporal_v(h))]
    over = rearrange(F.scaled_dot_product_attention(*split), "(b n) m 1 d -> b n (m d)", b=3)
    attn.set_processor(layer)
    torch.testing.assert_close(attn(x), attended + layer.temporal_o(over))


@torch.no_grad()
def test_an_untrained_one_changes_nothing_and_a_trained_one_does():
    bare, unet = tiny_image_unet(), tiny_image_unet(layer_attention=True)
    unet.load_state_dict(bare.state_dict(), strict=False)
    assert torch.equal(unet(*inputs()).sample, bare(*inputs()).sample)
    stir(unet, ".temporal_o.")
    assert not torch.allclose(unet(*inputs()).sample, bare(*inputs()).sample)


def test_the_order_is_down_up_middle_and_self_before_cross():
    names = list(spatial_attentions(tiny_motion_unet()))
    blocks = ["down_blocks.0.attentions.0", "up_blocks.1.attentions.0", "up_blocks.1.attentions.1"]
    places = [f"{block}.transformer_blocks.0" for block in [*blocks, "mid_block.attentions.0"]]
    assert names == [f"{place}.attn{number}" for place in places for number in (1, 2)]
