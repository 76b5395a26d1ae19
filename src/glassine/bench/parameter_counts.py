"""Parameter counts of the full-size networks by part, to compare with VSD2M's table 4 (arXiv 2412.08259) and others.

Nothing is allocated: the networks are built on the meta device, with the arguments in the `config.json` files of the
public repositories named here.
"""

from collections import Counter
from collections.abc import Callable, Mapping

import torch
from diffusers import AutoencoderKL
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModelWithProjection

from glassine.models.motion_unet import MotionUNet, part_of
from glassine.models.video_gpt import VideoGPT
from glassine.models.video_unet import I2VGen, VideoUNet
from glassine.models.video_vqvae import VideoVQVAE
from glassine.nn.sti import STI
from glassine.nn.temporal import MakeAVideo, TemporalMethod, VideoFactory, VideoLDM

Parts = Mapping[str, Callable[[], nn.Module]]


def stable_diffusion_vae() -> nn.Module:
    """The VAE of Stable Diffusion, which ModelScope and I2VGen-XL use as well."""
    return AutoencoderKL(  # type: ignore[return-value]
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        latent_channels=4,
    )


def clip_h_text(layers: int) -> nn.Module:
    """OpenCLIP's ViT-H text encoder; Stable Diffusion 2.1 runs 23 of its 24 layers, I2VGen-XL all of them."""
    return CLIPTextModel(
        CLIPTextConfig(
            hidden_size=1024,
            intermediate_size=4096,
            num_hidden_layers=layers,
            num_attention_heads=16,
            hidden_act="gelu",
            projection_dim=1024,
        )
    )


def clip_h_vision() -> nn.Module:
    """The image encoder of I2VGen-XL (`image_encoder` of `ali-vilab/i2vgen-xl`)."""
    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=1280,
            intermediate_size=5120,
            num_hidden_layers=32,
            num_attention_heads=16,
            image_size=224,
            patch_size=14,
            hidden_act="gelu",
            projection_dim=1024,
        )
    )


def video_unet_parts(method: TemporalMethod) -> Parts:
    """A `VideoUNet` with Stable Diffusion 2.1's VAE and text encoder."""
    return {
        "UNet": lambda: VideoUNet(temporal=method),
        "VAE": stable_diffusion_vae,
        "text encoder": lambda: clip_h_text(23),
    }


def video_gpt_prior() -> nn.Module:
    """VideoGPT's second stage for 500 tags, without the VQ-VAE of the first stage."""
    prior: nn.Module = VideoGPT(VideoVQVAE(), [str(tag) for tag in range(500)])
    del prior.vqvae
    return prior


METHODS: dict[str, Parts] = {
    "Make-A-Video": video_unet_parts(MakeAVideo()),
    "VideoLDM": video_unet_parts(VideoLDM()),
    "VideoFactory": video_unet_parts(VideoFactory()),
    "I2VGen-XL": {
        "UNet": I2VGen,
        "VAE": stable_diffusion_vae,
        "text encoder": lambda: clip_h_text(24),
        "image encoder": clip_h_vision,
    },
    "STI": video_unet_parts(STI()),
    "VideoGPT": {"VQ-VAE": VideoVQVAE, "prior": video_gpt_prior},
}


def count_parameters(parts: Parts) -> dict[str, int]:
    """Number of parameters of each part."""
    with torch.device("meta"):
        return {name: sum(parameter.numel() for parameter in make().parameters()) for name, make in parts.items()}


def count_layer_animate() -> dict[str, int]:
    """Parameter counts of Layer-Animate by part: SD 1.5's UNet, AnimateDiff v2's adapter, Inter-Frame Attention."""
    with torch.device("meta"):
        unet = MotionUNet()
    counts: Counter[str] = Counter()
    for name, parameter in unet.named_parameters():
        counts[part_of(name)] += parameter.numel()
    return dict(counts)
