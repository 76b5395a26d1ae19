"""Networks of transparent video small enough to be trained in a test."""

from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMScheduler
from tests.helpers.tiny_generator import SCHEDULE, VAE, WIDTH, LetterText
from torch import Tensor, nn

from glassine.models.image_unet import FrameUNet, ImageUNet
from glassine.models.motion_unet import MotionUNet
from glassine.models.transparency import TransparencyDecoder, TransparencyEncoder, TransparencyVAE
from glassine.models.transparent_video import TransparentVideo
from glassine.models.vae import SmallVAE
from glassine.pretrained.weights import save_bundle

SIZES: dict[str, Any] = {
    "block_out_channels": (16, 32),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "cross_attention_dim": WIDTH,
}
IMAGE = SIZES | {
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}
MOTION = SIZES | {
    "down_block_types": ("CrossAttnDownBlockMotion", "DownBlockMotion"),
    "up_block_types": ("UpBlockMotion", "CrossAttnUpBlockMotion"),
    "num_attention_heads": 2,
    "motion_max_seq_length": 8,
    "motion_num_attention_heads": 2,
}
CODEC = {
    "vae": {"class_path": "glassine.models.vae.SmallVAE", "init_args": VAE},
    "encoder": {
        "class_path": "glassine.models.transparency.TransparencyEncoder",
        "init_args": {"block_out_channels": [8, 8], "patch_size": 4},
    },
    "decoder": {
        "class_path": "glassine.models.transparency.TransparencyDecoder",
        "init_args": {
            "block_out_channels": [8, 8, 16],
            "attention_scales": 1,
            "layers_per_block": 1,
            "patch_size": 2,
            "norm_num_groups": 4,
        },
    },
}


def tiny_motion_unet(awake: bool = True, **arguments: Any) -> MotionUNet:
    """In eval mode, with the same weights at each call; `awake` with motion modules that do something."""
    torch.manual_seed(0)
    unet = MotionUNet(**MOTION | arguments).eval()
    if awake:
        stir(unet, ".proj_out.")
    return unet


def tiny_image_unet(**arguments: Any) -> ImageUNet:
    torch.manual_seed(0)
    return ImageUNet(**IMAGE | {"attention_head_dim": 2} | arguments).eval()


def tiny_frame_unet() -> FrameUNet:
    torch.manual_seed(0)
    return FrameUNet(**IMAGE | {"attention_head_dim": 8}).eval()


def tiny_codec() -> TransparencyVAE:
    torch.manual_seed(0)
    encoder = TransparencyEncoder(**CODEC["encoder"]["init_args"])
    nn.init.normal_(encoder.blocks[-1].weight, std=1e-3)  # so that alpha is in the latents
    return TransparencyVAE(SmallVAE(**VAE), encoder, TransparencyDecoder(**CODEC["decoder"]["init_args"]))


def tiny_transparent(
    unet: nn.Module | None = None, prediction_type: str = "epsilon", **arguments: Any
) -> TransparentVideo:
    scheduler = DDPMScheduler(prediction_type=prediction_type, **SCHEDULE)
    return TransparentVideo(unet or tiny_motion_unet(), tiny_codec(), LetterText(), scheduler, **arguments).eval()


def save_tiny_transparent(network: TransparentVideo, folder: Path, unet: dict[str, Any]) -> str:
    """A bundle of the network, as `glassine export weights` writes it; `unet` describes its UNet."""
    description = {
        "class_path": "glassine.models.transparent_video.TransparentVideo",
        "init_args": {
            "unet": unet,
            "codec": {"class_path": "glassine.models.transparency.TransparencyVAE", "init_args": CODEC},
            "text_encoder": {"class_path": "tests.helpers.tiny_generator.LetterText"},
            "scheduler": {"class_path": "diffusers.DDPMScheduler", "init_args": SCHEDULE},
        },
    }
    save_bundle(network, description, folder, torch.float32)
    return str(folder)


def plain(arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments as a YAML has them."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in arguments.items()}


def stickers(clips: int = 2, frames: int = 4, size: int = 32) -> dict[str, Any]:
    """A batch of squares that move, the second not at all."""
    foreground = torch.rand(clips, 1, 3, 1, 1, generator=torch.Generator().manual_seed(1))
    foreground = foreground.expand(-1, frames, -1, size, size)
    alpha = torch.zeros(clips, frames, 1, size, size)
    for clip in range(clips):
        for frame in range(frames):
            start = 4 + 3 * frame * (clip != 1)
            alpha[clip, frame, :, start : start + 12, 6:20] = 1
    return {
        "foreground": foreground,
        "alpha": alpha,
        "clip": foreground * alpha + 1 - alpha,
        "caption": ["Cartoon\ta cat", "Cartoon\tdog"] * (clips // 2),
        "key": [str(clip) for clip in range(clips)],
    }


def inputs(batch: int = 2, frames: int = 3, size: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy latents, timesteps and prompt embeddings."""
    generator = torch.Generator().manual_seed(1)
    sample = torch.randn(batch, 4, frames, size, size, generator=generator)
    return sample, torch.arange(batch) * 100 + 10, torch.randn(batch, 5, WIDTH, generator=generator)


def stir(network: nn.Module, place: str) -> None:
    """Random numbers for parameters that start at zero and have `place` in their names."""
    generator = torch.Generator().manual_seed(2)
    for name, parameter in network.named_parameters():
        if place in name and not parameter.any():
            nn.init.normal_(parameter, std=0.1, generator=generator)
