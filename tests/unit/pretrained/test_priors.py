import re

import pytest
import torch
from tests.helpers.tiny_generator import save_tiny_generator, tiny_clip_mean, tiny_generator, tiny_mean

from glassine.nn.priors import LatentPrior
from glassine.pretrained.priors import load_latent_mean, load_latent_prior, with_latent_mean
from glassine.utils.errors import UserError


def test_a_mean_is_taken_where_there_is_one(tmp_path):
    donor, mean = tiny_mean(), tiny_mean()
    torch.nn.init.normal_(donor.layers[1].weight)
    state = tiny_generator(in_channels=8, latent_mean=donor).state_dict()
    torch.save({"state_dict": {f"generator.{name}": t for name, t in state.items()}}, tmp_path / "last.ckpt")
    assert "from" in load_latent_prior(mean, str(tmp_path / "last.ckpt"))
    assert torch.equal(mean.layers[1].weight, donor.layers[1].weight)
    without = save_tiny_generator(tmp_path / "generator")
    assert "has none" in load_latent_prior(mean, without)
    moving = tiny_clip_mean()
    for frozen in (mean, moving):
        frozen.freeze_spatial()
        with pytest.raises(UserError, match="must hold a latent_mean"):
            load_latent_prior(frozen, without)


def test_motion_is_kept_where_a_mean_without_is_taken(tmp_path):
    source, mean = save_tiny_generator(tmp_path, latent_mean=True), tiny_clip_mean()
    torch.nn.init.normal_(mean.layers[1].weight)
    motion, text = mean.motion[-1].weight.clone(), torch.randn(1, 2, 16)
    load_latent_prior(mean, source)
    assert torch.equal(mean.motion[-1].weight, motion)
    torch.testing.assert_close(mean(text), load_latent_mean(source)(text))


def test_looks_come_from_one_generator_and_motion_from_another(tmp_path):
    still = save_tiny_generator(tmp_path / "still", latent_mean=True)
    moving = save_tiny_generator(tmp_path / "moving", latent_mean=True, moves=True)
    torch.nn.init.normal_((changed := tiny_clip_mean()).layers[1].weight)
    text, close = torch.randn(1, 2, 16), {"atol": 1e-2, "rtol": 1e-2}
    mean = with_latent_mean(still, with_latent_mean(moving, changed))
    torch.testing.assert_close(mean(text), tiny_mean()(text), **close)
    torch.testing.assert_close(mean.motion(text), tiny_clip_mean().motion(text), **close)
    without = with_latent_mean(moving, tiny_mean())
    torch.testing.assert_close(without(text), tiny_clip_mean()(text), **close)
    with pytest.raises(UserError, match=re.escape(still)):
        with_latent_mean(still, LatentPrior(16, size=(4, 4), width=8))


def test_that_of_a_bundle_is_loaded_for_another_network(tmp_path):
    source = save_tiny_generator(tmp_path / "with", latent_mean=True)
    text = torch.randn(1, 2, 16)
    torch.testing.assert_close(load_latent_mean(source)(text), tiny_mean()(text), atol=1e-2, rtol=1e-2)
    with pytest.raises(UserError, match="nowhere"):
        load_latent_mean(str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"gone\.ckpt"):
        load_latent_mean(str(tmp_path / "gone.ckpt"))
    with pytest.raises(UserError, match="must hold a generator with a latent_mean"):
        load_latent_mean(save_tiny_generator(tmp_path / "without"))
