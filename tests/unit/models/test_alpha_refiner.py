"""The network that corrects closed-form alpha."""

import pytest
import torch

from glassine.models.alpha_refiner import CHANNELS, AlphaRefiner, refiner_inputs


def planes(count: int = 2, side: int = 64) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    channels = (3, 3, 1, 1)
    return tuple(torch.rand(count, number, side, side, generator=generator) for number in channels)


def test_an_untrained_network_nearly_leaves_the_closed_form_as_it_is():
    picture, behind, closed, opened = planes()
    network = AlphaRefiner(block_out_channels=(8, 8, 8), layers_per_block=1).eval()
    inputs = refiner_inputs(picture, behind, closed, opened, torch.tensor([0.0, 8.0]))
    assert inputs.shape == (2, CHANNELS, 64, 64)
    assert (network(inputs, closed) - closed).abs().max() < 0.05


@pytest.mark.parametrize("noise", [0.0, 16.0, 40.0])
def test_inputs_are_bounded_whatever_the_noise(noise):
    picture, behind, closed, opened = planes()
    inputs = refiner_inputs(picture, behind, closed, opened, torch.full((2,), noise))
    assert inputs.abs().max() <= 1


def test_a_small_difference_is_seen_on_a_clean_file_and_weighed_less_on_a_noisy_one():
    _, behind, closed, opened = planes(1)
    near = (behind + 3 / 255).clamp(0, 1)
    clean, noisy = (
        refiner_inputs(near, behind, closed, opened, torch.tensor([noise]))[:, 6].mean() for noise in (0.0, 16.0)
    )
    assert clean > 5 * noisy


def test_it_learns_to_fill_what_the_closed_form_left_out():
    torch.manual_seed(0)
    picture, behind, closed, opened = planes(2, 32)
    truth = torch.zeros_like(closed)
    truth[..., 8:24, 8:24] = 1
    picture = picture * 0.2 + truth * 0.7
    closed = opened = truth * (torch.arange(32) < 16)
    network = AlphaRefiner(block_out_channels=(16, 16), layers_per_block=1)
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    inputs = refiner_inputs(picture, behind, closed, opened, torch.zeros(2))
    errors = []
    for _ in range(60):
        loss = (network(inputs, closed) - truth).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        errors.append(loss.item())
    assert errors[-1] < 0.1 * errors[0]
