import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Sam2VideoConfig, Sam2VideoModel

from glassine.models.sam import make_sam
from glassine.pretrained import sam as module
from glassine.pretrained.sam import sam2_video, segment_anything_model
from glassine.utils.errors import UserError

SMALL = {"embed_dim": 16, "depth": 1, "num_heads": 2, "out_channels": 16, "global_attn_indexes": (0,)}


@pytest.fixture
def small_registry(monkeypatch):
    """SAMs of test size in the place of the published ones."""
    sizes = {"vit_b": 16, "vit_l": 32, "vit_h": 48}
    makers = {name: lambda width=width: make_sam(64, **SMALL | {"embed_dim": width}) for name, width in sizes.items()}
    monkeypatch.setattr(module, "sam_model_registry", makers)
    monkeypatch.setattr(module, "WIDTHS", {width: name for name, width in sizes.items()})
    return makers


def test_a_checkpoint_in_metas_format_is_loaded(small_registry, tmp_path):
    trained = small_registry["vit_l"]()
    torch.save(trained.state_dict(), tmp_path / "sam_vit_l.pth")
    loaded = segment_anything_model("vit_l", str(tmp_path / "sam_vit_l.pth"))
    for name, tensor in trained.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name


def test_a_checkpoint_of_another_size_is_named(small_registry, tmp_path):
    torch.save(small_registry["vit_b"]().state_dict(), tmp_path / "sam.pth")
    with pytest.raises(UserError, match=r"sam\.pth must hold vit_h, got vit_b"):
        segment_anything_model("vit_h", str(tmp_path / "sam.pth"))


def test_what_is_no_sam_checkpoint_is_refused(small_registry, tmp_path):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="must be a checkpoint of SAM"):
        segment_anything_model("vit_b", str(tmp_path / "other.pth"))
    with pytest.raises(UserError, match="no weight file"):
        segment_anything_model("vit_b", str(tmp_path / "missing.pth"))
    with pytest.raises(UserError, match="must be one of vit_b, vit_l, vit_h"):
        segment_anything_model("vit_x", None)
    state = small_registry["vit_b"]().state_dict()
    del state["mask_decoder.iou_token.weight"]
    torch.save(state, tmp_path / "cut.pth")
    with pytest.raises(UserError, match=r"does not match Sam: .*iou_token"):
        segment_anything_model("vit_b", str(tmp_path / "cut.pth"))


SAM2_SMALL = Path(__file__).parents[2] / "helpers" / "sam2_small.json"


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    return Sam2VideoModel(Sam2VideoConfig(**json.loads(SAM2_SMALL.read_text())))


@pytest.fixture
def checkpoint(trained, tmp_path):
    trained.save_pretrained(tmp_path / "sam2")
    return tmp_path / "sam2"


def test_a_saved_network_comes_back_ready_for_use(trained, checkpoint):
    network = sam2_video(str(checkpoint))
    torch.testing.assert_close(network.state_dict(), trained.state_dict(), rtol=0, atol=0)
    assert not network.training


def test_the_hub_or_folder_that_has_none_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no SAM 2 at .*nowhere.*facebook/sam2.1-hiera-tiny or a local folder"):
        sam2_video(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("kind", ["sam2", "clip"])
def test_a_folder_of_another_model_is_refused_rather_than_filled_with_chance(tmp_path, kind):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(UserError, match=f"must hold a sam2_video, got a {kind}"):
        sam2_video(str(tmp_path))


def test_so_is_one_of_another_library(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "AutoencoderKL"}))
    with pytest.raises(UserError, match="no SAM 2 at"):
        sam2_video(str(tmp_path))


def test_weights_that_are_not_all_there_are_refused(checkpoint):
    weights = checkpoint / "model.safetensors"
    state = load_file(weights)
    del state["memory_encoder.projection.weight"]
    save_file(state, weights, {"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 1 .*memory_encoder\.projection\.weight"):
        sam2_video(str(checkpoint))
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(UserError, match="no SAM 2 at"):
        sam2_video(str(checkpoint))


def test_transformers_own_defaults_are_the_smallest_published_network():
    with torch.device("meta"):
        network = Sam2VideoModel(Sam2VideoConfig())
    # 38,962,498; its authors write 38.9 M for sam2.1_hiera_tiny
    assert sum(p.numel() for p in network.parameters()) // 100_000 == 389
