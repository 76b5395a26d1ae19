import pytest
import torch
from tests.helpers.tiny_transparent import inputs, stir, tiny_frame_unet, tiny_motion_unet
from torch import nn

from glassine.nn.lora import LoRALinear, add_lora, lora_scale, with_lora
from glassine.utils.errors import UserError


def trained(rank: int = 2) -> LoRALinear:
    torch.manual_seed(0)
    layer = LoRALinear(nn.Linear(6, 4), rank)
    nn.init.normal_(layer.lora_up.weight)
    return layer


def test_an_untrained_one_changes_no_bit():
    torch.manual_seed(0)
    base = nn.Linear(6, 4)
    layer, x = LoRALinear(base, 2), torch.randn(3, 6)
    assert torch.equal(layer(x), base(x))
    assert layer.weight is base.weight


def test_the_merged_matrix_does_what_the_layer_does_at_its_scale():
    layer, x = trained(), torch.randn(3, 6)
    for scale in (1.0, 0.5, 0.0):
        layer.scale = scale
        merged = nn.functional.linear(x, layer.merged_weight(), layer.bias)
        torch.testing.assert_close(layer(x), merged)


def test_only_lora_is_trained_and_the_base_keeps_its_names():
    bare, unet = tiny_frame_unet(), with_lora(tiny_frame_unet(), 3)
    learning = {name for name, p in unet.named_parameters() if p.requires_grad}
    assert learning == set(unet.state_dict()) - set(bare.state_dict())
    # 4 transformers (one on the way down, two up, the middle) of 2 attentions of 4 projections, 2 matrices each
    assert len(learning) == 4 * 2 * 4 * 2
    for name, tensor in bare.state_dict().items():
        assert torch.equal(unet.state_dict()[name], tensor)
    unet(*inputs()).sample.square().mean().backward()
    assert {name for name, p in unet.named_parameters() if p.grad is not None} == learning


@torch.no_grad()
def test_the_scale_holds_within_and_for_the_kind_of_attention_that_is_named():
    unet = tiny_motion_unet(spatial_rank=2, motion_rank=2)
    bare = unet(*inputs()).sample
    stir(unet, ".lora_up.")
    full = unet(*inputs()).sample
    with lora_scale(unet, 0.0, "motion"):
        spatial = unet(*inputs()).sample
        with lora_scale(unet, 0.0, "spatial"):
            torch.testing.assert_close(unet(*inputs()).sample, bare)
    assert not torch.allclose(spatial, full)
    assert not torch.allclose(spatial, bare)
    assert torch.equal(unet(*inputs()).sample, full)


def test_what_cannot_be_adapted_is_said():
    with pytest.raises(UserError, match=r"rank of LoRA must be at least 1 .*, got 0"):
        LoRALinear(nn.Linear(2, 2), 0)
    with pytest.raises(UserError, match="FrameUNet has no motion attention for LoRA"):
        add_lora(tiny_frame_unet(), 2, "motion")
