import pytest
import torch
from diffusers import DDPMScheduler
from tests.helpers.tiny_generator import VAE, WIDTH, LetterText, tiny_clip_mean, tiny_generator, tiny_mean, tiny_unet

from glassine.models.sampling import SamplerConfig, make_solver
from glassine.models.text_to_video import TextToVideo
from glassine.models.vae import SmallVAE
from glassine.nn.diffusion import rescale_noise_cfg
from glassine.nn.priors import LatentPrior
from glassine.utils.errors import UserError

FAST = SamplerConfig(num_inference_steps=3)


class Oracle(torch.nn.Module):
    """Knows the clean latents, and so predicts the noise without error."""

    def __init__(self, truth: torch.Tensor, scheduler) -> None:
        super().__init__()
        self.truth, self.scheduler = truth, scheduler
        self.config = {"in_channels": 4, "block_out_channels": (8, 8)}

    def forward(self, sample, timestep, encoder_hidden_states):
        kept = self.scheduler.alphas_cumprod[timestep][:, None, None, None, None]
        clean = self.truth.expand_as(sample)
        noise = (sample - kept.sqrt() * clean) / (1 - kept).sqrt()
        kind = self.scheduler.config.prediction_type
        velocity = kept.sqrt() * noise - (1 - kept).sqrt() * clean
        return type("Output", (), {"sample": noise if kind == "epsilon" else velocity})


@pytest.mark.parametrize("solver", ["ddim", "dpm++"])
@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_sampling_with_a_perfect_network_finds_the_clean_latents(solver, kind):
    generator = tiny_generator(kind)
    truth = torch.randn(1, 4, 3, 4, 4)  # b c f h w
    generator.unet = Oracle(truth, generator.scheduler)
    clip = generator.sample(["x"], [0], (32, 32), 3, sampling=SamplerConfig(12, 1.0, solver))
    wanted = generator.decode(truth.movedim(1, 2))
    assert (clip - wanted).abs().max() < 0.02


def test_the_same_seed_gives_the_same_clip_and_prompts_and_seeds_matter():
    generator = tiny_generator()
    make = lambda prompt, seed: generator.sample([prompt], [seed], (32, 32), 2, sampling=FAST)  # noqa: E731
    first = make("a cat", 0)
    assert first.shape == (1, 2, 3, 32, 32)
    assert first.min() >= 0
    assert first.max() <= 1
    assert torch.equal(make("a cat", 0), first)
    assert not torch.equal(make("a dog", 0), first)
    assert not torch.equal(make("a cat", 1), first)


def test_a_batch_gives_each_seed_its_own_clip():
    generator = tiny_generator()
    both = generator.sample(["a cat", "a dog"], [3, 4], (32, 32), 2, sampling=FAST)
    alone = generator.sample(["a dog"], [4], (32, 32), 2, sampling=FAST)
    torch.testing.assert_close(both[1:], alone, atol=1e-4, rtol=0)


def test_guidance_one_is_the_plain_prediction_and_a_negative_prompt_leads_elsewhere():
    generator = tiny_generator()
    calls = []
    generator.unet.register_forward_hook(lambda _, args, __: calls.append(len(args[0])))
    generator.sample(["a cat"], [0], (32, 32), 2, sampling=SamplerConfig(2, 1.0))
    assert calls == [1, 1]
    make = lambda negative: generator.sample(["a cat"], [0], (32, 32), 2, negative, FAST)  # noqa: E731
    assert not torch.equal(make(""), make("a dog"))


def test_guidance_gives_back_the_contrast_of_the_prediction_with_the_prompt():
    towards, guided = torch.randn(2, 3, 4), torch.randn(2, 3, 4) * 5
    torch.testing.assert_close(rescale_noise_cfg(guided, towards, 1.0).flatten(1).std(1), towards.flatten(1).std(1))
    half = rescale_noise_cfg(guided, towards, 0.5).flatten(1).std(1)
    torch.testing.assert_close(half, (guided.flatten(1).std(1) + towards.flatten(1).std(1)) / 2)
    assert torch.equal(rescale_noise_cfg(guided, towards, 0.0), guided)


def test_given_frames_come_back_as_they_were():
    generator = tiny_generator(in_channels=5)
    clip = torch.rand(1, 4, 3, 32, 32)
    known, given = generator.encode(clip), torch.tensor([[True, False, False, True]])
    made = generator.sample(["a cat"], [0], (32, 32), 4, sampling=FAST, cond_latents=known, cond_mask=given)
    torch.testing.assert_close(made[given], generator.decode(known)[given])
    with pytest.raises(UserError, match="must be 5 for given frames, got 4"):
        tiny_generator().sample(["a"], [0], (32, 32), 4, sampling=FAST, cond_latents=known, cond_mask=given)


def test_progress_counts_the_steps():
    seen = []
    tiny_generator().sample(["a"], [0], (32, 32), 1, sampling=FAST, progress=lambda done, of: seen.append((done, of)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_the_unet_reads_the_mean_of_each_prompt_beside_the_noise_and_does_not_train_it():
    generator = tiny_generator(in_channels=8, latent_mean=tiny_mean())
    read = []
    generator.unet.conv_in.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    noisy, embeds = torch.randn(2, 3, 4, 4, 4), generator.text_encoder(["cat", "dog"])
    generator(noisy, torch.tensor([5, 5]), embeds).sum().backward()
    means = generator.latent_mean(embeds)
    torch.testing.assert_close(read[0][:, :4], noisy.flatten(0, 1))
    torch.testing.assert_close(read[0][:, 4:], means.repeat_interleave(3, dim=0))
    assert all(parameter.grad is None for parameter in generator.latent_mean.parameters())
    assert generator.sample(["cat"], [0], (32, 32), 2, sampling=SamplerConfig(2)).shape == (1, 2, 3, 32, 32)


def test_each_frame_is_told_its_own_mean_where_the_prompt_suggests_motion():
    generator = tiny_generator(in_channels=8, latent_mean=tiny_clip_mean())
    noisy, embeds = torch.randn(2, 2, 4, 4, 4), generator.text_encoder(["cat", "dog"])
    read = generator.beside_mean(noisy, embeds)[:, :, 4:]
    torch.testing.assert_close(read, generator.latent_mean.of_frames(embeds, 2))
    assert not torch.allclose(read[:, 0], read[:, 1])
    assert generator.sample(["cat"], [0], (32, 32), 3, sampling=SamplerConfig(2)).shape == (1, 3, 3, 32, 32)


def test_as_many_frames_as_the_motion_was_learned_with_are_usual():
    assert tiny_generator().usual_frames == 8
    assert tiny_generator(in_channels=8, latent_mean=tiny_clip_mean()).usual_frames == 2


def test_frames_that_are_given_can_stand_for_the_mean_in_clips_that_have_any():
    generator = tiny_generator(in_channels=8, latent_mean=tiny_mean())
    generator.mean_of_given = True
    noisy, known, embeds = *torch.randn(2, 2, 3, 4, 4, 4), generator.text_encoder(["cat", "dog"])
    given = torch.tensor([[True, False, True], [False, False, False]])
    read = generator.beside_mean(noisy, embeds, known, given)[:, :, 4:]
    torch.testing.assert_close(read[0, 1], (known[0, 0] + known[0, 2]) / 2)
    torch.testing.assert_close(read[1, 1], generator.latent_mean(embeds)[1])


def test_around_a_frame_that_is_given_the_rest_moves_as_the_prompt_suggests():
    generator = tiny_generator(in_channels=8, latent_mean=tiny_clip_mean())
    generator.mean_of_given = True
    noisy, known, embeds = *torch.randn(2, 1, 2, 4, 4, 4), generator.text_encoder(["cat"])
    read = generator.beside_mean(noisy, embeds, known, torch.tensor([[False, True]]))[:, :, 4:]
    moved = generator.latent_mean.of_frames(embeds, 2)
    torch.testing.assert_close(read[:, 1], known[:, 1])
    torch.testing.assert_close(read[:, 0] - read[:, 1], moved[:, 0] - moved[:, 1])


@pytest.mark.parametrize("latent_mean", [None, tiny_mean()])
def test_a_unet_of_other_channels_is_named(latent_mean):
    with pytest.raises(ValueError, match=r"in_channels of the UNet must be [48], or [59] with a mask, got 6"):
        tiny_generator(in_channels=6, latent_mean=latent_mean)


def test_a_mean_that_does_not_fit_is_named():
    parts = (SmallVAE(**VAE), LetterText(), DDPMScheduler())
    with pytest.raises(ValueError, match="latent_mean must have 4 channels as the latents, got 3"):
        TextToVideo(tiny_unet(8), *parts, LatentPrior(WIDTH, channels=3))
    with pytest.raises(ValueError, match="mean_of_given needs a latent_mean"):
        TextToVideo(tiny_unet(), *parts, mean_of_given=True)


def test_guidance_is_what_suits_the_network_unless_it_is_asked_for():
    plain, with_mean = tiny_generator(), tiny_generator(in_channels=8, latent_mean=tiny_mean())
    assert plain.guidance_scale(SamplerConfig()) == 7.5
    assert with_mean.guidance_scale(SamplerConfig()) == 3
    assert with_mean.guidance_scale(SamplerConfig(guidance_scale=0)) == 0
    around = tiny_generator(in_channels=8, latent_mean=tiny_mean())
    around.mean_of_given = True
    assert [around.guidance_scale(SamplerConfig(), given) for given in (False, True)] == [3, 1]


def test_a_mean_and_a_mask_of_given_frames_go_together():
    generator = tiny_generator(in_channels=9, latent_mean=tiny_mean())
    known = torch.randn(1, 2, 4, 4, 4)
    given = torch.tensor([[True, False]])
    read = []
    generator.unet.conv_in.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    generator(torch.randn_like(known), torch.tensor([5]), generator.text_encoder(["cat"]), known, given)
    torch.testing.assert_close(read[0][0, :4], known[0, 0])
    assert read[0][:, 8].mean((1, 2)).tolist() == [1, 0]


def test_what_cannot_be_made_is_said():
    generator = tiny_generator()
    with pytest.raises(UserError, match="must be multiples of 16 for this network, got 40 x 32"):
        generator.sample(["a"], [0], (40, 32), 1)
    with pytest.raises(UserError, match="num_frames must be at least 1, got 0"):
        generator.sample(["a"], [0], (32, 32), 0)
    with pytest.raises(UserError, match="one seed for each"):
        generator.sample(["a", "b"], [0], (32, 32))
    with pytest.raises(UserError, match=r"num_inference_steps must be in \[1, 1000\], got 0"):
        SamplerConfig(num_inference_steps=0)
    with pytest.raises(UserError, match=r"guidance_rescale must be in \[0, 1\], got 2"):
        SamplerConfig(guidance_rescale=2)
    with pytest.raises(UserError, match="ddim or dpm"):
        SamplerConfig(solver="euler")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"must be .*, got 7"):
        TextToVideo(tiny_unet(7), SmallVAE(width=8, decoder_width=8), LetterText(), generator.scheduler)


def test_solvers_keep_the_schedule():
    generator = tiny_generator("v_prediction")
    for name in ("ddim", "dpm++"):
        solver = make_solver(generator.scheduler, SamplerConfig(4, solver=name), torch.device("cpu"))  # type: ignore[arg-type]
        assert solver.config.prediction_type == "v_prediction"
        assert torch.equal(solver.alphas_cumprod, generator.scheduler.alphas_cumprod)


def test_latents_are_normalised_as_the_vae_says_and_back():
    generator, clip = tiny_generator(), torch.rand(2, 2, 3, 32, 32)
    raw = generator.vae.encode(clip.flatten(0, 1) * 2 - 1).latent_dist.mean.unflatten(0, (2, 2))
    latents = generator.encode(clip)
    mean, std = (torch.tensor(generator.vae.config[name]).view(-1, 1, 1) for name in ("latents_mean", "latents_std"))
    torch.testing.assert_close(latents, (raw - mean) / std)
    there_and_back = generator.vae(clip.flatten(0, 1) * 2 - 1).unflatten(0, (2, 2)) / 2 + 0.5
    torch.testing.assert_close(generator.decode(latents), there_and_back.clamp(0, 1))


def test_frames_share_as_much_of_their_noise_as_is_asked_for():
    network = tiny_generator()
    alone = network.draw_noise([1, 2], (64, 64, 64))
    network.shared_noise = 0.8
    noise = network.draw_noise([1, 2], (64, 64, 64))
    assert noise.shape == alone.shape
    assert noise.std() == pytest.approx(1, abs=0.15)
    common = (noise[0, :32] * noise[0, 32:]).mean()  # covariance of two frames
    assert common == pytest.approx(0.8, abs=0.2)
    assert (alone[0, :32] * alone[0, 32:]).mean().abs() < 0.1
    assert torch.equal(network.draw_noise([2], (64, 64, 64))[0], noise[1])
    network.shared_noise = 0.0
    assert torch.equal(network.draw_noise([1, 2], (64, 64, 64)), alone)
    with pytest.raises(ValueError, match=r"shared_noise must be in \[0, 1\], got 2"):
        TextToVideo(network.unet, network.vae, network.text_encoder, network.scheduler, shared_noise=2)
