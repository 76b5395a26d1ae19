import copy

import pytest
import torch
from tests.helpers.tiny_generator import tiny_generator
from tests.helpers.tiny_transparent import stickers, tiny_frame_unet, tiny_transparent

from glassine.nn.lora import with_lora
from glassine.tasks.transparent_image import TransparentImageTask, check_cache
from glassine.utils.errors import UserError
from glassine.utils.tensors import weights_digest


def make_task(lora: bool = False, **arguments) -> TransparentImageTask:
    unet = with_lora(tiny_frame_unet(), 4) if lora else tiny_frame_unet()
    arguments = {"drop_prompt": 0.0} | arguments
    return TransparentImageTask(tiny_transparent(unet), lambda p: torch.optim.Adam(p, lr=0.01), **arguments)


def train(task: TransparentImageTask, batch: dict, steps: int = 16) -> list[float]:
    optimizer, losses = task.configure_optimizers(), []
    for step in range(steps):
        torch.manual_seed(step % 4)
        loss = task.training_step(batch, 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_the_loss_is_that_of_the_adjusted_latents():
    task, batch = make_task(), stickers(frames=1)
    latents, embeds = task.inputs(batch)
    assert torch.equal(latents, task.generator.encode_transparent(batch["foreground"], batch["alpha"]))
    noise, steps = torch.randn_like(latents), torch.tensor([100, 700])
    kept = task.generator.scheduler.alphas_cumprod[steps][:, None, None, None, None]
    prediction = task.generator(kept.sqrt() * latents + (1 - kept).sqrt() * noise, steps, embeds)
    wanted = (prediction - noise).square().mean((1, 2, 3, 4))
    torch.testing.assert_close(task.losses(latents, noise, steps, embeds), wanted)


@pytest.mark.parametrize("lora", [False, True])
def test_training_learns_all_of_the_network_or_lora_alone(lora):
    task, batch = make_task(lora), stickers(frames=1)
    before = copy.deepcopy(task.generator.unet.state_dict())
    losses = train(task, batch)
    assert sum(losses[-4:]) < 0.9 * sum(losses[:4])
    changed = {
        name for name, tensor in task.generator.unet.state_dict().items() if not torch.equal(tensor, before[name])
    }
    assert changed
    assert all(".lora_" in name for name in changed) == lora
    assert {name.split(".")[1] for name in task.state_dict()} == {"unet"}


def test_a_checkpoint_without_codec_and_text_encoder_reloads():
    task, batch = make_task(), stickers(frames=1)
    train(task, batch, 2)
    other = make_task()
    other.load_state_dict(task.state_dict())
    assert other.preview(batch)["made"].equal(task.preview(batch)["made"])


def test_cached_adjusted_latents_stand_in_for_the_codec():
    task, batch = make_task(), stickers(frames=1)
    cached = {
        "latents": task.generator.adjusted_latents(batch["foreground"], batch["alpha"]),
        "prompt_embeds": task.generator.text_encoder(batch["caption"]),
        "caption": batch["caption"],
    }
    torch.manual_seed(0)
    fresh = task.training_step(batch, 0)
    torch.manual_seed(0)
    torch.testing.assert_close(task.training_step(cached, 0), fresh)


def test_a_cache_of_opaque_latents_or_of_another_encoder_is_refused():
    generator = tiny_transparent(tiny_frame_unet())
    check_cache(None, generator, transparent=True)
    with pytest.raises(UserError, match="the cached latents are not from this transparency encoder"):
        check_cache({"vae": weights_digest(generator.vae)}, generator, transparent=True)
    with pytest.raises(UserError, match="are not from opaque clips"):
        check_cache({"transparency": weights_digest(generator.codec.encoder)}, generator, transparent=False)


def test_pictures_are_previewed_and_predicted_with_their_alpha():
    task, batch = make_task(), stickers(frames=1)
    shown = task.preview(batch)
    assert list(shown) == ["sticker", "through the codec", "made"]
    assert {tuple(clip.shape) for clip in shown.values()} == {(2, 1, 4, 32, 32)}
    predicted = task.predict_step(batch, 0)
    assert predicted["rgba"].shape == (2, 1, 4, 32, 32)
    assert predicted["key"] == ["0", "1"]


def test_another_generator_is_refused():
    with pytest.raises(TypeError, match="generator must be a TransparentVideo"):
        TransparentImageTask(tiny_generator(), lambda p: torch.optim.Adam(p))
