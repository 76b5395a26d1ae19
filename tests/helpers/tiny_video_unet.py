"""Video UNets small enough to be run in a test, one for each method."""

from dataclasses import replace

import torch
from torch import Tensor

from glassine.models.video_unet import VideoUNet
from glassine.nn.sti import STI
from glassine.nn.temporal import MakeAVideo, TemporalMethod, VideoFactory, VideoLDM

METHODS: tuple[TemporalMethod, ...] = (MakeAVideo(), VideoLDM(), VideoFactory(), STI())
NAMES = [type(method).__name__ for method in METHODS]
TEXT_WIDTH = 16
SIZE = {
    "down_block_types": ("CrossAttnDownBlock3D", "DownBlock3D"),
    "up_block_types": ("UpBlock3D", "CrossAttnUpBlock3D"),
    "block_out_channels": (32, 64),
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "cross_attention_dim": TEXT_WIDTH,
    "attention_head_dim": 8,
}


def tiny_video_unet(temporal: TemporalMethod | None = None, in_channels: int = 4) -> VideoUNet:
    """In eval mode, with the same weights at each call."""
    torch.manual_seed(0)
    return VideoUNet(in_channels=in_channels, temporal=temporal, **SIZE).eval()  # type: ignore[arg-type]


def awake(method: TemporalMethod) -> TemporalMethod:
    """The method with temporal layers that do something untrained."""
    return replace(method, zero_init=False)  # type: ignore[type-var]


def inputs(batch: int = 1, frames: int = 3, size: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy latents, timesteps and prompt embeddings."""
    generator = torch.Generator().manual_seed(1)
    sample = torch.randn(batch, 4, frames, size, size, generator=generator)
    prompt_embeds = torch.randn(batch, 5, TEXT_WIDTH, generator=generator)
    return sample, torch.arange(batch) * 100 + 10, prompt_embeds


def stir(network: torch.nn.Module) -> None:
    """Random numbers for parameters that start at zero, through which no gradient passes."""
    generator = torch.Generator().manual_seed(2)
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1, generator=generator)
