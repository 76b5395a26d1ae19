"""Meta's files of SAM 2, written here under the names of facebookresearch/sam2, become transformers' network."""

import json
from pathlib import Path

import pytest
import torch
from transformers import Sam2VideoConfig, Sam2VideoModel

from glassine.pretrained import sam2 as module
from glassine.pretrained.sam import sam2_video
from glassine.utils.errors import UserError

SMALL = json.loads((Path(__file__).parents[2] / "helpers" / "sam2_small.json").read_text())
SIZE = (8, 5)  # its width and blocks
PERCEPTRON = {"proj_in": "layers.0", "layers.0": "layers.1", "proj_out": "layers.2"}
ONES = {
    "no_memory_embedding": "no_mem_embed",
    "no_memory_positional_encoding": "no_mem_pos_enc",
    "memory_temporal_positional_encoding": "maskmem_tpos_enc",
    "no_object_pointer": "no_obj_ptr",
    "occlusion_spatial_embedding_parameter": "no_obj_embed_spatial",
    "prompt_encoder.shared_embedding.positional_embedding": (
        "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
    ),
}
# some of what stands in sam2.1_hiera_tiny.pt
OFFICIAL = [
    "image_encoder.trunk.pos_embed_window",
    "image_encoder.trunk.patch_embed.proj.weight",
    "image_encoder.trunk.blocks.0.norm1.weight",
    "image_encoder.trunk.blocks.1.attn.qkv.bias",
    "image_encoder.trunk.blocks.1.proj.weight",
    "image_encoder.trunk.blocks.2.mlp.layers.1.weight",
    "image_encoder.neck.convs.3.conv.weight",
    "sam_prompt_encoder.point_embeddings.3.weight",
    "sam_prompt_encoder.not_a_point_embed.weight",
    "sam_prompt_encoder.no_mask_embed.weight",
    "sam_prompt_encoder.mask_downscaling.0.weight",
    "sam_prompt_encoder.mask_downscaling.4.bias",
    "sam_mask_decoder.iou_token.weight",
    "sam_mask_decoder.obj_score_token.weight",
    "sam_mask_decoder.conv_s0.weight",
    "sam_mask_decoder.transformer.layers.1.cross_attn_token_to_image.out_proj.weight",
    "sam_mask_decoder.transformer.layers.0.mlp.layers.0.weight",
    "sam_mask_decoder.transformer.norm_final_attn.bias",
    "sam_mask_decoder.output_upscaling.1.weight",
    "sam_mask_decoder.output_hypernetworks_mlps.3.layers.2.weight",
    "sam_mask_decoder.iou_prediction_head.layers.1.weight",
    "sam_mask_decoder.pred_obj_score_head.layers.0.weight",
    "memory_attention.layers.0.cross_attn_image.k_proj.weight",
    "memory_attention.layers.0.norm3.weight",
    "memory_attention.norm.weight",
    "memory_encoder.mask_downsampler.encoder.0.weight",
    "memory_encoder.mask_downsampler.encoder.1.weight",
    "memory_encoder.pix_feat_proj.weight",
    "memory_encoder.fuser.layers.0.gamma",
    "memory_encoder.fuser.layers.0.dwconv.weight",
    "memory_encoder.fuser.layers.0.pwconv2.bias",
    "memory_encoder.fuser.layers.0.norm.weight",
    "memory_encoder.out_proj.weight",
    "mask_downsample.weight",
    "obj_ptr_proj.layers.2.weight",
    "obj_ptr_tpos_proj.bias",
]


def metas_name(name: str, downsampler: int) -> str:
    """Meta's name for one of transformers', written from Meta's modules; `downsampler` is the number of its layers."""
    if name in ONES:
        return ONES[name]
    part, _, rest = name.partition(".")
    rest = rest.replace("layer_norm", "norm").replace(".o_proj.", ".out_proj.")
    if part == "vision_encoder":
        if rest.startswith("neck"):
            layer, _, end = rest.rpartition(".")
            return f"image_encoder.{layer}.conv.{end}"
        rest = rest.removeprefix("backbone.").replace("projection", "proj")
        rest = rest.replace("mlp.proj_in", "mlp.layers.0").replace("mlp.proj_out", "mlp.layers.1")
        return f"image_encoder.trunk.{rest}"
    if part == "prompt_encoder":
        masks = {"conv1": 0, "norm1": 1, "conv2": 3, "norm2": 4, "conv3": 6}
        for theirs, number in masks.items():
            rest = rest.replace(f"mask_embed.{theirs}.", f"mask_downscaling.{number}.")
        return f"sam_prompt_encoder.{rest}"
    if part == "mask_decoder":
        for theirs, number in {"conv1": 0, "norm": 1, "layer_norm": 1, "conv2": 3}.items():
            rest = rest.replace(f"upscale_{theirs}.", f"output_upscaling.{number}.")
        if ".mlp." in rest:
            rest = rest.replace("mlp.proj_in", "mlp.layers.0").replace("mlp.proj_out", "mlp.layers.1")
        elif "_head." in rest or "_mlps." in rest:
            head, _, end = rest.rpartition(".")
            inner = next(key for key in PERCEPTRON if head.endswith(key))
            rest = f"{head.removesuffix(inner)}{PERCEPTRON[inner]}.{end}"
        return f"sam_mask_decoder.{rest}"
    if part == "memory_encoder":
        if rest.startswith("mask_downsampler"):
            words = rest.split(".")
            number = 3 * downsampler if words[1] == "final_conv" else 3 * int(words[2]) + (words[3] == "norm")
            return f"memory_encoder.mask_downsampler.encoder.{number}.{words[-1]}"
        for theirs, ours in {
            "feature_projection": "pix_feat_proj",
            "memory_fuser": "fuser",
            "depthwise_conv": "dwconv",
            "pointwise_conv": "pwconv",
            "projection": "out_proj",
            "scale": "gamma",
        }.items():
            rest = rest.replace(theirs, ours)
        return f"memory_encoder.{rest}"
    if part == "object_pointer_proj":
        inner, _, end = rest.rpartition(".")
        return f"obj_ptr_proj.{PERCEPTRON[inner]}.{end}"
    if part == "temporal_positional_encoding_projection_layer":
        return f"obj_ptr_tpos_proj.{rest}"
    return f"{part}.{rest}"


def metas_file(network: Sam2VideoModel) -> dict[str, torch.Tensor]:
    """Its tensors as Meta's file has them."""
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    corners = state.pop("prompt_encoder.point_embed.weight")
    del state["shared_image_embedding.positional_embedding"]
    layers = {name.split(".")[3] for name in state if "mask_downsampler.layers." in name}
    found = {metas_name(name, len(layers)): tensor for name, tensor in state.items()}
    return found | {f"sam_prompt_encoder.point_embeddings.{i}.weight": corners[i : i + 1] for i in range(4)}


@pytest.fixture
def trained(monkeypatch) -> Sam2VideoModel:
    torch.manual_seed(0)
    network = Sam2VideoModel(Sam2VideoConfig(**SMALL))
    tensors = network.state_dict()  # one tensor with two names in Meta's network
    tensors["shared_image_embedding.positional_embedding"].copy_(
        tensors["prompt_encoder.shared_embedding.positional_embedding"]
    )
    monkeypatch.setitem(module.SIZES, SIZE, {})
    monkeypatch.setattr(module, "sized", lambda size, newer: Sam2VideoConfig(**SMALL) if newer else None)
    return network


def test_a_file_of_metas_layout_becomes_transformers_network(trained, tmp_path):
    state = metas_file(trained)
    assert [name for name in OFFICIAL if name not in state] == []
    torch.save({"model": state}, tmp_path / "sam2.1_small.pt")
    loaded = sam2_video(str(tmp_path / "sam2.1_small.pt"))
    torch.testing.assert_close(loaded.state_dict(), trained.state_dict(), rtol=0, atol=0)
    assert not loaded.training


def test_what_is_missing_or_something_else_is_named(trained, tmp_path):
    state = metas_file(trained)
    path = tmp_path / "sam2.pt"
    torch.save({"model": {n: t for n, t in state.items() if n != "memory_encoder.out_proj.bias"}}, path)
    with pytest.raises(UserError, match=r"memory_encoder\.projection\.bias is missing"):
        sam2_video(str(path))
    torch.save({"model": {n: t for n, t in state.items() if ".blocks.4." not in n}}, path)
    with pytest.raises(UserError, match=r"96 with 12.*got 8 with 4"):
        sam2_video(str(path))
    torch.save({"weight": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="must be a checkpoint of SAM 2"):
        sam2_video(str(path))


# millions, as the authors write them
@pytest.mark.parametrize(
    ("size", "millions"), [((96, 12), 38.9), ((96, 16), 46.0), ((112, 24), 80.8), ((144, 48), 224.4)]
)
def test_the_published_sizes_have_the_published_numbers_of_parameters(size, millions):
    with torch.device("meta"):
        network = Sam2VideoModel(module.sized(size, newer=True))
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.1)
