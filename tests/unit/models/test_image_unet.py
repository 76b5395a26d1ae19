import pytest
import torch
from diffusers import UNet2DConditionModel
from tests.helpers.tiny_transparent import IMAGE, inputs, stir, tiny_image_unet
from tests.helpers.tiny_video_unet import inputs as video_inputs

from glassine.models.image_unet import FrameUNet, ImageUNet
from glassine.models.video_unet import VideoUNet
from glassine.pretrained.video_unet import TEMPORAL


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


SIZES = {
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "block_out_channels": (16, 32),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "cross_attention_dim": 16,
    "attention_head_dim": 8,
}


def test_every_frame_goes_through_the_image_network_by_itself():
    torch.manual_seed(0)
    unet = FrameUNet(**SIZES).eval()
    image = UNet2DConditionModel(**SIZES | {"attention_head_dim": (2, 4), "use_linear_projection": True}).eval()
    image.load_state_dict(unet.state_dict())
    sample, steps, embeds = video_inputs(2)
    with torch.no_grad():
        made = unet(sample, steps, embeds).sample
        for frame in range(3):
            wanted = image(sample[:, :, frame], steps, embeds).sample
            torch.testing.assert_close(made[:, :, frame], wanted, atol=1e-5, rtol=1e-4)


def test_its_weights_are_the_spatial_part_of_a_video_unet():
    blocks = {name: tuple(kind.replace("2D", "3D") for kind in SIZES[name]) for name in SIZES if "types" in name}
    video = VideoUNet(**SIZES | blocks).state_dict()
    spatial = {name: tensor.shape for name, tensor in video.items() if not TEMPORAL.match(name)}
    assert spatial == {name: tensor.shape for name, tensor in FrameUNet(**SIZES).state_dict().items()}


def test_a_saved_network_reloads_as_a_frame_unet(tmp_path):
    unet = FrameUNet(**SIZES).eval()
    unet.save_pretrained(tmp_path)
    again = FrameUNet.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        assert torch.equal(again(*video_inputs()).sample, unet(*video_inputs()).sample)
