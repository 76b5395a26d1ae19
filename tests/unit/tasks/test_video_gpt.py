import math

import pytest
import torch
from torch import nn

from glassine.models.video_gpt import TokenSampling, VideoGPT
from glassine.models.video_vqvae import VideoVQVAE
from glassine.tasks.video_gpt import VideoGPTTask


def make_task(objective: str = "autoregressive", **arguments) -> VideoGPTTask:
    torch.manual_seed(0)
    vqvae = VideoVQVAE(8, 1, 2, 12, 4, (2, 4, 4))
    prior = VideoGPT(vqvae, ["cat", "dog"], 4, (8, 8), 16, 1, 2, dropout=0.0, objective=objective)
    return VideoGPTTask(prior, lambda p: torch.optim.Adam(p, lr=0.01), **arguments)


def make_batch() -> dict:
    clip = torch.rand(3, 4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return {"clip": clip, "trigger_words": [["cat"], ["dog", "猫"], []], "key": ["a", "b", "c"]}


def logged_by(task) -> dict[str, float]:
    values: dict[str, float] = {}
    task.log_dict = lambda named, **_: values.update({name: value.item() for name, value in named.items()})
    return values


def test_the_loss_is_the_cross_entropy_of_the_vqvaes_codes_given_the_tags():
    task = make_task(condition_dropout=0.0)
    values, batch = logged_by(task), make_batch()
    nn.init.normal_(task.prior.output.weight)
    loss = task.training_step(batch, 0)
    codes = task.prior.vqvae.encode(batch["clip"]).flatten(1)
    shares = task.prior.vocabulary.mixture(batch["trigger_words"])
    expected = -task.prior(codes, shares).log_softmax(-1).gather(-1, codes[..., None]).mean()
    torch.testing.assert_close(loss, expected)
    assert values["train/bits_per_dim"] == pytest.approx(loss.item() / math.log(2))


@pytest.mark.parametrize(("dropout", "told"), [(0.0, 2), (1.0, 0)])
def test_tags_are_dropped_as_often_as_told(dropout, told):
    task = make_task(condition_dropout=dropout)
    logged_by(task)
    seen = []
    task.prior.nats = lambda codes, mixture: seen.append(mixture) or task.prior.tags.sum() * codes
    task.training_step(make_batch(), 0)
    assert (seen[0].sum(1) > 0).sum() == told


@pytest.mark.parametrize("objective", ["autoregressive", "masked"])
def test_only_the_prior_learns_and_the_vqvae_stays_out_of_the_checkpoint(objective):
    task = make_task(objective).train()
    logged_by(task)
    assert not [name for name in task.state_dict() if name.startswith("prior.vqvae.")]
    assert not any(module.training for module in task.prior.vqvae.modules())
    before = {name: tensor.clone() for name, tensor in task.prior.vqvae.state_dict().items()}
    optimizer = task.configure_optimizers()
    first = task.training_step(make_batch(), 0).item()
    for step in range(20):
        loss = task.training_step(make_batch(), step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.9 * first
    for name, tensor in task.prior.vqvae.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    again = make_task(objective)
    again.load_state_dict(task.state_dict())  # strict: only the frozen part may be missing
    torch.testing.assert_close(again.prior.output.weight, task.prior.output.weight)


@pytest.mark.parametrize("objective", ["autoregressive", "masked"])
def test_validation_tells_what_tags_bring_and_is_the_same_each_time(objective):
    task, batch = make_task(objective).eval(), make_batch()
    nn.init.normal_(task.prior.output.weight)
    values = logged_by(task)
    task.validation_step(batch, 0)
    first = dict(values)
    task.validation_step(batch, 0)
    assert values == first
    assert values["val/bits_per_dim"] == pytest.approx(values["val/loss"] / math.log(2))
    assert values["val/loss"] != values["val/loss_without_tags"]
    task.validation_step(batch | {"trigger_words": [[], [], ["fish"]]}, 0)
    assert values["val/loss"] == pytest.approx(values["val/loss_without_tags"])


def test_preview_and_predictions_are_samples_that_come_again():
    task, batch = make_task(sampling=TokenSampling(top_k=6)).eval(), make_batch()
    shown = task.preview(batch)
    assert list(shown) == ["input", "reconstruction", "sample"]
    assert all(clip.shape == batch["clip"].shape for clip in shown.values())
    assert torch.equal(shown["sample"], task.preview(batch)["sample"])
    one, again, other = (task.predict_step(batch, batch_idx)["sample"] for batch_idx in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_another_network_is_refused():
    with pytest.raises(TypeError, match="prior must be a VideoGPT, got a Linear"):
        VideoGPTTask(nn.Linear(1, 1), lambda p: torch.optim.Adam(p))
