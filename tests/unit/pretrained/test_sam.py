import pytest
import torch

from glassine.models.sam import make_sam
from glassine.pretrained import sam as module
from glassine.pretrained.sam import segment_anything_model
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
    with pytest.raises(UserError, match=r"does not fit Sam: .*iou_token"):
        segment_anything_model("vit_b", str(tmp_path / "cut.pth"))
