import pytest
import torch
from diffusers import DDPMScheduler
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from glassine.nn.diffusion import draw_timesteps, float32_attention, min_snr_weight, rescale_noise_cfg, signal_to_noise
from glassine.utils.errors import UserError


def test_frames_that_are_given_do_not_count():
    towards, guided = torch.randn(2, 4, 3, 8, 8), torch.randn(2, 4, 3, 8, 8) * 5
    given = torch.zeros(2, 4, dtype=torch.bool)
    given[:, 1] = True
    once = rescale_noise_cfg(guided, towards, 0.7, given)
    changed = guided.clone()
    changed[:, 1] = 100
    again = rescale_noise_cfg(changed, towards, 0.7, given)
    assert torch.equal(once[:, 2:], again[:, 2:])
    whole = rescale_noise_cfg(guided, towards, 1.0, given)[:, [0, 2, 3]].flatten(1).std(dim=1)
    torch.testing.assert_close(whole, towards[:, [0, 2, 3]].flatten(1).std(dim=1))


def test_errors_of_noise_velocity_and_sample_weigh_alike_once_they_are_of_the_same_quantity():
    """Min-SNR is one weighting of the sample's error; the other errors are that one times snr, and times snr + 1."""
    snr = torch.tensor([0.01, 1.0, 5.0, 80.0])
    wanted = snr.clamp(max=5.0)
    torch.testing.assert_close(min_snr_weight(snr, 5.0, "sample"), wanted)
    torch.testing.assert_close(min_snr_weight(snr, 5.0, "epsilon") * snr, wanted)
    torch.testing.assert_close(min_snr_weight(snr, 5.0, "v_prediction") * (snr + 1), wanted)


def test_signal_to_noise_is_that_of_the_scheduler():
    scheduler = DDPMScheduler()
    steps = torch.tensor([0, 500, 999])
    clean, noise = torch.full((3, 1), 1.0), torch.zeros(3, 1)
    signal = scheduler.add_noise(clean, noise, steps).square()
    noise = scheduler.add_noise(noise, clean, steps).square()
    torch.testing.assert_close(signal_to_noise(scheduler.alphas_cumprod, steps), (signal / noise)[:, 0])


def test_a_shift_draws_more_noise_and_one_draws_all_alike():
    torch.manual_seed(0)
    even, shifted = draw_timesteps(20_000, 1000), draw_timesteps(20_000, 1000, 3.0)
    assert (even >= 800).float().mean().item() == pytest.approx(0.2, abs=0.02)
    assert (shifted >= 800).float().mean().item() == pytest.approx(3 / 7, abs=0.02)
    assert shifted.min() >= 0
    assert shifted.max() < 1000
    with pytest.raises(UserError, match="timestep_shift must be positive"):
        draw_timesteps(1, 1000, 0)


def test_attention_of_a_bfloat16_training_is_exact_to_the_rounding_of_its_result():
    query, key, value = (torch.randn(2, 2, 9, 8, generator=torch.Generator().manual_seed(n)) for n in range(3))
    rounded = [x.bfloat16().requires_grad_() for x in (query, key, value)]
    exact = F.scaled_dot_product_attention(*(x.float() for x in rounded))
    with torch.autocast("cpu", torch.bfloat16), float32_attention():
        found = F.scaled_dot_product_attention(*rounded)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, exact.bfloat16())
    found.float().sum().backward()
    assert all(x.grad is not None and x.grad.dtype == torch.bfloat16 for x in rounded)
    assert F.scaled_dot_product_attention(*rounded).dtype == torch.bfloat16


def test_attention_of_a_bfloat16_training_can_be_recomputed_by_gradient_checkpointing():
    query = torch.randn(2, 2, 9, 8, generator=torch.Generator().manual_seed(0)).bfloat16().requires_grad_()

    def attend(x):
        return F.scaled_dot_product_attention(x, x, x).float().square().sum()

    with float32_attention():
        attend(query).backward()
        exact, query.grad = query.grad, None
        checkpoint(attend, query, use_reentrant=False).backward()
    assert torch.equal(query.grad, exact)
