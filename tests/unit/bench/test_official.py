"""Rows of the matting table from files of the official layouts."""

from functools import partial
from pathlib import Path

import pytest
import torch
from tests.helpers import official_files as files
from tests.unit.pretrained.test_matting_anything import AuthorsHead

from glassine.bench import official
from glassine.bench.methods import AlphaMethod, Sources, make_methods
from glassine.models.matting_anything import MaskToMatte
from glassine.models.transparency import TransparencyDecoder, TransparencyEncoder
from glassine.pretrained import sam as sam_files
from glassine.utils.errors import UserError

ENCODER, DECODER = (f"layer_sd15_vae_transparent_{part}.safetensors" for part in ("encoder", "decoder"))


@pytest.fixture
def small(monkeypatch, tmp_path) -> Path:
    """Files with small widths, and networks of these in the place of the published sizes."""
    torch.manual_seed(0)
    files.save_state(files.small_sam().state_dict(), tmp_path / "sam_vit_b_01ec64.pth")
    files.layer_diffuse(tmp_path)
    files.stable_diffusion(tmp_path / "sd")
    head = MaskToMatte(feature_channels=16, widths=(8, 8, 8), matte_width=8)
    monkeypatch.setattr(sam_files, "sam_model_registry", {"vit_b": files.small_sam})
    monkeypatch.setattr(sam_files, "WIDTHS", {16: "vit_b"})
    monkeypatch.setattr(official, "MaskToMatte", lambda: head)
    monkeypatch.setattr(official, "TransparencyEncoder", partial(TransparencyEncoder, **files.TRANSPARENCY_ENCODER))
    monkeypatch.setattr(official, "TransparencyDecoder", partial(TransparencyDecoder, **files.TRANSPARENCY_DECODER))
    return tmp_path


def alpha_of(method: AlphaMethod) -> torch.Tensor:
    clip, target = torch.rand(1, 2, 3, 64, 64), torch.zeros(1, 2, 1, 64, 64)
    target[..., 20:40, 20:40] = 1
    found = method.alpha(clip, torch.ones(1, 3), target)
    assert found.shape == target.shape
    assert found.isfinite().all()
    return found


def test_sam_is_metas_file_of_any_size(small):
    (method,) = make_methods(["sam"], Sources(sam=str(small / "sam_vit_b_01ec64.pth")))
    assert set(alpha_of(method).unique().tolist()) <= {0.0, 1.0}
    assert method.weights.endswith("/sam_vit_b_01ec64.pth")
    assert method.parameters == sum(p.numel() for p in files.small_sam().parameters())


def test_matting_anything_is_the_authors_head_on_metas_sam(small, monkeypatch):
    sizes = {"feature_channels": 16, "widths": (8, 8, 8), "blocks": (3, 3, 2), "matte_width": 8}
    monkeypatch.setattr("tests.unit.pretrained.test_matting_anything.SIZES", sizes)
    torch.save({"state_dict": AuthorsHead().state_dict()}, small / "mam_vitb.pth")
    sources = Sources(sam=str(small / "sam_vit_b_01ec64.pth"), matting_anything=str(small / "mam_vitb.pth"))
    (method,) = make_methods(["matting_anything"], sources)
    assert alpha_of(method).max() > 0
    (alone,) = make_methods(["matting_anything"], Sources(matting_anything=str(small / "mam_vitb.pth")))
    assert "holds the head alone" in alone.missing


def test_layer_diffuse_is_its_two_files_around_stable_diffusions_vae(small):
    sources = Sources(transparency=str(small / DECODER), sd_vae=str(small / "sd"))
    (method,) = make_methods(["layer_diffuse"], sources)
    alpha_of(method)
    (small / ENCODER).rename(small / "encoder.safetensors")
    (missing,) = make_methods(["layer_diffuse"], sources)
    assert "no weight file" in missing.missing
    named = Sources(
        transparency=sources.transparency,
        sd_vae=sources.sd_vae,
        transparency_encoder=str(small / "encoder.safetensors"),
    )
    (again,) = make_methods(["layer_diffuse"], named)
    assert again.digest == method.digest


def test_files_that_are_not_there_are_said_in_the_row(small):
    (method,) = make_methods(["sam"], Sources(sam=str(small / "sam_vit_x.pth")))
    assert "no weight file" in method.missing
    with pytest.raises(UserError, match="no weight file"):
        alpha_of(method)
