"""Sampler settings, and diffusers' solvers by name."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import diffusers
import torch

from glassine.utils.errors import UserError

Solver = Literal["ddim", "dpm++"]
# classes of diffusers by name, imported when used: DPM-Solver's module imports scipy.stats
SOLVERS: dict[str, tuple[str, dict[str, str]]] = {
    "ddim": ("DDIMScheduler", {}),
    "dpm++": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"}),
}
Progress = Callable[[int, int], None]
USUAL_SCALE, SCALE_WITH_MEAN = 7.5, 3.0  # guidance scales; a predicted mean already follows the prompt


@dataclass(frozen=True)
class SamplerConfig:
    """Settings of the sampler.

    Attributes:
        num_inference_steps: solver steps, 1 to 1000. VSD2M uses 25 steps of DDIM ("Experimental Setups"); DPM-Solver++
            needs 8 to 15.
        guidance_scale: scale of classifier-free guidance, at least 0; 1 is no guidance and halves the cost. None is the
            network's default: 3 with a `latent_mean`, 1 if given frames correct that mean, else 7.5.
        solver: `ddim` (arXiv 2010.02502, deterministic) or `dpm++` (DPM-Solver++ 2M, arXiv 2211.01095).
        guidance_rescale: how far the guided prediction is rescaled to the standard deviation of the text-conditioned
            one (arXiv 2305.08891, section 3.4), in [0, 1]. 0, as in VSD2M, is off; the paper uses 0.7 with zero
            terminal SNR.

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


@dataclass(frozen=True)
class Distilled:
    """Sampler settings for which a network was distilled; part of its configuration.

    Attributes:
        num_inference_steps: solver steps it was distilled for; None if only guidance was distilled, which allows any
            number of steps and any solver.
        teacher_steps: solver steps of its teacher, the maximum it allows; None for no limit.
        solver: the only solver it allows if `num_inference_steps` is given.
        guidance_scale: text guidance scale built into its predictions; the default if `text_range` is given.
        image_guidance_scale: the same for the base image.
        text_range: lowest and highest text guidance scale if the scale is an input of the network; None if it is fixed.
        image_range: the same for the base image.

    Raises:
        UserError: a number out of range.
    """

    num_inference_steps: int | None = None
    teacher_steps: int | None = None
    solver: Solver = "ddim"
    guidance_scale: float = 1.0
    image_guidance_scale: float = 1.0
    text_range: tuple[float, float] | None = None
    image_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        steps, most = self.num_inference_steps, self.teacher_steps
        if steps is not None and (steps < 1 or (most is not None and most < steps)):
            raise UserError(f"num_inference_steps must be in [1, teacher_steps], got {steps} and {most}")
        if self.solver not in get_args(Solver):
            raise UserError(f"solver must be {' or '.join(get_args(Solver))}, got {self.solver!r}")
        for name, scale, bounds in self.scales:
            low, high = bounds or (scale, scale)
            if not 0 <= low <= scale <= high:
                raise UserError(f"{name} must be in its range of numbers of at least 0, got {scale} for {bounds}")

    @property
    def scales(self) -> tuple[tuple[str, float, tuple[float, float] | None], ...]:
        """Name, default and range of both guidance scales, text first."""
        return (
            ("guidance_scale", self.guidance_scale, self.text_range),
            ("image_guidance_scale", self.image_guidance_scale, self.image_range),
        )

    def checked_scales(self, text: float | None, image: float | None) -> tuple[float, float]:
        """The guidance scales for text and image of a call; None stands for the default.

        Raises:
            UserError: a scale outside the range of the network.
        """
        chosen = []
        for (name, usual, bounds), given in zip(self.scales, (text, image), strict=True):
            scale = usual if given is None else given
            low, high = bounds or (usual, usual)
            if not low <= scale <= high:
                allowed = f"{usual:g} or left out" if bounds is None else f"in [{low:g}, {high:g}]"
                raise UserError(f"{name} must be {allowed}: guidance is distilled into this network, got {scale:g}")
            chosen.append(scale)
        return chosen[0], chosen[1]

    def check_steps(self, sampling: SamplerConfig) -> None:
        """Warn if the number of steps differs from the one the network was distilled for.

        Raises:
            UserError: more steps than `teacher_steps`, or another solver.
        """
        steps, made_for, most = sampling.num_inference_steps, self.num_inference_steps, self.teacher_steps
        if made_for is None or (steps, sampling.solver) == (made_for, self.solver):
            return  # with guidance alone distilled, any steps and solver do
        if sampling.solver != self.solver:
            raise UserError(f"solver must be {self.solver} for this distilled network, got {sampling.solver}")
        if most is not None and steps > most:
            raise UserError(
                f"num_inference_steps must be at most {most}, got {steps}: this network is distilled for {made_for}; "
                "use the one it was distilled from for more"
            )
        warnings.warn(
            f"this network is distilled for {made_for} steps and is worse with {steps}", UnusualSteps, stacklevel=2
        )


class UnusualSteps(UserWarning):
    """A distilled network is sampled with another number of solver steps than it was distilled for."""


def make_solver(scheduler: Any, sampling: SamplerConfig, device: torch.device) -> Any:
    """diffusers' solver for the noise schedule of `scheduler`, with its timesteps set."""
    name, options = SOLVERS[sampling.solver]
    solver = getattr(diffusers, name).from_config(scheduler.config, **options)
    solver.set_timesteps(sampling.num_inference_steps, device=device)
    return solver


def check_seeds(prompts: Sequence[str], seeds: Sequence[int]) -> None:
    """Raise UserError unless there is one seed per prompt and at least one prompt."""
    if len(prompts) != len(seeds) or not prompts:
        raise UserError(f"there must be one seed for each prompt, got {len(prompts)} prompts and {len(seeds)} seeds")
