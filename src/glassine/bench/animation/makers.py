"""What is measured beside the trained methods: true clips, true clips through the codec, and what ships."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from glassine.bench.generation.rows import VideoSampler
from glassine.bench.generation.test_set import CaptionedClip
from glassine.bench.loading import load_network
from glassine.data.sticker import Sticker
from glassine.models.animation import MOTION_GUIDANCE, Animation
from glassine.models.sampling import SamplerConfig
from glassine.models.transparency import TransparencyVAE
from glassine.pipelines.animate import TINY as ANIMATES
from glassine.pipelines.animate import AnimatePipeline
from glassine.pipelines.cutout import CutoutPipeline
from glassine.pipelines.text_to_sticker import TINY as MAKES
from glassine.pipelines.text_to_sticker import TextToStickerPipeline
from glassine.utils.errors import UserError
from glassine.utils.tensors import weights_digest

CODEC = "glassine:tiny-transparency"
TITLES = {
    "true": "true clips",
    "codec": "true clips through the codec",
    "ildiff": "opaque clips, cut out (ILDiff)",
    "latents": "alpha in the latents (Layer-Animate)",
    "motion_0": "Layer-Animate, motion 0",
    "motion_4": "Layer-Animate, motion 4",
    "motion_9": "Layer-Animate, motion 9",
}


def true_clips(device: torch.device) -> VideoSampler:
    """The held-out stickers themselves."""
    return VideoSampler(lambda wanted, *_: torch.stack([one.rgba for one in wanted]), 0, "true", own_rate=True)


def through_codec(device: torch.device, source: str = CODEC) -> VideoSampler:
    """The held-out stickers after the round trip through adjusted latents: as good as alpha in them can be."""
    loaded = load_network(source, "codec")
    if not isinstance(loaded.network, TransparencyVAE):
        raise UserError(f"{source} holds a {type(loaded.network).__name__}, not a codec; give one such as {CODEC}")
    codec = loaded.network.to(device)

    @torch.no_grad()
    def make(wanted: Sequence[CaptionedClip], *_: Any) -> Tensor:
        clips = torch.stack([one.rgba for one in wanted]).to(device)
        frames = rearrange(clips, "n f c h w -> (n f) c h w")
        alpha, color = codec.decode(codec.encode(frames[:, :3], frames[:, 3:]))
        return rearrange(torch.cat([color, alpha], dim=1), "(n f) c h w -> n f c h w", n=len(wanted)).clamp(0, 1)

    return VideoSampler(make, sum(p.numel() for p in codec.parameters()), loaded.digest, rebuilds=True, own_rate=True)


def cut_out_after(device: torch.device) -> VideoSampler:
    """`glassine generate --transparent` as it ships, in its own number of frames: each is repeated to fill the clip."""
    cut_out = CutoutPipeline.from_pretrained(device=str(device))
    pipeline = TextToStickerPipeline.from_pretrained(MAKES, cut_out, device=str(device))

    def make(wanted: Sequence[CaptionedClip], seeds: Sequence[int], sampling: SamplerConfig) -> Tensor:
        (height, width), frames = shape_of(wanted)
        prompts, own = [one.caption for one in wanted], pipeline.model.usual_frames
        made = stacked(pipeline(prompts, own, height, width, **vars(sampling), seed=seeds, domain=""))
        repeats = -(-frames // own)
        return made.repeat_interleave(repeats, dim=1)[:, :frames]

    return pipeline_maker(make, pipeline.model, cut_out.ildiff)


def alpha_in_latents(device: torch.device, motion: int | None = None) -> VideoSampler:
    """`glassine generate --transparent --transparency latents` as it ships, perhaps told how much is to move."""
    pipeline = AnimatePipeline.from_pretrained(ANIMATES, device=str(device))

    def make(wanted: Sequence[CaptionedClip], seeds: Sequence[int], sampling: SamplerConfig) -> Tensor:
        (height, width), frames = shape_of(wanted)
        settings = vars(sampling) | {"guidance_scale": None}  # the default of each of the two stages
        prompts = [one.caption for one in wanted]
        return stacked(pipeline(prompts, None, frames, height, width, **settings, seed=seeds, motion=motion, domain=""))

    settings: dict[str, float | int | str] = {
        "guidance_scale_around_base": pipeline.model.guidance_scale(Animation(), around=True),
        "alpha_levels": str(tuple(pipeline.model.alpha_levels)),
    }
    if motion is not None:
        settings |= {"motion": motion, "motion_guidance_scale": MOTION_GUIDANCE}
    made_by = pipeline_maker(make, pipeline.model)
    return replace(made_by, reference=pipeline.model.reference_index, settings=settings)


def pipeline_maker(make: Callable[..., Tensor], *networks: torch.nn.Module) -> VideoSampler:
    """With the parameters and the digest of all networks."""
    parameters = sum(p.numel() for network in networks for p in network.parameters())
    return VideoSampler(make, parameters, "-".join(weights_digest(network) for network in networks))


def shape_of(wanted: Sequence[CaptionedClip]) -> tuple[tuple[int, int], int]:
    """Size and number of frames of the clips that are wanted."""
    frames, _, height, width = wanted[0].rgba.shape
    return (height, width), frames


def stacked(stickers: Sequence[Sticker]) -> Tensor:
    """Clips `n f 4 h w` in [0, 1]."""
    return rearrange(torch.from_numpy(np.stack([one.frames for one in stickers])), "n f h w c -> n f c h w") / 255


MAKERS: dict[str, Callable[[torch.device], VideoSampler]] = {
    "true": true_clips,
    "codec": through_codec,
    "ildiff": cut_out_after,
    "latents": alpha_in_latents,
    **{f"motion_{amount}": partial(alpha_in_latents, motion=amount) for amount in (0, 4, 9)},
}
