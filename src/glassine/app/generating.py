"""Stickers from text, and stills that are animated, as jobs: one seed after the other, each shown once it is there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, Field

from glassine.app.files import safe_name
from glassine.app.jobs import Context
from glassine.app.networks import Networks
from glassine.data.codecs import write_sticker
from glassine.utils.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from torch.nn import Module

    from glassine.data.sticker import Sticker
    from glassine.models.sampling import Distilled, Progress
    from glassine.pipelines.animate import AnimatePipeline
    from glassine.pipelines.motion import MovedStickerPipeline
    from glassine.pipelines.text_to_sticker import TextToStickerPipeline

Seed = Annotated[int, Field(ge=0, lt=2**31)]
MOST_CHARACTERS = 1000
STEPS = 12  # of DPM-Solver++, see `SamplerConfig`


class Sampling(BaseModel):
    """What generating and animating have in common."""

    prompt: str = Field(min_length=1, max_length=MOST_CHARACTERS, description="English or Chinese")
    seeds: list[Seed] = Field(default=[0], min_length=1, max_length=64, description="one sticker for each")
    motion: int | None = Field(default=None, ge=0, le=9, description="amount of motion; none leaves it open")
    steps: int | None = Field(
        default=None, ge=1, le=100, description="of the solver; none is as many as the network needs"
    )
    guidance: float | None = Field(default=None, ge=1, le=30, description="how closely the prompt is followed")
    negative: str = Field(default="", max_length=MOST_CHARACTERS, description="what the sticker should not show")
    frames: int | None = Field(default=None, ge=1, le=64)
    fps: float = Field(default=8, ge=0.1, le=60)
    format: Literal["webp", "gif", "png", "webm"] = "webp"

    def call_settings(self, network: Module) -> dict[str, Any]:
        """Arguments that the pipelines share; a distilled network keeps its own solver and number of steps."""
        steps, solver = made_for(network) or (STEPS, "dpm++")
        return {
            "num_frames": self.frames,
            "num_inference_steps": self.steps or steps,
            "guidance_scale": self.guidance,
            "negative_prompt": self.negative,
            "solver": solver,
            "fps": self.fps,
        }


def made_for(network: Module) -> tuple[int, str] | None:
    """Number of solver steps and solver of a network that is distilled for them; None for any other network."""
    distilled: Distilled | None = getattr(network, "distilled", None)
    if distilled is None or distilled.num_inference_steps is None:  # with guidance alone distilled it takes any number
        return None
    return distilled.num_inference_steps, distilled.solver


class GenerateRequest(Sampling):
    """Body of `POST /v1/generate`."""

    size: int = Field(default=128, ge=64, le=512, description="side in pixels; the shipped networks know 128")
    method: Literal["latents", "cutout"] = Field(
        default="latents",
        description="alpha in the latents (Layer-Animate), or an opaque sticker that is then cut out (STI layers)",
    )


def generate(context: Context, networks: Networks, request: GenerateRequest) -> None:
    """Make one sticker for each seed.

    Raises:
        UserError: a prompt that is empty or too long, or a size or number of frames that the network cannot make.
    """
    if not request.prompt.strip():
        raise UserError("prompt must not be empty: describe the sticker, for instance 'a waving panda'")
    if request.method == "cutout" and request.motion is not None:
        raise UserError(f"motion must be left out for method cutout, got {request.motion}: use method latents")
    context.progress(0, 0, "loading the network")
    pipeline: MovedStickerPipeline | AnimatePipeline | TextToStickerPipeline
    pipeline = networks.transparent_generator() if request.method == "latents" else networks.generator()
    settings = request.call_settings(pipeline.model) | {"height": request.size, "width": request.size}
    if request.method == "latents":
        settings["motion"] = request.motion

    def make(seed: int, tell: Progress) -> Sticker:
        return pipeline(request.prompt, seed=[seed], progress=tell, **settings)[0]

    _each(context, request, make)


def animate(context: Context, networks: Networks, request: Sampling, still: Path, cut_out: bool) -> None:
    """Animate a still once for each seed.

    Args:
        context: of the job.
        networks: where the network comes from.
        request: prompt, seeds and settings.
        still: any readable file; of an animation the middle frame.
        cut_out: whether a still without transparency is cut out first.

    Raises:
        UserError: an empty prompt, a still that cannot be animated, or settings that the network cannot follow.
    """
    from glassine.data.sticker import Sticker
    from glassine.pipelines.stills import check_still, is_opaque, read_still

    if not request.prompt.strip():
        raise UserError("prompt must not be empty: describe the motion, for instance 'waves hello'")
    context.progress(0, 0, "loading the network")
    picture: np.ndarray = read_still(still)[0]
    if cut_out and is_opaque(picture):
        picture = networks.cutter()(Sticker(picture[None], (1000,))).frames[0]
        context.job.notes.append("the picture had no transparency, so it was cut out first")
    check_still(picture)
    animator = networks.animator()
    settings = request.call_settings(animator.model)
    own = made_for(animator.model)
    if own is not None and request.steps not in (None, own[0]):
        context.job.notes.append(f"the network is made for {own[0]} steps and is worse with {request.steps}")
    _each(context, request, lambda seed, tell: animator(
        request.prompt, picture, seed=[seed], motion=request.motion, progress=tell, **settings)[0])  # fmt: skip


def _each(context: Context, request: Sampling, make: Callable[[int, Callable[[int, int], None]], Sticker]) -> None:
    stem = safe_name(request.prompt.strip().replace(".", " ")[:40]).strip() or "sticker"
    count = len(request.seeds)
    for number, seed in enumerate(request.seeds):

        def tell(done: int, of: int, number: int = number) -> None:
            context.progress(number * of + done, count * of, f"sticker {number + 1} of {count}")

        sticker = make(seed, tell)
        path = context.path(f"{stem}-{seed}.{request.format}")
        if path.exists():  # the same seed twice
            continue
        write_sticker(sticker, path)
        about: dict[str, Any] = {"width": sticker.width, "height": sticker.height, "frames": sticker.num_frames}
        context.add(path, **about, seed=seed, prompt=request.prompt)
