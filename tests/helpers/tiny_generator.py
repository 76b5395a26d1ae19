"""A text-to-video network small enough to be trained in a test."""

from collections.abc import Sequence

import torch
from diffusers import DDPMScheduler, UNet3DConditionModel
from torch import Tensor, nn

from glassine.models.text_to_video import TextToVideo
from glassine.models.vae import SmallVAE

WIDTH = 16


class LetterText(nn.Module):
    """Eight letters of the text, each as a fixed vector: enough for prompts to differ."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(256, WIDTH)

    def forward(self, texts: Sequence[str]) -> Tensor:
        """`b 8 d`."""
        letters = [list(text.encode()[-8:].rjust(8, b"\0")) for text in texts]
        return self.table(torch.tensor(letters))


def tiny_unet(in_channels: int = 4) -> UNet3DConditionModel:
    return UNet3DConditionModel(
        in_channels=in_channels,
        down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
        block_out_channels=(16, 32),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=WIDTH,
        attention_head_dim=8,
    )


def tiny_generator(prediction_type: str = "epsilon", in_channels: int = 4) -> TextToVideo:
    torch.manual_seed(0)
    scheduler = DDPMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        prediction_type=prediction_type,
        steps_offset=1,
    )
    vae = SmallVAE(4, 8, 8, 1, latents_mean=(0.1, -0.1, 0.0, 0.2), latents_std=(0.2, 0.3, 0.2, 0.3))
    return TextToVideo(tiny_unet(in_channels), vae, LetterText(), scheduler)
