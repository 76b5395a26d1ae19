import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Sam2VideoConfig, Sam2VideoModel

from glassine.pretrained.sam import sam2_video
from glassine.utils.errors import UserError

SMALL = Path(__file__).parents[2] / "helpers" / "sam2_small.json"


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    return Sam2VideoModel(Sam2VideoConfig(**json.loads(SMALL.read_text())))


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
