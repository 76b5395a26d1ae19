import torch
from diffusers import UNet2DConditionModel

from glassine.models.frame_unet import FrameUNet

SIZES = {
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "block_out_channels": (16, 32),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "cross_attention_dim": 8,
    "attention_head_dim": (2, 4),
    "use_linear_projection": True,
}


def test_every_frame_goes_through_the_image_network_by_itself(tmp_path):
    torch.manual_seed(0)
    unet = FrameUNet(**SIZES).eval()
    unet.save_pretrained(tmp_path)
    image = UNet2DConditionModel.from_pretrained(tmp_path).eval()
    sample, steps, embeds = torch.randn(2, 4, 3, 8, 8), torch.tensor([3, 700]), torch.randn(2, 5, 8)
    with torch.no_grad():
        made = unet(sample, steps, embeds).sample
        for frame in range(3):
            wanted = image(sample[:, :, frame], steps, embeds).sample
            torch.testing.assert_close(made[:, :, frame], wanted, atol=1e-5, rtol=1e-4)


def test_a_saved_network_reloads_bit_for_bit(tmp_path):
    unet = FrameUNet(**SIZES).eval()
    unet.save_pretrained(tmp_path)
    again = FrameUNet.from_pretrained(tmp_path).eval()
    sample, embeds = torch.randn(1, 4, 2, 8, 8), torch.randn(1, 5, 8)
    with torch.no_grad():
        assert torch.equal(again(sample, 5, embeds).sample, unet(sample, 5, embeds).sample)
