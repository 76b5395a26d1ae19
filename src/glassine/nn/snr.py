"""How much signal a noise step leaves, and weights by it."""

from torch import Tensor


def signal_to_noise(alphas_cumprod: Tensor, timesteps: Tensor) -> Tensor:
    """`b`: alphas_cumprod / (1 - alphas_cumprod) at each of `timesteps` `b`."""
    kept = alphas_cumprod.to(timesteps.device)[timesteps].float()
    return kept / (1 - kept)


def min_snr_weight(snr: Tensor, gamma: float, prediction_type: str) -> Tensor:
    """Min-SNR-gamma weights `b` (Hang et al., arXiv 2303.09556, section 3.4).

    Args:
        snr: `b`.
        gamma: largest weight of an error of the clean sample; 5 in the paper.
        prediction_type: `epsilon`, `v_prediction` or `sample`, what the error is of.
    """
    of_sample = snr.clamp(max=gamma)
    if prediction_type == "sample":
        return of_sample
    # an error of the noise is that of the sample times snr, one of v that times snr + 1 (ibid., section 3.4)
    return of_sample / (snr.clamp(min=1e-8) if prediction_type == "epsilon" else snr + 1)
