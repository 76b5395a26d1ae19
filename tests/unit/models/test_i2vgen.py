import pytest
import torch
from diffusers import I2VGenXLUNet
from tests.helpers.tiny_video_unet import SIZE, TEXT_WIDTH, inputs, stir

from glassine.models.video_unet import I2VGen
from glassine.utils.errors import UserError


def tiny(kind=I2VGen, **more):
    torch.manual_seed(0)
    unet = kind(**SIZE, **more).eval()
    stir(unet)
    return unet


@torch.no_grad()
def test_it_is_diffusers_network_with_an_image_of_zeros():
    unet, theirs = tiny(fps=8), tiny(I2VGenXLUNet)
    for batch, frames in ((1, 1), (2, 8)):
        sample, timestep, prompt_embeds = inputs(batch, frames)
        expected = theirs(
            sample,
            timestep,
            fps=torch.full((batch,), 8),
            image_latents=torch.zeros_like(sample),
            image_embeddings=torch.zeros(batch, 1, TEXT_WIDTH),
            encoder_hidden_states=prompt_embeds,
        ).sample
        torch.testing.assert_close(unet(sample, timestep, prompt_embeds).sample, expected)


@torch.no_grad()
def test_it_is_the_same_bit_for_bit_after_saving_and_loading(tmp_path):
    unet = tiny(fps=10)
    unet.save_pretrained(tmp_path)
    loaded = I2VGen.from_pretrained(tmp_path)
    assert loaded.config["fps"] == 10
    assert torch.equal(loaded(*inputs()).sample, unet(*inputs()).sample)


@torch.no_grad()
def test_a_folder_of_diffusers_own_class_loads(tmp_path):
    theirs = tiny(I2VGenXLUNet)
    theirs.save_pretrained(tmp_path)
    loaded = I2VGen.from_pretrained(tmp_path)
    assert loaded.config["fps"] == 16
    own, there = loaded.state_dict(), theirs.state_dict()
    assert all(torch.equal(own[name], there[name]) for name in own)


def test_all_but_what_zeros_go_through_learns():
    unet = tiny()
    unet(*inputs()).sample.square().mean().backward()
    fed_with_zeros = {
        "image_latents_proj_in.0.weight", "image_latents_context_embedding.0.weight", "context_embedding.0.weight",
    }  # fmt: skip
    assert {name for name, p in unet.named_parameters() if not p.grad.any()} == fed_with_zeros


def test_it_freezes_and_checkpoints_as_the_others_do():
    unet = tiny()
    unet.freeze_spatial()
    names = {name for name, p in unet.named_parameters() if p.requires_grad}
    of_its_own = ("transformer_in.", "image_latents_", "context_embedding.", "fps_embedding.")
    assert names == {n for n in unet.state_dict() if n.startswith(of_its_own) or ".temp_" in n}
    unet(*inputs()).sample.square().mean().backward()
    plain = {name: p.grad.clone() for name, p in unet.named_parameters() if p.requires_grad}
    unet.zero_grad()
    unet.enable_gradient_checkpointing()
    unet(*inputs()).sample.square().mean().backward()
    for name, p in unet.named_parameters():
        if p.requires_grad:
            torch.testing.assert_close(p.grad, plain[name])


def test_inputs_that_it_cannot_take_are_named():
    with pytest.raises(UserError, match="latents must be multiples of 2, got 7 x 8"):
        tiny()(torch.zeros(1, 4, 3, 7, 8), 1, torch.zeros(1, 5, TEXT_WIDTH))
