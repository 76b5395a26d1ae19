import pytest
import torch

from glassine.nn.diffusion import draw_timesteps
from glassine.utils.errors import UserError


def test_a_shift_draws_more_noise_and_one_draws_all_alike():
    torch.manual_seed(0)
    even, shifted = draw_timesteps(20_000, 1000), draw_timesteps(20_000, 1000, 3.0)
    assert (even >= 800).float().mean().item() == pytest.approx(0.2, abs=0.02)
    assert (shifted >= 800).float().mean().item() == pytest.approx(3 / 7, abs=0.02)
    assert shifted.min() >= 0
    assert shifted.max() < 1000
    with pytest.raises(UserError, match="timestep_shift must be positive"):
        draw_timesteps(1, 1000, 0)
