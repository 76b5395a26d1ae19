"""What a generator's latents keep of a picture."""

from collections.abc import Callable

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from ..base import Bytes, Degradation


class VaeRoundTrip(Degradation):
    """Encode to latents and decode again, by a callable handed in.

    Args:
        round_trip: For instance `models.vae.RoundTrip`: from `f 3 h w` in [0, 1] to the decoded clip of the same shape
            and range.
        probability: How often a clip gets it.
    """

    name = "vae_decoded"

    def __init__(self, round_trip: nn.Module | Callable[[Tensor], Tensor], probability: float = 1.0) -> None:
        super().__init__(probability)
        self.round_trip = round_trip

    @torch.no_grad()
    def __call__(self, clip: Bytes, rng: np.random.Generator) -> Bytes:
        """Encode and decode the clip, rounded and clipped to 8 bits; raises ValueError where its shape changes."""
        pixels = rearrange(torch.from_numpy(clip), "f h w c -> f c h w").float() / 255
        decoded = self.round_trip(pixels)
        if decoded.shape != pixels.shape:
            raise ValueError(f"the round trip made {tuple(decoded.shape)} of {tuple(pixels.shape)}; shapes must agree")
        levels = (decoded.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
        return rearrange(levels, "f c h w -> f h w c").contiguous().numpy()
