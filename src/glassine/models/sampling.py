"""How latents are sampled: settings, and diffusers' solvers by name."""

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
USUAL_SCALE, SCALE_WITH_MEAN = 7.5, 3.0  # of guidance; the mean already carries the prompt


@dataclass(frozen=True)
class SamplerConfig:
    """How latents are sampled.

    Attributes:
        num_inference_steps: solver steps; VSD2M takes 25 of DDIM ("Experimental Setups"), DPM-Solver++ needs 8 to 15.
        guidance_scale: of classifier-free guidance; 1 is without it, and half the work. None is what suits the network:
            3 for one that reads a prompt's mean, 1 where a given frame stands for that, else the usual 7.5.
        solver: `ddim` (arXiv 2010.02502, deterministic) or `dpm++` (DPM-Solver++ 2M, arXiv 2211.01095).
        guidance_rescale: how far the guided prediction gets back the contrast of the unguided one (arXiv 2305.08891,
            section 3.4); 0 leaves it, as VSD2M does, 0.7 is that paper's for schedules that end in pure noise.

    Raises:
        UserError: numbers or names that are not allowed.
    """

    num_inference_steps: int = 25
    guidance_scale: float | None = None
    solver: Solver = "ddim"
    guidance_rescale: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.num_inference_steps <= 1000:
            raise UserError(f"{self.num_inference_steps} steps came; give 1 to 1000, 25 is the usual number")
        if self.guidance_scale is not None and self.guidance_scale < 0:
            raise UserError(f"guidance scale {self.guidance_scale} came; give at least 0, 3 to 7.5 are usual numbers")
        if not 0 <= self.guidance_rescale <= 1:
            raise UserError(f"guidance rescale {self.guidance_rescale} came; it lies in [0, 1], 0 is without")
        if self.solver not in get_args(Solver):
            raise UserError(f"solver {self.solver!r} came; give {' or '.join(get_args(Solver))}")


def make_solver(scheduler: Any, sampling: SamplerConfig, device: torch.device) -> Any:
    """diffusers' solver for the noise schedule of `scheduler`, with its timesteps."""
    kind, options = SOLVERS[sampling.solver]
    solver = kind.from_config(scheduler.config, **options)
    solver.set_timesteps(sampling.num_inference_steps, device=device)
    return solver


def check_seeds(prompts: Sequence[str], seeds: Sequence[int]) -> None:
    """Raise UserError unless there is a seed for each prompt."""
    if len(prompts) != len(seeds) or not prompts:
        raise UserError(f"{len(prompts)} prompts and {len(seeds)} seeds came; give one seed for each prompt")
