import pytest
import torch
from tests.helpers.tiny_dynamics import tiny_dynamics
from tests.helpers.tiny_generator import tiny_generator

from glassine.tasks.image_dynamics import ImageDynamicsTask


def task(**arguments) -> ImageDynamicsTask:
    made = ImageDynamicsTask(tiny_dynamics(), lambda p: torch.optim.Adam(p, 2e-3), **arguments)
    made.log = lambda *_, **__: None
    return made


def batch() -> dict:
    torch.manual_seed(0)
    amount = torch.tensor([0.001, 0.004, 0.002, 0.002])
    field = torch.zeros(4, 8, 16, 16, 2)
    field[:, 1, ..., 1] = 1  # all move up and down
    return {
        "field": field * amount.view(-1, 1, 1, 1, 1),
        "still": torch.rand(4, 4, 64, 64),
        "amount": amount,
        "caption": ["a cat", "a dog", "a pig", "tea"],
    }


def test_training_lowers_the_loss():
    made, data = task(min_snr_gamma=5.0), batch()
    optimizer = torch.optim.Adam(made.trainable_parameters(), 2e-3)
    torch.manual_seed(1)
    timesteps, noise = torch.tensor([100, 300, 500, 900]), torch.randn_like(made.terms(data))
    before = made.errors(made.terms(data), data, data["caption"], timesteps, noise).mean()
    for step in range(60):
        torch.manual_seed(step)
        loss = made.training_step(data, 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert made.errors(made.terms(data), data, data["caption"], timesteps, noise).mean() < 0.7 * before


def test_a_field_counts_the_same_at_every_amount():
    made, data = task(), batch()
    terms = made.terms(data)
    torch.testing.assert_close(terms[0], terms[1])


def test_the_text_encoder_is_neither_trained_nor_saved():
    made = task()
    assert not any(name.startswith("generator.text_encoder") for name in made.state_dict())
    assert any(name.startswith("generator.amount_token") for name in made.state_dict())
    assert not made.train().generator.text_encoder.training


def test_validation_is_the_same_every_time():
    made, data, seen = task(), batch(), []
    made.log = lambda _, value, **__: seen.append(float(value.detach()))
    made.validation_step(data, 0)
    torch.manual_seed(99)
    made.validation_step(data, 0)
    assert seen[0] == seen[1] > 0


def test_other_networks_are_refused():
    with pytest.raises(TypeError, match="must be an ImageDynamics, got a TextToVideo"):
        ImageDynamicsTask(tiny_generator(), lambda p: torch.optim.Adam(p))
