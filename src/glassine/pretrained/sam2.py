"""SAM 2 from Meta's own files, for transformers' network: names of the tensors, and sizes by what is in the file.

Meta's names are those of `facebookresearch/sam2` (`sam2/modeling`); the layers are the same, so that only names change.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import Sam2HieraDetConfig, Sam2VideoConfig, Sam2VideoModel, Sam2VisionConfig

from glassine.pretrained.partial_loading import load_partial
from glassine.pretrained.weights import read_state
from glassine.utils.errors import UserError

TRUNK = "image_encoder.trunk."
GAUSSIAN = "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
CORNERS = re.compile(r"sam_prompt_encoder\.point_embeddings\.(\d)\.weight")
# (width, blocks) of the published image encoders -> what differs from tiny, transformers' default
SIZES: dict[tuple[int, int], dict[str, Any]] = {
    (96, 12): {},
    (96, 16): {"blocks_per_stage": [1, 2, 11, 2], "global_attention_blocks": [7, 10, 13]},
    (112, 24): {
        "embed_dim_per_stage": [112, 224, 448, 896],
        "num_attention_heads_per_stage": [2, 4, 8, 16],
        "blocks_per_stage": [2, 3, 16, 3],
        "global_attention_blocks": [12, 16, 20],
        "window_positional_embedding_background_size": [14, 14],
    },
    (144, 48): {
        "embed_dim_per_stage": [144, 288, 576, 1152],
        "num_attention_heads_per_stage": [2, 4, 8, 16],
        "blocks_per_stage": [2, 6, 36, 4],
        "global_attention_blocks": [23, 33, 43],
        "window_positional_embedding_background_size": [7, 7],
        "window_size_per_stage": [8, 4, 16, 8],
    },
}
# Meta's name -> transformers', applied one after the other
RENAMES = [
    (re.compile(pattern), new)
    for pattern, new in (
        (r"^image_encoder\.trunk\.", "vision_encoder.backbone."),
        (r"\.patch_embed\.proj\.", ".patch_embed.projection."),
        (r"^image_encoder\.neck\.convs\.(\d+)\.conv\.", r"vision_encoder.neck.convs.\1."),
        (r"^sam_prompt_encoder\.mask_downscaling\.0\.", "prompt_encoder.mask_embed.conv1."),
        (r"^sam_prompt_encoder\.mask_downscaling\.1\.", "prompt_encoder.mask_embed.layer_norm1."),
        (r"^sam_prompt_encoder\.mask_downscaling\.3\.", "prompt_encoder.mask_embed.conv2."),
        (r"^sam_prompt_encoder\.mask_downscaling\.4\.", "prompt_encoder.mask_embed.layer_norm2."),
        (r"^sam_prompt_encoder\.mask_downscaling\.6\.", "prompt_encoder.mask_embed.conv3."),
        (r"^sam_prompt_encoder\.", "prompt_encoder."),
        (r"^sam_mask_decoder\.output_upscaling\.0\.", "mask_decoder.upscale_conv1."),
        (r"^sam_mask_decoder\.output_upscaling\.1\.", "mask_decoder.upscale_layer_norm."),
        (r"^sam_mask_decoder\.output_upscaling\.3\.", "mask_decoder.upscale_conv2."),
        (r"^sam_mask_decoder\.", "mask_decoder."),
        (r"^memory_encoder\.out_proj\.", "memory_encoder.projection."),
        (r"^memory_encoder\.pix_feat_proj\.", "memory_encoder.feature_projection."),
        (r"^memory_encoder\.fuser\.", "memory_encoder.memory_fuser."),
        (r"\.dwconv\.", ".depthwise_conv."),
        (r"\.pwconv([12])\.", r".pointwise_conv\1."),
        (r"\.gamma$", ".scale"),
        (r"\.out_proj\.", ".o_proj."),
        (r"\.norm", ".layer_norm"),
        (r"^maskmem_tpos_enc$", "memory_temporal_positional_encoding"),
        (r"^no_mem_embed$", "no_memory_embedding"),
        (r"^no_mem_pos_enc$", "no_memory_positional_encoding"),
        (r"^no_obj_ptr$", "no_object_pointer"),
        (r"^no_obj_embed_spatial$", "occlusion_spatial_embedding_parameter"),
        (r"^obj_ptr_proj\.", "object_pointer_proj."),
        (r"^obj_ptr_tpos_proj\.", "temporal_positional_encoding_projection_layer."),
        # perceptrons of two layers, and of three
        (r"\.mlp\.layers\.0\.", ".mlp.proj_in."),
        (r"\.mlp\.layers\.1\.", ".mlp.proj_out."),
        (r"((?:_head|_proj|_mlps\.\d+)\.)layers\.0\.", r"\1proj_in."),
        (r"((?:_head|_proj|_mlps\.\d+)\.)layers\.1\.", r"\1layers.0."),
        (r"((?:_head|_proj|_mlps\.\d+)\.)layers\.2\.", r"\1proj_out."),
    )
]
DOWNSAMPLER = re.compile(r"memory_encoder\.mask_downsampler\.encoder\.(\d+)\.(.+)")


def sam2_from_meta(path: Path) -> Sam2VideoModel:
    """SAM 2 or 2.1 of any published size from Meta's file, in eval mode; the file is read without running code in it.

    Args:
        path: for instance `sam2.1_hiera_tiny.pt`.

    Raises:
        UserError: no such file, or one that is no SAM 2 of a published size or lacks tensors.
    """
    state = read_state(path)
    network = Sam2VideoModel(config_of(state, str(path)))
    load_partial(network, renamed(state), source=str(path))
    return network.eval()


def config_of(state: Mapping[str, Tensor], source: str) -> Sam2VideoConfig:
    """The configuration of the network in a file of Meta's; UserError if it is none."""
    first = state.get(f"{TRUNK}patch_embed.proj.weight")  # w 3 7 7
    if first is None or GAUSSIAN not in state:
        raise UserError(f"{source} must be a checkpoint of SAM 2: give one of Meta's sam2*_hiera_*.pt files")
    blocks = {name.removeprefix(f"{TRUNK}blocks.").partition(".")[0] for name in state if f"{TRUNK}blocks." in name}
    size = (len(first), len(blocks))
    if size not in SIZES:
        known = ", ".join(f"{width} with {count}" for width, count in SIZES)
        raise UserError(f"{source} must have a width with so many blocks: {known}; got {size[0]} with {size[1]}")
    return sized(size, newer="no_obj_embed_spatial" in state)


def sized(size: tuple[int, int], newer: bool) -> Sam2VideoConfig:
    """The configuration of that width and number of blocks; `newer` is version 2.1."""
    backbone = Sam2HieraDetConfig(hidden_size=size[0], **SIZES[size])
    vision = Sam2VisionConfig(
        backbone_config=backbone, backbone_channel_list=list(reversed(backbone.embed_dim_per_stage or []))
    )
    return Sam2VideoConfig(
        vision_config=vision,
        enable_temporal_pos_encoding_for_object_pointers=newer,
        enable_occlusion_spatial_embedding=newer,
    )


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A file's tensors under transformers' names."""
    places = [int(match[1]) for name in state if (match := DOWNSAMPLER.fullmatch(name))]
    found = {
        new_name(name, last=max(places, default=0)): tensor
        for name, tensor in state.items()
        if not CORNERS.fullmatch(name)
    }
    corners = sorted(name for name in state if CORNERS.fullmatch(name))
    if corners:
        found["prompt_encoder.point_embed.weight"] = torch.cat([state[name] for name in corners])
    if GAUSSIAN in state:  # one tensor with two names
        for name in ("prompt_encoder.shared_embedding", "shared_image_embedding"):
            found[f"{name}.positional_embedding"] = state[GAUSSIAN]
        found.pop(new_name(GAUSSIAN, 0))
    return found


def new_name(name: str, last: int) -> str:
    """transformers' name; `last` is the number of the mask downsampler's last layer."""
    if match := DOWNSAMPLER.fullmatch(name):
        number, kind = divmod(int(match[1]), 3)
        layer = "final_conv" if int(match[1]) == last else f"layers.{number}.{('conv', 'layer_norm')[kind]}"
        return f"memory_encoder.mask_downsampler.{layer}.{match[2]}"
    for pattern, new in RENAMES:
        name = pattern.sub(new, name)
    return name
