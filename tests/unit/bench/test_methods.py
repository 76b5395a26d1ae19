"""Rows of the score table that are told where the sticker is."""

import pytest
import torch

from glassine.bench.methods import Sources, make_methods
from glassine.models.sam import make_sam
from glassine.pretrained.weights import save_bundle
from glassine.utils.errors import UserError

SAM = {"image_size": 64, "embed_dim": 16, "depth": 1, "num_heads": 2, "global_attn_indexes": [0]}
SAM |= {"out_channels": 16, "decoder_mlp_dim": 16}


@pytest.fixture
def sam(tmp_path) -> str:
    torch.manual_seed(0)
    save_bundle(make_sam(**SAM), {"class_path": "glassine.models.sam.make_sam", "init_args": SAM}, tmp_path / "sam")
    return str(tmp_path / "sam")


def test_sam_is_a_row_with_its_parameters_and_reads_the_true_alpha(sam):
    (method,) = make_methods(["sam"], Sources(sam=sam))
    clip, alpha = torch.rand(1, 2, 3, 64, 64), torch.zeros(1, 2, 1, 64, 64)
    assert not method.alpha(clip, None, alpha).any()  # nothing to prompt
    alpha[..., 20:40, 20:40] = 1
    assert method.alpha(clip, None, alpha).shape == alpha.shape
    assert method.parameters == sum(p.numel() for p in make_sam(**SAM).parameters())
    with pytest.raises(ValueError, match="target must be given"):
        method.alpha(clip)


def test_rows_without_weights_say_what_they_need():
    sources = Sources(sam="nowhere", matting_anything="nowhere")
    rows = {method.name: method for method in make_methods(["sam", "matting_anything", "sam2"], sources)}
    assert list(rows) == ["matting_anything", "sam", "sam2"]
    assert "nowhere" in rows["sam"].missing
    assert "nowhere" in rows["matting_anything"].missing
    assert "--sam2 facebook/sam2.1-hiera-tiny" in rows["sam2"].missing
    with pytest.raises(UserError, match="needs weights"):
        rows["sam2"].alpha(torch.rand(1, 1, 3, 64, 64))


def test_variants_of_ildiff_come_from_the_ablations_runs(tmp_path):
    (missing,) = make_methods(["ildiff_no_time"], Sources(variants=tmp_path))
    assert "glassine benchmark variants" in missing.missing
    for run in ("depth0-seed1-150steps", "depth0-seed0-150steps", "depth0-seed0-20steps"):
        (tmp_path / run).mkdir()
    (longest,) = make_methods(["ildiff_no_time"], Sources(variants=tmp_path))
    assert "its run has 0 of 150 steps" in longest.missing
    for run, done in (("depth0-seed0-150steps", 149), ("depth0-seed1-150steps", 150)):
        (tmp_path / run / "checkpoints").mkdir()
        torch.save({"global_step": done}, tmp_path / run / "checkpoints" / "last.ckpt")
    (finished,) = make_methods(["ildiff_no_time"], Sources(variants=tmp_path))
    assert finished.weights.endswith("depth0-seed1-150steps")  # every seed that is done is one of the row


def test_another_networks_weights_are_refused(sam):
    with pytest.raises(UserError, match="must be a MattingAnything, got a Sam"):
        make_methods(["matting_anything"], Sources(matting_anything=sam))
