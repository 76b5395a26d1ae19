import numpy as np
import pytest
import torch
import yaml

from glassine.bench.latent_statistics import latent_statistics, write_statistics
from glassine.data.frame_cache import CachedFrames, write_frames
from glassine.data.shards import ShardFormat, ShardWriter, StickerShards
from glassine.data.shards.writer import encode_sticker
from glassine.data.sticker import Sticker
from glassine.models.vae import MultiScaleVAE
from glassine.pretrained.weights import load_bundle, save_model
from glassine.utils.errors import UserError


@pytest.fixture
def frames(tmp_path):
    how = ShardFormat(codec="png")
    random = np.random.default_rng(0)
    with ShardWriter(tmp_path / "shards", how) as writer:
        for number in range(5):
            picture = random.integers(0, 256, (1, 32, 32, 4), np.uint8)
            writer.append(encode_sticker(f"s{number}", Sticker(picture, (100,), 0), {"split": "train"}, how))
    write_frames(StickerShards(tmp_path / "shards"), range(5), 1, (32, 32), tmp_path / "cache")
    return tmp_path / "cache"


def vae() -> MultiScaleVAE:
    torch.manual_seed(0)
    return MultiScaleVAE(latent_channels=4, encoder_widths=(8, 8, 8), decoder_widths=(8, 8, 8), blocks=1).eval()


def test_they_are_those_of_all_latents_together(frames):
    network, dataset = vae(), CachedFrames(frames)
    mean, std = latent_statistics(network, dataset)
    rgba = torch.cat([dataset[row]["rgba"] for row in range(len(dataset))])
    white = rgba[:, :3] * rgba[:, 3:] + 1 - rgba[:, 3:]
    latents = network.encode(white * 2 - 1).latent_dist.mean.transpose(0, 1).flatten(1)  # c n
    torch.testing.assert_close(mean, latents.mean(1), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(std, latents.std(1, unbiased=False), atol=1e-5, rtol=1e-3)


def test_they_are_written_into_the_bundle(frames, tmp_path):
    save_model(vae(), tmp_path / "vae")
    write_statistics(str(tmp_path / "vae"), [str(frames)])
    config = yaml.safe_load((tmp_path / "vae/config.yaml").read_text())["init_args"]
    assert len(config["latents_std"]) == 4
    assert list(load_bundle(str(tmp_path / "vae")).config["latents_mean"]) == config["latents_mean"]
    with pytest.raises(UserError, match="no sticker of split 'test'"):
        write_statistics(str(tmp_path / "vae"), [str(frames)], "test")
