"""Settings of the sampler, and diffusers' solvers by name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

from glassine.utils.errors import UserError

Solver = Literal["ddim", "dpm++"]
SOLVERS: dict[str, tuple[Any, dict[str, str]]] = {
    "ddim": (DDIMScheduler, {}),
    "dpm++": (DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++"}),
}
Progress = Callable[[int, int], None]
USUAL_SCALE, SCALE_WITH_MEAN = 7.5, 3.0  # guidance scales; a predicted mean already follows the prompt


@dataclass(frozen=True)
class SamplerConfig:
    """Settings of the sampler.

    Attributes:
        num_inference_steps: solver steps; VSD2M takes 25 of DDIM ("Experimental Setups"), DPM-Solver++ needs 8 to 15.
        guidance_scale: of classifier-free guidance; 1 is no guidance and half the work. None is the default of the
            network: 3 with a `latent_mean`, 1 if given frames correct that, else 7.5.
        solver: `ddim` (arXiv 2010.02502, deterministic) or `dpm++` (DPM-Solver++ 2M, arXiv 2211.01095).
        guidance_rescale: how far the guided prediction is rescaled to the contrast of the text-conditioned one (arXiv
            2305.08891, section 3.4); 0, as VSD2M, changes nothing; 0.7 is that paper's for zero terminal SNR.

    Raises:
        UserError: a setting out of range.
    """

    num_inference_steps: int = 25
    guidance_scale: float | None = None
    solver: Solver = "ddim"
    guidance_rescale: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.num_inference_steps <= 1000:
            raise UserError(f"num_inference_steps must be in [1, 1000], got {self.num_inference_steps}")
        if self.guidance_scale is not None and self.guidance_scale < 0:
            raise UserError(f"guidance_scale must be at least 0 (usually 3 to 7.5), got {self.guidance_scale}")
        if not 0 <= self.guidance_rescale <= 1:
            raise UserError(f"guidance_rescale must be in [0, 1], got {self.guidance_rescale}")
        if self.solver not in get_args(Solver):
            raise UserError(f"solver must be {' or '.join(get_args(Solver))}, got {self.solver!r}")


def make_solver(scheduler: Any, sampling: SamplerConfig, device: torch.device) -> Any:
    """diffusers' solver for the noise schedule of `scheduler`, with its timesteps."""
    kind, options = SOLVERS[sampling.solver]
    solver = kind.from_config(scheduler.config, **options)
    solver.set_timesteps(sampling.num_inference_steps, device=device)
    return solver


def check_seeds(prompts: Sequence[str], seeds: Sequence[int]) -> None:
    """Raise UserError unless there is one seed for each prompt."""
    if len(prompts) != len(seeds) or not prompts:
        raise UserError(f"there must be one seed for each prompt, got {len(prompts)} prompts and {len(seeds)} seeds")
