import pytest
import torch
import yaml
from diffusers import DDPMScheduler
from tests.helpers.tiny_generator import LetterText, tiny_clip_mean, tiny_mean
from tests.helpers.tiny_transparent import (
    MOTION,
    plain,
    save_tiny_transparent,
    stickers,
    stir,
    tiny_codec,
    tiny_frame_unet,
    tiny_image_unet,
    tiny_motion_unet,
    tiny_transparent,
)

from glassine.models.animation import Animation, Branch
from glassine.models.sampling import SamplerConfig
from glassine.models.text_to_video import image_unet_only
from glassine.models.transparent_video import TransparentVideo
from glassine.pretrained.weights import load_bundle, read_state, save_model
from glassine.utils.errors import UserError

SIZE, FRAMES, MIDDLE = (32, 32), 4, 2
FAST = Animation(num_inference_steps=3)
PROMPTS, SEEDS = ["a cat", "a dog"], [3, 4]


def base_images() -> torch.Tensor:
    batch = stickers()
    return torch.cat([batch["foreground"], batch["alpha"]], dim=2)[:, MIDDLE]  # b 4 h w


def awake(**arguments) -> TransparentVideo:
    """Around a MotionUNet whose Inter-Frame Attention does something."""
    unet = tiny_motion_unet(**arguments)
    for place in (".processor.to_out.", "time_embedding.motion.", ".lora_up."):
        stir(unet, place)
    return tiny_transparent(unet)


def seen_by(network: TransparentVideo) -> list[torch.Tensor]:
    """What goes into the UNet, `b c f h w` a step, filled while it samples."""
    seen: list[torch.Tensor] = []
    network.unet.register_forward_hook(lambda _, args, __: seen.append(args[0]))
    return seen


def test_latents_are_the_codecs_and_normalised_as_the_vaes():
    network, batch = tiny_transparent(), stickers()
    latents = network.encode_transparent(batch["foreground"], batch["alpha"])
    raw = network.codec.encode(batch["foreground"].flatten(0, 1), batch["alpha"].flatten(0, 1)).unflatten(0, (2, 4))
    torch.testing.assert_close(latents, network.normalize(raw))
    rgba = network.decode_transparent(latents, frames_a_pass=3)
    alpha, color = network.codec.decode(raw.flatten(0, 1))
    torch.testing.assert_close(rgba.flatten(0, 1), torch.cat([color, alpha], dim=1))
    assert rgba.shape == (2, 4, 4, 32, 32)


def test_alpha_is_in_the_latents():
    network, batch = tiny_transparent(), stickers()
    gray = torch.full_like(batch["foreground"], 0.5)  # the VAE sees the same gray everywhere
    latents = [network.encode_transparent(gray, alpha) for alpha in (batch["alpha"], 1 - batch["alpha"])]
    assert not torch.allclose(*latents, atol=1e-3)


def test_the_base_image_is_the_middle_frame_clean_at_every_step_and_in_every_part_of_the_batch():
    network, base = awake(), base_images()
    clean = network.encode_transparent(base[:, None, :3], base[:, None, 3:])[:, 0]  # b c h w
    seen = seen_by(network)
    made = network.sample(PROMPTS, SEEDS, SIZE, FRAMES, sampling=FAST, base=base)
    assert len(seen) == 3
    for sample in seen:
        without, towards = sample.chunk(2)
        assert torch.equal(without[:, :, MIDDLE], clean)
        assert torch.equal(towards[:, :, MIDDLE], clean)
        assert not torch.equal(towards[:, :, 0], clean)
    wanted = network.decode_transparent(clean[:, None])[:, 0]
    torch.testing.assert_close(made[:, MIDDLE], wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("mean_of_given", [False, True])
def test_a_mean_is_the_prompts_or_the_base_images_in_the_parts_that_see_it(mean_of_given):
    network = tiny_transparent(tiny_motion_unet(in_channels=8), latent_mean=tiny_mean(), mean_of_given=mean_of_given)
    base, seen = base_images(), seen_by(network)
    clean = network.encode_transparent(base[:, None, :3], base[:, None, 3:])[:, 0]
    prompts = network.latent_mean(network.text_encoder(PROMPTS), tuple(clean.shape[-2:]))
    how = Animation(num_inference_steps=2, guidance_scale=2.0, image_guidance_scale=1.5)
    network.sample(PROMPTS, SEEDS, SIZE, FRAMES, sampling=how, base=base)
    without, image, both = (part[:, 4:, 0] for part in seen[0].chunk(3))
    nothing = network.latent_mean(network.text_encoder([""] * len(PROMPTS)), tuple(clean.shape[-2:]))
    torch.testing.assert_close(without, nothing)
    torch.testing.assert_close(image, clean if mean_of_given else nothing)
    torch.testing.assert_close(both, clean if mean_of_given else prompts)


@pytest.mark.parametrize(("reference", "index"), [("first", 0), (3, 3)])
def test_another_frame_may_be_the_base_image(reference, index):
    network, base = awake(reference_frame=reference), base_images()
    made = network.sample(PROMPTS, SEEDS, SIZE, FRAMES, sampling=FAST, base=base)
    wanted = network.decode_transparent(network.encode_transparent(base[:, None, :3], base[:, None, 3:]))[:, 0]
    torch.testing.assert_close(made[:, index], wanted, atol=1e-5, rtol=0)


def test_guidance_by_the_image_has_a_third_part_that_sees_it_as_noisy_as_all_else():
    network, base = awake(), base_images()
    clean = network.encode_transparent(base[:, None, :3], base[:, None, 3:])[:, 0]
    seen = seen_by(network)
    how = Animation(num_inference_steps=4, image_guidance_scale=1.5)
    network.sample(PROMPTS, SEEDS, SIZE, FRAMES, sampling=how, base=base)
    without, image, both = seen[0].chunk(3)
    assert torch.equal(image[:, :, MIDDLE], clean)
    assert torch.equal(both[:, :, MIDDLE], clean)
    distances = [(sample.chunk(3)[0][:, :, MIDDLE] - clean).abs().mean().item() for sample in seen]
    assert distances == sorted(distances, reverse=True)  # less noise in each step
    assert distances[-1] > 0.01
    assert torch.equal(without[:, :, 0], both[:, :, 0])


def test_the_parts_are_weighed_as_in_instructpix2pix():
    weights = Animation(image_guidance_scale=1.5).branches(7.5, image=True)
    none, image, both = Branch(False, False, False), Branch(False, True, False), Branch(True, True, False)
    predictions = {none: 1.0, image: 10.0, both: 100.0}
    wanted = 1 + 1.5 * (10 - 1) + 7.5 * (100 - 10)
    assert sum(weight * predictions[branch] for branch, weight in weights.items()) == pytest.approx(wanted)
    assert set(Animation().branches(7.5, image=True)) == {image, both}
    assert set(Animation().branches(1.0, image=True)) == {both}
    assert Animation().branches(2.0) == {none: -1.0, Branch(True, False, False): 2.0}


def test_guidance_by_the_amount_of_motion_leads_away_from_what_is_not_told_it():
    told, untold = Branch(True, True, True), Branch(True, True, False)
    assert Animation(motion_guidance_scale=3.0).branches(1.0, image=True, motion=True) == {untold: -2.0, told: 3.0}
    assert Animation(motion_guidance_scale=1.0).branches(1.0, image=True, motion=True) == {told: 1.0}
    weights = Animation(motion_guidance_scale=3.0).branches(2.0, motion=True)
    none, told, untold = Branch(False, False, True), Branch(True, False, True), Branch(True, False, False)
    predictions = {none: 1.0, untold: 10.0, told: 100.0}
    wanted = 1 + 2 * (100 - 1) + 2 * (100 - 10)
    assert sum(weight * predictions[branch] for branch, weight in weights.items()) == pytest.approx(wanted)
    assert list(weights)[-1] == told
    for scale in (0.0, 1.0):  # what contrast is taken from is always there
        assert list(Animation(motion_guidance_scale=0.0).branches(scale, motion=True))[-1] == told
    network, base, seen = awake(motion_buckets=10), base_images(), []
    network.unet.register_forward_pre_hook(lambda _, args, __: seen.append(args[3]), with_kwargs=True)
    network.sample(PROMPTS, SEEDS, SIZE, FRAMES, sampling=Animation(1, guidance_scale=1.0), base=base, motion=7)
    assert seen[0].tolist() == [10, 10, 7, 7]  # 10 is not told


def test_a_guidance_scale_of_the_image_changes_the_clip_and_not_its_base():
    network, base = awake(), base_images()
    clips = [
        network.sample(PROMPTS, SEEDS, SIZE, FRAMES, sampling=Animation(3, image_guidance_scale=scale), base=base)
        for scale in (1.0, 3.0)
    ]
    torch.testing.assert_close(clips[0][:, MIDDLE], clips[1][:, MIDDLE])
    assert not torch.allclose(clips[0][:, 0], clips[1][:, 0], atol=1e-3)


def test_without_a_base_image_one_is_made_by_the_spatial_part_as_the_first_stage_makes_it():
    network = awake(motion_buckets=10)
    image = tiny_image_unet()
    image.load_state_dict({name: network.unet.state_dict()[name] for name in image.state_dict()})
    first = tiny_transparent(image).sample(PROMPTS, SEEDS, SIZE, 1, sampling=FAST)
    steps = []
    made = network.sample(
        PROMPTS, SEEDS, SIZE, FRAMES, sampling=FAST, progress=lambda done, of: steps.append((done, of))
    )
    torch.testing.assert_close(made[:, MIDDLE], first[:, 0], atol=1e-3, rtol=0)
    assert steps == [(done, 6) for done in range(1, 7)]


def test_the_first_stage_may_have_a_network_of_its_own():
    image = tiny_image_unet()
    stir(image, "conv_out")
    first = tiny_transparent(image).sample(PROMPTS, SEEDS, SIZE, 1, sampling=FAST)
    network = tiny_transparent(tiny_motion_unet(), image_unet=image.requires_grad_(True)).train()
    motion = network.unet
    assert torch.equal(network.sample(PROMPTS, SEEDS, SIZE, 1, sampling=FAST), first)
    made = network.sample(PROMPTS, SEEDS, SIZE, FRAMES, sampling=FAST)
    torch.testing.assert_close(made[:, MIDDLE], first[:, 0], atol=1e-5, rtol=0)
    assert network.unet is motion
    assert not image.training
    assert not any(parameter.requires_grad for parameter in image.parameters())
    with pytest.raises(RuntimeError, match="stop"), image_unet_only(network):
        raise RuntimeError("stop")
    assert network.unet is motion
    with pytest.raises(ValueError, match="in_channels of image_unet must be 8 as that of unet, got 4"):
        tiny_transparent(tiny_motion_unet(in_channels=8), image_unet=image, latent_mean=tiny_mean())


def test_a_first_stage_of_its_own_knows_no_motion_adapters():
    network = tiny_transparent(tiny_motion_unet(motion_rank=2), image_unet=tiny_image_unet())
    made = network.sample(PROMPTS, SEEDS, SIZE, FRAMES, sampling=Animation(2, motion_adapter_scale=-1.0))
    assert made.shape == (2, FRAMES, 4, *SIZE)


def test_a_bundle_names_the_first_stages_network_and_does_not_hold_it(tmp_path):
    save_model(image := tiny_image_unet(), tmp_path / "image")
    arguments = {"source": str(tmp_path / "image"), "frozen": True}
    pictures = {"class_path": "glassine.pretrained.weights.load_bundle", "init_args": arguments}
    network = tiny_transparent(tiny_motion_unet().requires_grad_(True), image_unet=image)
    source = save_tiny_transparent(
        network,
        tmp_path / "whole",
        {"class_path": "glassine.models.motion_unet.MotionUNet", "init_args": plain(MOTION)},
    )
    config = tmp_path / "whole" / "config.yaml"
    description = yaml.safe_load(config.read_text())
    description["init_args"] |= {"image_unet": pictures, "alpha_levels": [0.2, 0.8]}
    config.write_text(yaml.safe_dump(description))
    assert not any(name.startswith("image_unet") for name in read_state(tmp_path / "whole" / "model.safetensors"))
    read = load_bundle(source)
    torch.testing.assert_close(read.image_unet.state_dict(), image.state_dict(), atol=2e-3, rtol=2e-3)
    assert tuple(read.alpha_levels) == (0.2, 0.8)


def test_alpha_is_stretched_between_its_levels():
    batch = stickers()
    plain, stretched = tiny_transparent(), tiny_transparent(alpha_levels=(0.2, 0.6))
    latents = plain.encode_transparent(batch["foreground"], batch["alpha"])
    raw, made = (network.decode_transparent(latents) for network in (plain, stretched))
    torch.testing.assert_close(made[:, :, 3], ((raw[:, :, 3] - 0.2) / 0.4).clamp(0, 1))
    assert torch.equal(made[:, :, :3], raw[:, :, :3])
    with pytest.raises(ValueError, match=r"alpha_levels must be .*, got \(0.8, 0.2\)"):
        tiny_transparent(alpha_levels=(0.8, 0.2))


def test_a_network_without_inter_frame_attention_makes_a_base_image_where_it_shall():
    told = []
    network = awake(inter_frame_attention=None, base_image=True)
    network.sample(PROMPTS, SEEDS, SIZE, FRAMES, sampling=FAST, progress=lambda *step: told.append(step))
    assert told[-1] == (6, 6)


def test_a_base_image_is_made_of_other_noise_than_the_first_frame():
    network, seen = awake(), []
    network.unet.register_forward_hook(lambda _, args, __: seen.append(args[0]))
    network.sample(PROMPTS, SEEDS, SIZE, FRAMES, sampling=Animation(num_inference_steps=1, guidance_scale=1.0))
    (picture, clip), size = (each[:, :, 0] for each in seen), (1, *SIZE)
    assert torch.equal(picture[:, None], network.draw_noise(SEEDS, size))
    assert not torch.equal(picture, clip)


def test_a_clip_of_one_frame_is_the_base_image_and_costs_no_second_stage():
    network = awake()
    seen = seen_by(network)
    alone = network.sample(PROMPTS, SEEDS, SIZE, 1, sampling=FAST)
    assert len(seen) == FAST.num_inference_steps
    pictures = network.decode_transparent(network.sample_pictures(PROMPTS, SEEDS, SIZE, sampling=FAST))
    assert torch.equal(alone, pictures)


def test_the_first_stage_may_have_a_schedule_of_its_own():
    unet, twin = (tiny_motion_unet() for _ in range(2))
    other = DDPMScheduler(beta_schedule="linear", clip_sample=False)
    plain, own = tiny_transparent(unet), tiny_transparent(twin)
    own.image_scheduler = other
    make = lambda network: network.sample_pictures(PROMPTS, SEEDS, SIZE, sampling=FAST)  # noqa: E731
    assert not torch.equal(make(plain), make(own))
    own.image_scheduler = plain.scheduler
    assert torch.equal(make(plain), make(own))


@pytest.mark.parametrize("solver", ["ddim", "dpm++"])
def test_clips_around_a_base_image_are_finite_from_pure_noise_with_both_guidances(solver):
    network, base = awake(), base_images()
    network.scheduler = DDPMScheduler(
        beta_schedule="squaredcos_cap_v2",
        clip_sample=False,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )
    how = Animation(num_inference_steps=3, solver=solver, guidance_rescale=0.7, image_guidance_scale=1.5)
    seen = seen_by(network)
    made = network.sample(PROMPTS, SEEDS, SIZE, FRAMES, sampling=how, base=base)
    assert made.isfinite().all()
    clean = network.encode_transparent(base[:, None, :3], base[:, None, 3:])[:, 0]
    assert all(torch.equal(step.chunk(3)[2][:, :, MIDDLE], clean) for step in seen)


def test_a_network_without_inter_frame_attention_is_text_to_video_until_a_base_image_comes():
    network = awake(inter_frame_attention=None)
    seen = seen_by(network)
    network.sample(PROMPTS, SEEDS, SIZE, FRAMES, sampling=FAST)
    assert len(seen) == 3
    base = base_images()
    network.sample(PROMPTS, SEEDS, SIZE, FRAMES, sampling=FAST, base=base)
    clean = network.encode_transparent(base[:, None, :3], base[:, None, 3:])[:, 0]
    assert torch.equal(seen[-1].chunk(2)[1][:, :, MIDDLE], clean)


def test_a_batch_gives_each_clip_its_own_and_the_same_again():
    network, base = awake(), base_images()
    both = network.sample(PROMPTS, SEEDS, SIZE, FRAMES, sampling=FAST, base=base)
    alone = network.sample(PROMPTS[1:], SEEDS[1:], SIZE, FRAMES, sampling=FAST, base=base[1:])
    torch.testing.assert_close(both[1:], alone, atol=1e-3, rtol=0)
    assert torch.equal(network.sample(PROMPTS, SEEDS, SIZE, FRAMES, sampling=FAST, base=base), both)


def test_the_amount_of_motion_and_the_motion_adapters_scale_tell_when_sampling():
    network, base = awake(motion_buckets=10, motion_rank=2), base_images()
    make = lambda how=FAST, **more: network.sample(PROMPTS, SEEDS, SIZE, FRAMES, sampling=how, base=base, **more)  # noqa: E731
    plain_clip = make()
    assert not torch.allclose(make(motion=0), make(motion=9), atol=1e-4)
    assert not torch.allclose(make(Animation(3, motion_adapter_scale=1.0)), plain_clip, atol=1e-4)
    assert torch.equal(make(SamplerConfig(3)), plain_clip)  # adapters are removed unless asked for
    assert all(layer.scale == 1 for layer in network.modules() if hasattr(layer, "scale") and hasattr(layer, "lora_up"))


def test_a_saved_network_reloads_bit_for_bit_with_all_that_was_added(tmp_path):
    added = {"motion_buckets": 10, "spatial_rank": 2, "motion_rank": 2, "layer_attention": True}
    network = awake(**added)
    description = {"class_path": "glassine.models.motion_unet.MotionUNet", "init_args": plain(MOTION) | added}
    loaded = load_bundle(save_tiny_transparent(network.requires_grad_(True), tmp_path, description))
    base = base_images()
    clips = [net.sample(PROMPTS, SEEDS, SIZE, FRAMES, sampling=FAST, base=base, motion=3) for net in (network, loaded)]
    assert torch.equal(*clips)


def test_codec_and_text_encoder_stay_as_they_are():
    network = tiny_transparent().train()
    assert not network.codec.training
    assert {name.split(".")[0] for name, p in network.named_parameters() if p.requires_grad} == {"unet"}


def test_what_cannot_be_made_is_said():
    network, base = awake(), base_images()
    with pytest.raises(UserError, match="num_frames must be at most 8 for these motion modules, got 9"):
        network.sample(PROMPTS, SEEDS, SIZE, 9)
    with pytest.raises(UserError, match="must be multiples of 16 for this network, got 40 x 32"):
        network.sample(PROMPTS, SEEDS, (40, 32), 4)
    with pytest.raises(UserError, match=r"RGBA of shape \(2, 4, 32, 32\), one for each prompt, got \(2, 3, 32, 32\)"):
        network.sample(PROMPTS, SEEDS, SIZE, FRAMES, base=base[:, :3])
    with pytest.raises(UserError, match="clear everywhere"):
        network.sample(PROMPTS, SEEDS, SIZE, FRAMES, base=torch.zeros_like(base))
    with pytest.raises(UserError, match="motion must be left out for this network, got 3"):
        network.sample(PROMPTS, SEEDS, SIZE, FRAMES, base=base, motion=3)
    with pytest.raises(UserError, match=r"motion must be in \[0, 9\] for this network, got 10"):
        awake(motion_buckets=10).sample(PROMPTS, SEEDS, SIZE, FRAMES, base=base, motion=10)
    with pytest.raises(UserError, match="one seed for each"):
        network.sample(PROMPTS, [1], SIZE, FRAMES, base=base)
    with pytest.raises(UserError, match="base must be None for a network without motion modules"):
        tiny_transparent(tiny_frame_unet()).sample(PROMPTS, SEEDS, SIZE, 1, base=base)
    with pytest.raises(UserError, match="image_guidance_scale must be at least 0"):
        Animation(image_guidance_scale=-1)
    with pytest.raises(UserError, match=r"motion_guidance_scale must be at least 0 .*, got -2"):
        Animation(motion_guidance_scale=-2)
    with pytest.raises(TypeError, match="codec must be a TransparencyVAE"):
        TransparentVideo(tiny_motion_unet(), tiny_codec().vae, LetterText(), network.scheduler)
    with pytest.raises(UserError, match="values outside of it or NaN"):
        network.sample(PROMPTS, SEEDS, SIZE, FRAMES, base=base_images() + 2)
    with pytest.raises(UserError, match="motion_adapter_scale must be 0 for a network without"):
        network.sample(PROMPTS, SEEDS, SIZE, FRAMES, sampling=Animation(1, motion_adapter_scale=1.0))


def test_usual_clips_are_as_long_as_the_papers_or_as_motion_goes():
    assert tiny_transparent(tiny_motion_unet(motion_max_seq_length=32)).usual_frames == 16
    assert tiny_transparent(tiny_motion_unet(motion_max_seq_length=8)).usual_frames == 8
    assert tiny_transparent(tiny_frame_unet()).usual_frames == 1
    moving = tiny_transparent(tiny_motion_unet(in_channels=8), latent_mean=tiny_clip_mean())
    assert moving.usual_frames == 2
