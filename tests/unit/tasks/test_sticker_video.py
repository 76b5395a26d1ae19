import copy
from types import SimpleNamespace

import pytest
import torch
from tests.helpers.tiny_generator import tiny_clip_mean, tiny_generator, tiny_mean

from glassine.nn.conditioning import FrameMasks
from glassine.tasks.sticker_video import StickerVideoTask


def make_task(kind: str = "epsilon", in_channels: int = 4, latent_mean=None, **arguments) -> StickerVideoTask:
    generator = tiny_generator(kind, in_channels, latent_mean)
    return StickerVideoTask(generator, lambda p: torch.optim.Adam(p, lr=0.002), **arguments)


def make_batch(clips: int = 4, frames: int = 3) -> dict:
    generator = torch.Generator().manual_seed(1)
    return {
        "clip": torch.rand(clips, frames, 3, 32, 32, generator=generator),
        "caption": ["a cat", "dog"] * (clips // 2),
    }


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_the_loss_is_the_squared_error_of_what_the_schedule_predicts(kind):
    task = make_task(kind, drop_prompt=0.0)
    latents = task.generator.encode(make_batch()["clip"])  # b f c h w
    noise, timesteps = torch.randn_like(latents), torch.tensor([0, 10, 500, 999])
    kept = task.generator.scheduler.alphas_cumprod[timesteps][:, None, None, None, None]
    noisy = kept.sqrt() * latents + (1 - kept).sqrt() * noise
    velocity = kept.sqrt() * noise - (1 - kept).sqrt() * latents
    target = {"epsilon": noise, "v_prediction": velocity, "sample": latents}[kind]
    embeds = task.generator.text_encoder(make_batch()["caption"])
    prediction = task.generator(noisy, timesteps, embeds)
    wanted = (prediction - target).square().mean((1, 2, 3, 4))
    torch.testing.assert_close(task.losses(latents, noise, timesteps, embeds), wanted)


def test_training_learns_and_vae_and_text_encoder_stay_out_of_the_checkpoint():
    task, batch = make_task(), make_batch()
    optimizer, losses = task.configure_optimizers(), []
    for step in range(40):
        torch.manual_seed(step % 4)
        loss = task.training_step(batch, 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-4:]) < 0.8 * sum(losses[:4])
    assert {name.split(".")[1] for name in task.state_dict()} == {"unet"}


def test_cached_latents_and_embeddings_stand_in_for_vae_and_text_encoder():
    task, batch = make_task(drop_prompt=0.0), make_batch()
    clip = batch["clip"]
    raw = task.generator.vae.encode(clip.flatten(0, 1) * 2 - 1).latent_dist.mean.unflatten(0, clip.shape[:2])
    embeds = task.generator.text_encoder(batch["caption"])
    cached = {"latents": raw, "prompt_embeds": embeds, "caption": batch["caption"]}
    torch.manual_seed(0)
    fresh = task.training_step(batch, 0)
    task.generator.vae.encode = None  # must not be called
    torch.manual_seed(0)
    torch.testing.assert_close(task.training_step(cached, 0), fresh)


def test_all_prompts_dropped_train_the_network_without_text():
    task, batch = make_task(drop_prompt=1.0), make_batch()
    torch.manual_seed(0)
    first = task.training_step(batch, 0)
    torch.manual_seed(0)
    assert torch.equal(task.training_step(batch | {"caption": ["other"] * 4}, 0), first)


def test_stills_can_go_through_as_single_frames():
    task, batch = make_task(stills="frame"), make_batch()
    batch["clip"][1] = batch["clip"][1, :1]
    shapes = []
    task.generator.unet.register_forward_hook(lambda _, args, __: shapes.append(tuple(args[0].shape)))
    task.training_step(batch, 0)
    assert shapes == [(3, 4, 3, 4, 4), (1, 4, 1, 4, 4)]  # three clips of three frames, one of one


def test_given_frames_do_not_count_in_the_loss():
    task = make_task(in_channels=5, frame_masks=FrameMasks(0, 1, 0))
    latents, embeds = task.inputs(make_batch())
    noise, steps = torch.randn_like(latents), torch.full((4,), 500)
    torch.manual_seed(0)
    first = task.losses(latents, noise, steps, embeds)
    changed = noise.clone()
    changed[:, 0] += 1  # the first frame is always given
    torch.manual_seed(0)
    torch.testing.assert_close(task.losses(latents, changed, steps, embeds), first)
    with pytest.raises(ValueError, match="must be 5 for frame_masks, got 4"):
        make_task(frame_masks=FrameMasks())


def test_a_mean_is_learned_by_its_own_loss_beside_the_networks():
    task, batch = make_task(in_channels=8, latent_mean=tiny_mean()), make_batch()
    latents, embeds = task.inputs(batch)
    start = task.mean_loss(latents, embeds).item()
    optimizer = task.configure_optimizers()
    for _ in range(60):
        loss = task.training_step(batch, 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert task.mean_loss(latents, embeds) < 0.9 * start


def test_a_mean_stays_as_it_is_with_the_spatial_part():
    task = make_task(in_channels=8, latent_mean=tiny_mean(), train_spatial=False)
    assert task.mean_loss(*task.inputs(make_batch())) == 0
    assert not any(parameter.requires_grad for parameter in task.generator.latent_mean.parameters())


def test_motion_is_learned_beside_a_spatial_part_that_stays():
    task, batch = make_task(in_channels=8, latent_mean=tiny_clip_mean(), train_spatial=False), make_batch()
    latents, embeds = task.inputs(batch)
    before, start = copy.deepcopy(task.generator.latent_mean), task.mean_loss(latents, embeds).item()
    optimizer = torch.optim.Adam((p for p in task.parameters() if p.requires_grad), lr=0.01)
    for _ in range(40):
        loss = task.mean_loss(latents, embeds)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert task.mean_loss(latents, embeds) < start
    assert torch.equal(task.generator.latent_mean(embeds), before(embeds))


def test_a_high_shift_trains_at_high_noise():
    seen, task = [], make_task(timestep_shift=1e6)
    task.generator.unet.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
    task.training_step(make_batch(), 0)
    assert (seen[0] > 990).all()


def test_min_snr_weighs_the_losses():
    plain, task = make_task(), make_task(min_snr_gamma=5.0)
    latents, embeds = plain.inputs(make_batch())
    noise, steps = torch.randn_like(latents), torch.tensor([0, 300, 700, 999])
    ratio = task.losses(latents, noise, steps, embeds) / plain.losses(latents, noise, steps, embeds)
    assert ratio[0] < 0.05  # almost clean: its noise hardly matters
    torch.testing.assert_close(ratio[3], torch.tensor(1.0))


def test_gradients_do_not_depend_on_checkpointing():
    gradients = []
    for checkpointing in (False, True):
        task = make_task(gradient_checkpointing=checkpointing)
        torch.manual_seed(0)
        task.training_step(make_batch(), 0).backward()
        gradients.append([p.grad for p in task.generator.unet.parameters() if p.grad is not None])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_previews_show_the_sticker_the_vaes_version_and_a_sample():
    shown = make_task().preview(make_batch(2))
    assert list(shown) == ["sticker", "through the VAE", "made"]
    assert {tuple(clip.shape) for clip in shown.values()} == {(2, 3, 3, 32, 32)}


def test_under_bfloat16_noise_is_added_in_full_precision():
    task, batch = make_task(drop_prompt=0.0), make_batch()
    seen = []
    task.generator.unet.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.autocast("cpu", torch.bfloat16):
        assert task.generator.encode(batch["clip"]).dtype == torch.bfloat16
        latents, embeds = task.inputs(batch)
        assert latents.dtype == embeds.dtype == torch.float32
        noise, timesteps = torch.randn_like(latents), torch.tensor([3, 200, 600, 999])
        task.losses(latents, noise, timesteps, embeds)
    wanted = task.generator.scheduler.add_noise(latents, noise, timesteps)
    assert torch.equal(seen[0], wanted.transpose(1, 2))
    task.to(torch.bfloat16)  # as bf16-true makes it
    task.training_step({**batch, "clip": batch["clip"].bfloat16()}, 0).backward()
    assert seen[1].dtype == torch.bfloat16


class Seeds(torch.nn.Module):
    """In the place of a generator: remembers the seeds that it was asked with."""

    def __init__(self) -> None:
        super().__init__()
        self.seeds: list[int] = []

    def sample(self, prompts, seeds, size, num_frames, sampling):
        self.seeds += seeds
        return torch.zeros(len(prompts), num_frames, 3, *size)


@pytest.mark.parametrize("ranks", [1, 2])
def test_every_sticker_is_predicted_with_a_seed_of_its_own(ranks):
    rows = list(range(5))
    for rank in range(ranks):
        mine = rows[rank::ranks]
        task = make_task()
        task.generator = Seeds()
        data = SimpleNamespace(eval_batch_size=2)
        task._trainer = SimpleNamespace(world_size=ranks, global_rank=rank, datamodule=data)
        for number, start in enumerate(range(0, len(mine), 2)):
            names = [str(row) for row in mine[start : start + 2]]
            task.predict_step({"clip": torch.zeros(len(names), 1, 3, 8, 8), "caption": names, "key": names}, number)
        assert task.generator.seeds == mine
