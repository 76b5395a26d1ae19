import copy

import pytest
import torch
from diffusers import I2VGenXLUNet, UNet2DConditionModel, UNet3DConditionModel
from diffusers.models.resnet import TemporalConvLayer
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from einops import rearrange
from jsonargparse import ArgumentParser
from tests.helpers.tiny_video_unet import METHODS, NAMES, SIZE, TEXT_WIDTH, awake, inputs, stir, tiny_video_unet
from torch import nn

from glassine.models.video_unet import I2VGen, VideoUNet
from glassine.nn.sti import STI, STILayer
from glassine.nn.temporal import MakeAVideo, VideoFactory, VideoLDM, make_method
from glassine.pretrained.video_unet import load_image_weights
from glassine.utils.errors import UserError

methods = pytest.mark.parametrize("method", METHODS, ids=NAMES)
OTHER_ARGUMENTS = (
    MakeAVideo(zero_init=False),
    VideoLDM(share=0.9, zero_init=False),
    VideoFactory(window=(3, 2, 2), zero_init=False, positions="frames_and_space"),
    STI(
        gamma=3, kernel_sizes=(1, 5), attentions=1, feed_forward=False, positions="frames", mix="channel", share=0.3,
        downsample="convolution", upsample="nearest", zero_init=False, mixed_convolutions=False,
    ),
)  # fmt: skip


@methods
@pytest.mark.parametrize(("frames", "size"), [(8, 8), (1, 16), (5, 2)])
@torch.no_grad()
def test_it_is_called_as_diffusers_network_for_any_number_of_frames(method, frames, size):
    sample, timestep, prompt_embeds = inputs(2, frames, size)
    unet = tiny_video_unet(awake(method))
    assert unet(sample, timestep, prompt_embeds).sample.shape == sample.shape
    assert unet(sample, 3, prompt_embeds, return_dict=False)[0].shape == sample.shape
    assert isinstance(unet, UNet3DConditionModel)


@methods
@torch.no_grad()
def test_with_silent_temporal_layers_it_is_the_image_network_on_every_frame(method, tmp_path):
    torch.manual_seed(3)
    image = UNet2DConditionModel(
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(32, 64),
        layers_per_block=1,
        norm_num_groups=8,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=(4, 8),
        use_linear_projection=True,
    ).eval()
    image.save_pretrained(tmp_path)
    unet = tiny_video_unet(method)
    load_image_weights(unet, str(tmp_path), subfolder=None)
    sample, timestep, prompt_embeds = inputs(2, frames=3)
    frames = rearrange(sample, "b c f h w -> (b f) c h w")
    each = image(frames, timestep.repeat_interleave(3), prompt_embeds.repeat_interleave(3, 0)).sample
    expected = rearrange(each, "(b f) c h w -> b c f h w", f=3)
    torch.testing.assert_close(unet(sample, timestep, prompt_embeds).sample, expected, atol=1e-5, rtol=1e-5)


@methods
@torch.no_grad()
def test_trained_temporal_layers_let_frames_meet(method):
    unet = tiny_video_unet(awake(method))
    stir(unet)
    sample, timestep, prompt_embeds = inputs(frames=4)
    other = sample.clone()
    other[:, :, 0] += 1
    change = unet(other, timestep, prompt_embeds).sample - unet(sample, timestep, prompt_embeds).sample
    assert change[:, :, 3].abs().max() > 1e-5


@pytest.mark.parametrize("method", [*METHODS, *OTHER_ARGUMENTS])
@torch.no_grad()
def test_it_is_the_same_bit_for_bit_after_saving_and_loading(method, tmp_path):
    unet = tiny_video_unet(method)
    stir(unet)
    unet.save_pretrained(tmp_path)
    loaded, report = VideoUNet.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert make_method(loaded.config["temporal"]) == method
    assert torch.equal(loaded(*inputs()).sample, unet(*inputs()).sample)
    assert repr(loaded) == repr(unet)


@methods
def test_every_trainable_parameter_learns(method):
    unet = tiny_video_unet(awake(method))
    stir(unet)
    unet(*inputs(frames=3)).sample.square().mean().backward()
    assert [name for name, p in unet.named_parameters() if p.grad is None or not p.grad.any()] == []


@methods
def test_with_the_spatial_part_frozen_only_temporal_layers_learn(method):
    unet = tiny_video_unet(method)
    unet.freeze_spatial()
    trained = {name for name, p in unet.named_parameters() if p.requires_grad}
    places = ("transformer_in", ".temp_attentions.", ".temp_convs.")
    assert trained == {name for name in unet.state_dict() if any(place in name for place in places)}
    unet(*inputs()).sample.square().mean().backward()
    assert {name for name, p in unet.named_parameters() if p.grad is not None} == trained


@methods
def test_gradient_checkpointing_changes_memory_and_no_gradient(method):
    def gradients():
        torch.manual_seed(5)  # the convolutions drop out
        saved = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x: (saved.append(x.numel()), x)[1], lambda x: x):
            loss = unet(*inputs(frames=2, size=4)).sample.square().mean()
        unet.zero_grad()
        loss.backward()
        return {name: p.grad.clone() for name, p in unet.named_parameters()}, sum(saved)

    unet = tiny_video_unet(awake(method)).train()
    stir(unet)
    plain, plain_memory = gradients()
    unet.enable_gradient_checkpointing()
    assert unet.is_gradient_checkpointing
    again, memory = gradients()
    assert memory < plain_memory / 4
    for name, gradient in plain.items():
        torch.testing.assert_close(again[name], gradient)
    unet.disable_gradient_checkpointing()
    assert not unet.is_gradient_checkpointing
    assert "forward" not in unet.transformer_in.__dict__


def test_a_copy_with_checkpointing_runs_on_its_own_weights():
    """Weight averaging copies networks."""
    unet = tiny_video_unet(STI())
    unet.enable_gradient_checkpointing()
    copied = copy.deepcopy(unet)
    for parameter in copied.down_blocks.parameters():
        nn.init.zeros_(parameter)
    assert not torch.equal(copied(*inputs()).sample, unet(*inputs()).sample)


def test_methods_replace_what_is_theirs():
    def kinds(method):
        layers = tiny_video_unet(method).temporal_layers()
        return [type(layer).__name__ for layer in layers.values()], list(layers)

    attention, convolution = TransformerTemporalModel.__name__, TemporalConvLayer.__name__
    plain, names = kinds(MakeAVideo())
    assert names[0] == "transformer_in"
    assert (plain.count(attention), plain.count(convolution)) == (5, 8)
    for method, attentions, convolutions in [
        (VideoLDM(), ["MixedAttention"] * 5, "MixedConvolution"),
        (VideoFactory(), [attention] + ["SwappedAttention"] * 4, convolution),
        (STI(), [STILayer.__name__] * 5, "MixedConvolution"),
        (STI(mixed_convolutions=False), [STILayer.__name__] * 5, convolution),
    ]:
        found, _ = kinds(method)
        assert [kind for kind in found if "onv" not in kind] == attentions
        assert [kind for kind in found if "onv" in kind] == [convolutions] * 8


def test_methods_differ_in_one_key_of_a_yaml():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--unet", type=nn.Module)
    size = [f"--unet.{name}={list(value) if isinstance(value, tuple) else value}" for name, value in SIZE.items()]
    for method, argument in [
        (STI(), ["--unet.temporal=glassine.nn.sti.STI"]),
        (STI(gamma=4), ["--unet.temporal=glassine.nn.sti.STI", "--unet.temporal.gamma=4"]),
        (VideoLDM(), ["--unet.temporal=glassine.nn.temporal.VideoLDM"]),
    ]:
        config = parser.parse_args(["--unet=glassine.models.video_unet.VideoUNet", *size, *argument])
        unet = parser.instantiate(config).unet
        assert repr(unet) == repr(tiny_video_unet(method))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample": (1, 4, 3, 7, 8)}, "must be multiples of 2, got 7 x 8: make clips of multiples of 16 pixels"),
        ({"sample": (1, 3, 3, 8, 8)}, r"shape \(batch, 4, frames, height, width\), got \(1, 3, 3, 8, 8\)"),
        ({"sample": (1, 4, 0, 8, 8)}, "latents must be of shape"),
        ({"sample": (4, 3, 8, 8)}, "latents must be of shape"),
        ({"prompt_embeds": (1, 5, 8)}, r"prompt_embeds must be of shape \(1, tokens, 16\), got \(1, 5, 8\)"),
        ({"prompt_embeds": (2, 5, 16)}, r"shape \(1, tokens, 16\), got \(2, 5, 16\)"),
    ],
)
def test_inputs_that_it_cannot_take_are_named(change, message):
    shapes = {"sample": (1, 4, 3, 8, 8), "prompt_embeds": (1, 5, TEXT_WIDTH)} | change
    with pytest.raises(UserError, match=message):
        tiny_video_unet()(torch.zeros(shapes["sample"]), 1, torch.zeros(shapes["prompt_embeds"]))


def test_a_method_that_does_not_exist_is_named():
    with pytest.raises(UserError, match=r"temporal must be a method .*glassine\.nn\.sti\.STI"):
        VideoUNet(temporal={"class_path": "glassine.nn.sti.Sti"}, **SIZE)


def tiny(kind=I2VGen, **more):
    torch.manual_seed(0)
    unet = kind(**SIZE, **more).eval()
    stir(unet)
    return unet


@torch.no_grad()
def test_it_is_diffusers_network_with_an_image_of_zeros():
    unet, theirs = tiny(fps=8, zero_init=False), tiny(I2VGenXLUNet)
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
def test_it_is_the_same_bit_for_bit_after_saving_and_loading_of_i2vgen(tmp_path):
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


def test_inputs_that_it_cannot_take_are_named_of_i2vgen():
    with pytest.raises(UserError, match="latents must be multiples of 2, got 7 x 8"):
        tiny()(torch.zeros(1, 4, 3, 7, 8), 1, torch.zeros(1, 5, TEXT_WIDTH))


@torch.no_grad()
def test_i2vgen_starts_as_the_image_network_where_it_sees_no_image_tokens(tmp_path):
    torch.manual_seed(0)
    names = {"down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D")}
    names["up_block_types"] = ("UpBlock2D", "CrossAttnUpBlock2D")
    image = UNet2DConditionModel(**{**SIZE, **names, "attention_head_dim": (4, 8)}, use_linear_projection=True).eval()
    image.save_pretrained(tmp_path)
    sample, timestep, prompt_embeds = inputs(2, frames=3)
    frames = rearrange(sample, "b c f h w -> (b f) c h w")
    each = image(frames, timestep.repeat_interleave(3), prompt_embeds.repeat_interleave(3, 0)).sample
    expected = rearrange(each, "(b f) c h w -> b c f h w", f=3)
    for tokens, equal in ((False, True), (True, False)):
        unet = I2VGen(**SIZE, image_tokens=tokens).eval()
        load_image_weights(unet, str(tmp_path), subfolder=None)
        assert torch.allclose(unet(sample, timestep, prompt_embeds).sample, expected, atol=1e-5) == equal
