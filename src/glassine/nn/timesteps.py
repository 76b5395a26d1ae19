"""Which noise levels are trained."""

import torch
from torch import Tensor

from glassine.errors import UserError


def draw_timesteps(count: int, steps: int, shift: float = 1.0, device: torch.device | None = None) -> Tensor:
    """`count` random timesteps below `steps`.

    Args:
        count: how many.
        steps: of the noise schedule.
        shift: 1 draws all alike; a higher one more often such of much noise, u -> s u / (1 + (s - 1) u) (Esser et al.,
            arXiv 2403.03206, section 5.3.2). There the prompt decides; with 3, 43% of them are in the upper fifth.
        device: where they are needed.

    Raises:
        UserError: a shift that is not above 0.
    """
    if not shift > 0:
        raise UserError(f"timestep shift {shift} came; give a number above 0, 1 draws all alike")
    if shift == 1:
        return torch.randint(steps, (count,), device=device)
    even = torch.rand(count, device=device)
    return (shift * even / (1 + (shift - 1) * even) * steps).long().clamp(max=steps - 1)
