import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional
from transformers import VideoMAEConfig, VideoMAEModel

from glassine.metrics.fvd import FVD
from glassine.pretrained.video_mae import VideoMAE
from glassine.utils.errors import UserError

SMALL = {
    "image_size": 16, "patch_size": 8, "num_frames": 16, "tubelet_size": 2, "hidden_size": 12,
    "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
}  # fmt: skip


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(0)
    VideoMAEModel(VideoMAEConfig(**SMALL)).save_pretrained(tmp_path / "videomae")
    return tmp_path / "videomae"


@torch.no_grad()
def test_features_are_the_mean_of_the_last_tokens_of_normalised_frames(checkpoint):
    network = VideoMAE(str(checkpoint), mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.5))
    clips = torch.rand(2, 16, 3, 20, 24)
    frames = functional.interpolate(clips.flatten(0, 1), size=(16, 16), mode="bilinear", align_corners=False)
    frames = (frames - torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1)) / torch.tensor([0.2, 0.25, 0.5]).view(3, 1, 1)
    plain = VideoMAEModel.from_pretrained(checkpoint).eval()
    expected = plain(pixel_values=frames.view(2, 16, 3, 16, 16)).last_hidden_state.mean(1)
    torch.testing.assert_close(network(clips), expected)
    assert expected.shape == (2, network.num_features) == (2, 12)


def test_it_carries_fvd_on_clips_of_eight_frames(checkpoint):
    metric = FVD(VideoMAE(str(checkpoint)), "videomae", backgrounds=["white"])
    metric.update(torch.rand(2, 8, 4, 16, 16), real=True)
    metric.update(torch.rand(2, 8, 4, 16, 16) / 2, real=False)
    assert metric.compute()["fvd_videomae_rep2_16f_white"] > 0


def test_other_frames_than_it_was_made_for_are_refused(checkpoint):
    network = VideoMAE(str(checkpoint))
    with pytest.raises(UserError, match="must have 16 frames for this VideoMAE, got 8"):
        network(torch.rand(1, 8, 3, 16, 16))
    with pytest.raises(UserError, match="got native_8f with 8: choose from rep2_16f"):
        FVD(network, "videomae", "native_8f")


def test_what_is_no_videomae_is_named(checkpoint, tmp_path):
    with pytest.raises(UserError, match=r"no VideoMAE at .*nowhere.*local folder"):
        VideoMAE(str(tmp_path / "nowhere"))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))
    with pytest.raises(UserError, match="must hold a videomae, got a clip"):
        VideoMAE(str(tmp_path))
    state = load_file(checkpoint / "model.safetensors")
    del state["encoder.layer.0.layernorm_before.weight"]
    save_file(state, checkpoint / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 1 .*layernorm_before"):
        VideoMAE(str(checkpoint))


def test_the_published_networks_see_sixteen_frames_of_224_pixels():
    config = VideoMAEConfig()
    assert (config.num_frames, config.image_size, config.hidden_size) == (16, 224, 768)
