import pytest
import torch
from tests.helpers.tiny_generator import tiny_generator, tiny_mean
from torch import nn

from glassine.tasks.latent_prior import LatentPriorTask


def task(**arguments) -> LatentPriorTask:
    return LatentPriorTask(
        tiny_mean(), tiny_generator("v_prediction"), lambda p: torch.optim.Adam(p, 1e-2), **arguments
    )


def batch(made: LatentPriorTask) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    channels, height, width = made.prior.shape
    return {
        "latents": torch.randn(4, 1, channels, height, width),
        "prompt_embeds": made.generator.text_encoder(["a cat", "a dog", "a pig", "tea"]),
    }


def test_it_learns_the_mean_of_normalized_latents():
    made = task(drop_prompt=0.0)
    made.log = lambda *_, **__: None
    data, optimizer = batch(made), torch.optim.Adam(made.prior.parameters(), 1e-2)
    losses = []
    for _ in range(30):
        loss = made.training_step(data, 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    normalized = made.generator.normalize(data["latents"])
    error = (made.prior.of_frames(data["prompt_embeds"], 1) - normalized).square().mean()
    torch.testing.assert_close(made.error(normalized, data["prompt_embeds"]), error)


def test_only_the_prior_is_trained_and_saved():
    made = task()
    assert {name.split(".")[0] for name, p in made.named_parameters() if p.requires_grad} == {"prior"}
    assert {name.split(".")[0] for name in made.state_dict()} == {"prior"}


def test_previews_show_the_prior_beside_the_sticker():
    made = task()
    side = made.prior.shape[-1] * 8
    shown = made.preview({"clip": torch.rand(2, 1, 3, side, side), "caption": ["Cartoon\ta", "Cartoon\tb"]})
    assert shown["prior"].shape == shown["sticker"].shape


def test_another_kind_of_prior_is_refused():
    with pytest.raises(TypeError, match="must be a LatentPrior and a TextToVideo, got Linear and TextToVideo"):
        LatentPriorTask(nn.Linear(1, 1), tiny_generator("v_prediction"), torch.optim.Adam)
