import pytest
import torch
from diffusers import UNet2DConditionModel
from tests.helpers.tiny_transparent import IMAGE, inputs, stir, tiny_image_unet

from glassine.models.image_unet import ImageUNet


def test_full_size_is_sd_1_5():
    with torch.device("meta"):
        assert sum(p.numel() for p in ImageUNet().parameters()) == 859_520_964


def test_every_frame_goes_through_diffusers_image_network_by_itself():
    unet = tiny_image_unet()
    image = UNet2DConditionModel(**IMAGE, attention_head_dim=2).eval()
    image.load_state_dict(unet.state_dict())
    sample, steps, embeds = inputs()
    with torch.no_grad():
        made = unet(sample, steps, embeds).sample
        for frame in range(3):
            wanted = image(sample[:, :, frame], steps, embeds).sample
            torch.testing.assert_close(made[:, :, frame], wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("layer_attention", [False, True])
@torch.no_grad()
def test_a_saved_network_reloads_bit_for_bit(layer_attention, tmp_path):
    unet = tiny_image_unet(layer_attention=layer_attention)
    stir(unet, ".temporal_o.")
    unet.save_pretrained(tmp_path)
    again = ImageUNet.from_pretrained(tmp_path)
    assert torch.equal(again(*inputs()).sample, unet(*inputs()).sample)
