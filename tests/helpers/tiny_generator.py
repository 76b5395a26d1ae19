"""A text-to-video network small enough to be trained in a test."""

from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn

from glassine.models.text_to_video import TextToVideo
from glassine.models.vae import SmallVAE
from glassine.models.video_unet import VideoUNet
from glassine.nn.priors import LatentPrior, MotionPrior
from glassine.pretrained.weights import save_bundle

WIDTH = 16


class LetterText(nn.Module):
    """Eight letters of the text, each as a fixed vector: enough for prompts to differ."""

    def __init__(self) -> None:
        super().__init__()
        table = torch.randn(256, WIDTH, generator=torch.Generator().manual_seed(0))  # the same in every process
        self.table = nn.Embedding(256, WIDTH, _weight=table)

    def forward(self, texts: Sequence[str]) -> Tensor:
        """`b 8 d`."""
        letters = [list(text.encode()[-8:].rjust(8, b"\0")) for text in texts]
        return self.table(torch.tensor(letters))


UNET = {
    "down_block_types": ["CrossAttnDownBlock3D", "DownBlock3D"],
    "up_block_types": ["UpBlock3D", "CrossAttnUpBlock3D"],
    "block_out_channels": [16, 32],
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "cross_attention_dim": WIDTH,
    "attention_head_dim": 8,
}
SCHEDULE = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "steps_offset": 1,
}
VAE = {
    "width": 8,
    "decoder_width": 8,
    "blocks": 1,
    "latents_mean": [0.1, -0.1, 0.0, 0.2],
    "latents_std": [0.2, 0.3, 0.2, 0.3],
}


def tiny_unet(in_channels: int = 4) -> VideoUNet:
    return VideoUNet(in_channels=in_channels, **UNET)


def tiny_generator(
    prediction_type: str = "epsilon", in_channels: int = 4, latent_mean: LatentPrior | None = None
) -> TextToVideo:
    torch.manual_seed(0)
    scheduler = DDPMScheduler(prediction_type=prediction_type, **SCHEDULE)
    return TextToVideo(tiny_unet(in_channels), SmallVAE(**VAE), LetterText(), scheduler, latent_mean)


def tiny_mean() -> LatentPrior:
    """Goes with `in_channels=8`."""
    torch.manual_seed(3)
    return LatentPrior(WIDTH, size=(4, 4), width=16)


def tiny_clip_mean() -> MotionPrior:
    """Likewise; of clips of 2 frames that move."""
    torch.manual_seed(3)
    mean = MotionPrior(WIDTH, size=(4, 4), width=16, num_frames=2, rank=4)
    torch.nn.init.normal_(mean.motion[-1].weight)
    return mean


def save_tiny_generator(folder: Path, latent_mean: bool = False, moves: bool = False) -> str:
    """A bundle of the network, as `glassine export weights` writes it; its mean is that of a clip that `moves`."""
    unet = UNET | {"in_channels": 8} if latent_mean else UNET
    size = {"prompt_dim": WIDTH, "size": [4, 4], "width": 16}
    mean = {"class_path": "glassine.nn.priors.LatentPrior", "init_args": size}
    if moves:
        mean = {"class_path": "glassine.nn.priors.MotionPrior", "init_args": size | {"num_frames": 2, "rank": 4}}
    description = {
        "class_path": "glassine.models.text_to_video.TextToVideo",
        "init_args": {
            "unet": {"class_path": "glassine.models.video_unet.VideoUNet", "init_args": unet},
            "vae": {"class_path": "glassine.models.vae.SmallVAE", "init_args": VAE},
            "text_encoder": {"class_path": "tests.helpers.tiny_generator.LetterText"},
            "scheduler": {"class_path": "diffusers.DDPMScheduler", "init_args": SCHEDULE},
            **({"latent_mean": mean} if latent_mean else {}),
        },
    }
    made = tiny_clip_mean() if moves else tiny_mean()
    network = tiny_generator(in_channels=8, latent_mean=made) if latent_mean else tiny_generator()
    network.requires_grad_(True)  # the frozen parts too, so that they are in the file
    save_bundle(network, description, folder)
    return str(folder)
