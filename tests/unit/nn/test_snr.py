import torch
from diffusers import DDPMScheduler

from glassine.nn.diffusion import min_snr_weight, signal_to_noise


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
