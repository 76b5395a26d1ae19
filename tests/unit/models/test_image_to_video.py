import warnings

import pytest
import torch
from tests.helpers.tiny_image_to_video import (
    save_tiny_image_to_video,
    tiny_clip_unet,
    tiny_image_to_video,
)
from tests.helpers.tiny_transparent import stickers, stir, tiny_frame_unet

from glassine.models.animation import Animation
from glassine.models.sampling import Distilled, SamplerConfig, UnusualSteps
from glassine.nn.sti import STI
from glassine.nn.temporal import MakeAVideo, VideoFactory, VideoLDM
from glassine.pretrained.video_unet import load_unet
from glassine.pretrained.weights import load_bundle
from glassine.utils.errors import UserError

SIZE, FRAMES = (32, 32), 4
PROMPTS, SEEDS = ["a cat", "a dog"], [3, 4]
FAST = Animation(num_inference_steps=2)


def base_images() -> torch.Tensor:
    batch = stickers()
    return torch.cat([batch["foreground"], batch["alpha"]], dim=2)[:, 0]  # b 4 h w


def noisy(frames: int = FRAMES) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(2, frames, 4, 4, 4), torch.tensor([10, 900]), torch.randn(2, 5, 16)


@pytest.mark.parametrize("temporal", [MakeAVideo(), VideoLDM(), VideoFactory(), STI()], ids=lambda m: type(m).__name__)
def test_it_starts_as_the_image_network_on_every_frame_whatever_the_still_and_the_conditions(temporal):
    image, unet = tiny_frame_unet(), tiny_clip_unet(temporal=temporal)
    load_unet(unet, image.state_dict(), "the image network")
    latents, steps, embeds = noisy()
    still, mask = torch.randn_like(latents), torch.zeros(2, FRAMES, dtype=torch.bool)
    mask[:, 2] = True
    network = tiny_image_to_video(unet)
    with torch.no_grad():
        made = network(latents, steps, embeds, still, mask, torch.tensor([3, 9]), torch.tensor([8.0, 0.0]))
        frames = [image(latents[:, f, :, None], steps, embeds).sample[:, :, 0] for f in range(FRAMES)]
    torch.testing.assert_close(made, torch.stack(frames, dim=1), atol=1e-5, rtol=1e-5)


def test_it_sees_the_still_in_all_frames_and_nothing_of_the_clips_other_frames():
    unet = tiny_clip_unet()
    seen = []
    unet.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    network = tiny_image_to_video(unet)
    latents, steps, embeds = noisy()
    clean, mask = torch.randn_like(latents), torch.zeros(2, FRAMES, dtype=torch.bool)
    mask[0, 2] = True  # the other clip has none
    network(latents, steps, embeds, clean, mask)
    given, still, place = seen[0].split([4, 4, 1], dim=1)
    torch.testing.assert_close(given, latents.transpose(1, 2))
    torch.testing.assert_close(still[0], clean[0, 2][:, None].expand(-1, FRAMES, -1, -1))
    assert not still[1].any()
    assert place[0].amax(dim=(0, 2, 3)).tolist() == [0, 0, 1, 0]
    assert not place[1].any()


def test_every_condition_has_an_effect_and_unknown_ones_have_none():
    unet = tiny_clip_unet()
    latents, steps, embeds = noisy()
    network = tiny_image_to_video(unet)
    with torch.no_grad():
        stir(unet, "time_embedding.rate.")
        plain = network(latents, steps, embeds)
        unknown = network(latents, steps, embeds, rate=torch.zeros(2))
        slow = network(latents, steps, embeds, rate=torch.tensor([4.0, 4.0]))
        fast = network(latents, steps, embeds, rate=torch.tensor([24.0, 24.0]))
        stir(unet, "time_embedding.motion.")
        moved = network(latents, steps, embeds, motion=torch.tensor([9, 9]))
    assert torch.equal(plain, unknown)
    assert not torch.allclose(plain, slow)
    assert not torch.allclose(slow, fast)
    assert not torch.allclose(moved, plain)


@pytest.mark.parametrize("temporal", [MakeAVideo(), STI(), VideoFactory(positions="frames_and_space")])
def test_a_network_that_wraps_around_does_not_know_where_a_loop_begins(temporal):
    from dataclasses import replace

    unet = tiny_clip_unet(temporal=replace(temporal, zero_init=False), loops=True)
    stir(unet, "temp_convs")
    network = tiny_image_to_video(unet)
    latents, steps, embeds = noisy()
    with torch.no_grad():
        made = network(latents, steps, embeds)
        turned = network(latents.roll(1, dims=1), steps, embeds)
        unet.wrap_around(False)
        straight = network(latents.roll(1, dims=1), steps, embeds)
    assert not torch.allclose(straight, turned, atol=1e-4)
    if isinstance(temporal, MakeAVideo):  # positions on a circle turn with it, but are not blind to it
        torch.testing.assert_close(turned, made.roll(1, dims=1), atol=1e-4, rtol=1e-4)


def test_guidance_is_instruct_pix2pix_with_two_scales():
    network = tiny_image_to_video()
    how = Animation(num_inference_steps=1, guidance_scale=3.0, image_guidance_scale=2.0)
    weights = how.branches(3.0, image=True)
    assert [(one.text, one.image) for one in weights] == [(False, False), (False, True), (True, True)]
    assert list(weights.values()) == [-1.0, -1.0, 3.0]  # 1 - s_I, s_I - s_T, s_T
    seen = []
    network.unet.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    network.sample(PROMPTS, SEEDS, SIZE, FRAMES, sampling=how, base=base_images())
    nothing, image, both = seen[0].chunk(3)
    assert not nothing[:, 4:].any()  # neither still nor mask
    assert torch.equal(image[:, 4:], both[:, 4:])
    assert image[:, 4:].any()


@pytest.mark.parametrize(("reference", "place"), [(None, 2), ("first", 0), (3, 3)])
def test_the_still_is_kept_where_it_is_put(reference, place):
    network, base = tiny_image_to_video(), base_images()
    kept = network.decode_transparent(network.encode_transparent(base[:, None, :3], base[:, None, 3:]))[:, 0]
    made = network.sample(PROMPTS, SEEDS, SIZE, FRAMES, sampling=FAST, base=base, reference=reference)
    assert made.shape == (2, FRAMES, 4, *SIZE)
    torch.testing.assert_close(made[:, place], kept, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(made[:, place - 1], kept, atol=1e-2)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "a still must be given"),
        ({"rate": 0.0, "base": "yes"}, "rate must be in"),
        ({"motion": 10, "base": "yes"}, "motion must be in"),
        ({"reference": 4, "base": "yes"}, "reference_frame must be in"),
    ],
)
def test_what_it_cannot_take_is_a_clear_error(arguments, says):
    given = arguments | ({"base": base_images()} if "base" in arguments else {})
    with pytest.raises(UserError, match=says):
        tiny_image_to_video().sample(PROMPTS, SEEDS, SIZE, FRAMES, sampling=FAST, **given)


EIGHT = Distilled(num_inference_steps=8, teacher_steps=24, guidance_scale=3.0, image_guidance_scale=1.5)


def test_a_distilled_network_takes_one_pass_a_step_and_says_how_many():
    network = tiny_image_to_video(distilled=EIGHT)
    batches = []
    network.unet.register_forward_pre_hook(lambda _, args: batches.append(len(args[0])))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network.sample(PROMPTS, SEEDS, SIZE, FRAMES, base=base_images(), motion=3)
    assert batches == [2] * 8
    with pytest.warns(UnusualSteps, match="distilled for 8 steps and is worse with 4"):
        network.sample(PROMPTS, SEEDS, SIZE, FRAMES, sampling=SamplerConfig(4), base=base_images())


@pytest.mark.parametrize(
    ("how", "negative", "says"),
    [
        (Animation(25), "", "num_inference_steps must be at most 24"),
        (Animation(8, solver="dpm++"), "", "solver must be ddim"),
        (Animation(8, guidance_scale=5.0), "", "guidance_scale must be 3 or left out"),
        (Animation(8, image_guidance_scale=3.0), "", "image_guidance_scale must be 1.5 or left out"),
        (Animation(8, motion_guidance_scale=2.0), "", "motion_guidance_scale must be left out"),
        (Animation(8), "red", "negative_prompt must be empty"),
    ],
)
def test_steps_and_guidance_that_a_distilled_network_cannot_take_are_clear_errors(how, negative, says):
    network = tiny_image_to_video(distilled=EIGHT)
    with pytest.raises(UserError, match=says):
        network.sample(PROMPTS, SEEDS, SIZE, FRAMES, negative, how, base=base_images())


def test_guidance_scales_as_inputs_change_the_clip_within_their_range():
    unet = tiny_clip_unet(guidance_inputs=True)
    stir(unet, "time_embedding.scales.")
    network = tiny_image_to_video(unet, Distilled(2, 4, guidance_scale=3.0, text_range=(1.0, 7.0)))

    def made(scale: float | None) -> torch.Tensor:
        how = Animation(2, guidance_scale=scale)
        return network.sample(PROMPTS, SEEDS, SIZE, FRAMES, sampling=how, base=base_images())

    assert torch.equal(made(None), made(3.0))
    assert not torch.allclose(made(6.0), made(3.0))
    with pytest.raises(UserError, match=r"guidance_scale must be in \[1, 7\]"):
        made(8.0)


def test_a_bundle_keeps_what_it_was_distilled_for(tmp_path):
    network = load_bundle(save_tiny_image_to_video(tmp_path, num_inference_steps=8, teacher_steps=24))
    assert network.distilled == Distilled(8, 24)
    made = network.sample(PROMPTS, SEEDS, SIZE, FRAMES, base=base_images())
    again = tiny_image_to_video(distilled=Distilled(8, 24)).sample(PROMPTS, SEEDS, SIZE, FRAMES, base=base_images())
    torch.testing.assert_close(made, again)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"num_inference_steps": 8, "teacher_steps": 4}, "num_inference_steps must be in"),
        ({"guidance_scale": 9.0, "text_range": (1.0, 7.0)}, "guidance_scale must be in its range"),
        ({"solver": "lcm"}, "solver must be ddim or dpm"),
    ],
)
def test_impossible_distillations_are_refused(arguments, says):
    with pytest.raises(UserError, match=says):
        Distilled(**arguments)
