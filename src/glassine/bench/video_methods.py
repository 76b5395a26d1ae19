"""Methods that generate clips: a common interface for all kinds of trained networks, and the reference rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from glassine.bench.loading import load_network
from glassine.bench.methods import SHIPPED_TRANSPARENCY, Method, Setting
from glassine.bench.protocols import CaptionedClip, CaptionedSet
from glassine.bench.run import Run
from glassine.data.sticker import Sticker
from glassine.models.animation import MOTION_GUIDANCE, Animation
from glassine.models.image_to_video import ImageToVideo
from glassine.models.sampling import SCALE_WITH_MEAN, SamplerConfig
from glassine.models.text_to_video import TextToVideo
from glassine.models.transparency import TransparencyVAE
from glassine.models.transparent_video import TransparentVideo
from glassine.models.video_gpt import TokenSampling, VideoGPT
from glassine.nn.diffusion import RESCALE
from glassine.pipelines.animate import TINY as ANIMATES
from glassine.pipelines.animate import AnimatePipeline
from glassine.pipelines.cutout import CutoutPipeline
from glassine.pipelines.text_to_sticker import TINY as MAKES
from glassine.pipelines.text_to_sticker import TextToStickerPipeline
from glassine.utils.errors import UserError
from glassine.utils.tensors import weights_digest

Tell = Callable[[int, int], None]
# few steps, since tables need many clips; times are measured with `PAPER`
SHORT = SamplerConfig(num_inference_steps=8, guidance_scale=SCALE_WITH_MEAN, solver="dpm++", guidance_rescale=RESCALE)
SHORT_SETTINGS: dict[str, Setting] = {
    "sampler": f"{SHORT.solver} {SHORT.num_inference_steps}",
    "guidance_scale": SCALE_WITH_MEAN,
    "guidance_rescale": SHORT.guidance_rescale,
}
PAPER = SamplerConfig(num_inference_steps=25, guidance_scale=SCALE_WITH_MEAN, solver="ddim")
REFERENCE_TITLES = {
    "true": "true clips (distances: one half from the other)",
    "train": "training clips",
    "codec": "true clips through the codec",
    "ildiff": "opaque clips, cut out (ILDiff)",
    "latents": "alpha in the latents (Layer-Animate)",
    "motion_0": "Layer-Animate, motion 0",
    "motion_4": "Layer-Animate, motion 4",
    "motion_9": "Layer-Animate, motion 9",
}


@dataclass(frozen=True)
class VideoSampler:
    """A network that generates clips.

    Attributes:
        make: `(captioned clips, seeds, sampler)` -> clips `n f 3|4 h w` in [0, 1].
        parameters: number of parameters of all its networks.
        digest: hash of all weights.
        rebuilds: whether its clips are reconstructions of the captioned ones, so that their alpha has a target.
        is_real: whether its clips are the captioned ones themselves. Since their distance from themselves would be 0,
            the distance between two halves is computed.
        seeded: whether different seeds give different clips.
        stand_in: `(test set, minimum number of clips)` -> the captioned clips to generate for; None for those of the
            test set.
        reference: number of frames -> index of the base image. The middle frame if there is no base image, so that the
            same frame is compared.
        settings: differences from `SHORT`, for records.
    """

    make: Callable[[Sequence[CaptionedClip], Sequence[int], SamplerConfig], Tensor]
    parameters: int
    digest: str
    rebuilds: bool = False
    is_real: bool = False
    seeded: bool = True
    stand_in: Callable[[CaptionedSet, int], list[CaptionedClip]] | None = None
    reference: Callable[[int], int] = lambda frames: frames // 2
    settings: Mapping[str, Setting] = field(default_factory=dict)

    def clips(self, wanted: Sequence[CaptionedClip], batch: int = 4, tell: Tell = lambda *_: None) -> Tensor:
        """Generate a clip for each caption, with its index as seed.

        Args:
            wanted: captioned clips, `n`.
            batch: number of clips per call of `make`.
            tell: called with the number of clips done and the total.

        Returns:
            Clips `n f 3|4 h w` in [0, 1], on the CPU.
        """
        made = []
        for start in range(0, len(wanted), batch):
            part = wanted[start : start + batch]
            made.append(self.make(part, range(start, start + len(part)), SHORT).cpu())
            tell(start + len(part), len(wanted))
        return torch.cat(made)

    def at_rate(self, made: Tensor, wanted: Sequence[CaptionedClip]) -> Tensor:
        """The clips at `RATE` frames per second, the rate of generated clips, for metrics of motion.

        The frames of true clips are spread over the whole sticker, so true clips are sampled again at that rate, and
        reconstructions are computed again. Other clips are returned unchanged.

        Args:
            made: clips from `clips`.
            wanted: for which they were generated.
        """
        if self.seeded or any(one.paced is None for one in wanted):
            return made
        paced = [replace(one, rgba=one.paced) for one in wanted if one.paced is not None]
        return self.clips(paced)


def trained_method(run: Run, checkpoint: Path) -> Method:
    """The method of a run, for its record; the checkpoint does not have to exist."""
    return Method(
        run.spec.name,
        run.spec.title,
        {**SHORT_SETTINGS, "asked": run.asked},
        weights=checkpoint.as_posix().removesuffix("/checkpoints/last.ckpt"),
        config=" ".join(stage.config.as_posix() for stage in run.stages()),
        seed=run.seed,
    )


def reference_method(name: str, sampler: VideoSampler) -> Method:
    """The method of a row of `REFERENCES`, for its record."""
    return Method(name, REFERENCE_TITLES[name], {**SHORT_SETTINGS, **sampler.settings}, digest=sampler.digest)


def load_sampler(source: str, part: str, device: torch.device) -> VideoSampler:
    """Load the network of a run or a bundle as a sampler.

    Args:
        source: see `load_network`.
        part: argument of the task that holds the network.
        device: where it runs.

    Raises:
        UserError: `source` does not exist, or its network does not generate clips.
    """
    loaded = load_network(source, part)
    network = loaded.network.to(device)
    if isinstance(network, ImageToVideo):
        return around_stills(network, network.usual_sampling, loaded.digest)
    parameters = sum(p.numel() for p in network.parameters())
    if isinstance(network, TransparentVideo) and network.needs_base:
        make = partial(from_captions, network)
        return VideoSampler(make, parameters, loaded.digest, reference=network.reference_index)
    if isinstance(network, TextToVideo):
        return VideoSampler(partial(from_captions, network), parameters, loaded.digest)
    if isinstance(network, VideoGPT):
        return VideoSampler(partial(from_tags, network), parameters, loaded.digest)
    raise UserError(f"{source} must be a TextToVideo, an ImageToVideo or a VideoGPT, got a {type(network).__name__}")


def around_stills(network: ImageToVideo, how: Animation, digest: str) -> VideoSampler:
    """A sampler that animates the middle frames of the captioned clips with their captions.

    Args:
        network: on the device where it runs.
        how: settings of its sampler.
        digest: hash of its weights.
    """

    def make(wanted: Sequence[CaptionedClip], seeds: Sequence[int], _: SamplerConfig) -> Tensor:
        size, frames = shape_of(wanted)
        stills = torch.stack([one.rgba[frames // 2] for one in wanted]).to(next(network.parameters()).device)
        captions = [one.caption for one in wanted]
        return network.sample(captions, list(seeds), size, frames, sampling=how, base=stills)

    settings: dict[str, Setting] = {"sampler": f"{how.solver} {how.num_inference_steps}"}
    if network.distilled is None:
        settings |= {"guidance_scale": how.guidance_scale or 0.0, "image_guidance_scale": how.image_guidance_scale}
    else:
        settings |= {name: scale for name, scale, _ in network.distilled.scales}
    parameters = sum(p.numel() for p in network.parameters())
    return VideoSampler(make, parameters, digest, reference=network.reference_index, settings=settings)


def from_captions(
    network: TextToVideo, wanted: Sequence[CaptionedClip], seeds: Sequence[int], sampling: SamplerConfig
) -> Tensor:
    """Generate clips for the captions, of the size and number of frames of the captioned clips."""
    frames, _, height, width = wanted[0].clip.shape
    captions = [one.caption for one in wanted]
    return network.sample(captions, list(seeds), (height, width), frames, sampling=sampling)


def from_tags(network: VideoGPT, wanted: Sequence[CaptionedClip], seeds: Sequence[int], _: SamplerConfig) -> Tensor:
    """Generate clips for the trigger words, resized to the captioned clips.

    VideoGPT gets no captions since it "can only be controlled with tags".
    """
    tags = [list(one.trigger_words) for one in wanted]
    made = network.sample(tags, TokenSampling(), torch.Generator().manual_seed(seeds[0]))  # n f 3 h w
    size = wanted[0].clip.shape[-2:]
    if made.shape[-2:] == size:
        return made
    flat = torch.nn.functional.interpolate(made.flatten(0, 1), size, mode="bilinear", antialias=True)
    return flat.unflatten(0, made.shape[:2]).clamp(0, 1)


def true_clips(device: torch.device) -> VideoSampler:
    """A sampler that returns the held-out stickers themselves."""
    return VideoSampler(rgba_of, 0, "true", is_real=True, seeded=False)


def rgba_of(wanted: Sequence[CaptionedClip], *_: Any) -> Tensor:
    """The captioned clips unchanged, `n f 4 h w`."""
    return torch.stack([one.rgba for one in wanted])


def training_clips(device: torch.device) -> VideoSampler:
    """A sampler that returns stickers of the training split, so that distances are those between two real sets.

    It returns at most as many as other methods generate.
    """

    def stand_in(real: CaptionedSet, least: int) -> list[CaptionedClip]:
        return real.training_clips(max(least, len(real.clips)))

    return VideoSampler(rgba_of, 0, "train", seeded=False, stand_in=stand_in)


def through_codec(device: torch.device, source: str = SHIPPED_TRANSPARENCY) -> VideoSampler:
    """A sampler that encodes held-out stickers to adjusted latents and decodes them: an upper bound on alpha quality.

    Raises:
        UserError: `source` does not exist or does not hold a `TransparencyVAE`.
    """
    loaded = load_network(source, "codec")
    vae = loaded.network
    if not isinstance(vae, TransparencyVAE):
        raise UserError(f"{source} must be a TransparencyVAE, got a {type(vae).__name__}")
    vae.to(device)

    @torch.no_grad()
    def make(wanted: Sequence[CaptionedClip], *_: Any) -> Tensor:
        clips = torch.stack([one.rgba for one in wanted]).to(device)
        frames = rearrange(clips, "n f c h w -> (n f) c h w")
        alpha, color = vae.decode(vae.encode(frames[:, :3], frames[:, 3:]))
        return rearrange(torch.cat([color, alpha], dim=1), "(n f) c h w -> n f c h w", n=len(wanted)).clamp(0, 1)

    return VideoSampler(make, sum(p.numel() for p in vae.parameters()), loaded.digest, rebuilds=True, seeded=False)


def cut_out_after(device: torch.device) -> VideoSampler:
    """A sampler that runs `glassine generate --transparent` with its shipped settings and default number of frames.

    The loop is repeated until it fills the clip, so that frames are as long as those of other methods.
    """
    cut_out = CutoutPipeline.from_pretrained(device=str(device))
    pipeline = TextToStickerPipeline.from_pretrained(MAKES, cut_out, device=str(device))

    def make(wanted: Sequence[CaptionedClip], seeds: Sequence[int], sampling: SamplerConfig) -> Tensor:
        (height, width), frames = shape_of(wanted)
        prompts, own = [one.caption for one in wanted], pipeline.model.usual_frames
        made = stacked(pipeline(prompts, own, height, width, **vars(sampling), seed=seeds, domain=""))
        rounds = -(-frames // own)
        return made.repeat(1, rounds, 1, 1, 1)[:, :frames]

    return pipeline_sampler(make, pipeline.model, cut_out.ildiff)


def alpha_in_latents(device: torch.device, motion: int | None = None) -> VideoSampler:
    """A sampler that runs `glassine generate --transparent --transparency latents` with its shipped settings.

    Args:
        device: where it runs.
        motion: requested amount of motion; None for none.
    """
    pipeline = AnimatePipeline.from_pretrained(ANIMATES, device=str(device))

    def make(wanted: Sequence[CaptionedClip], seeds: Sequence[int], sampling: SamplerConfig) -> Tensor:
        (height, width), frames = shape_of(wanted)
        settings = vars(sampling) | {"guidance_scale": None}  # None: the default of each stage
        prompts = [one.caption for one in wanted]
        return stacked(pipeline(prompts, None, frames, height, width, **settings, seed=seeds, motion=motion, domain=""))

    settings: dict[str, Setting] = {
        "guidance_scale_around_base": pipeline.model.guidance_scale(Animation(), around=True),
        "alpha_levels": str(tuple(pipeline.model.alpha_levels)),
    }
    if motion is not None:
        settings |= {"motion": motion, "motion_guidance_scale": MOTION_GUIDANCE}
    sampler = pipeline_sampler(make, pipeline.model)
    return replace(sampler, reference=pipeline.model.reference_index, settings=settings)


def pipeline_sampler(make: Callable[..., Tensor], *networks: torch.nn.Module) -> VideoSampler:
    """A sampler with the number of parameters and the digest of all `networks`."""
    parameters = sum(p.numel() for network in networks for p in network.parameters())
    return VideoSampler(make, parameters, "-".join(weights_digest(network) for network in networks))


def shape_of(wanted: Sequence[CaptionedClip]) -> tuple[tuple[int, int], int]:
    """Size (height, width) and number of frames of the captioned clips."""
    frames, _, height, width = wanted[0].rgba.shape
    return (height, width), frames


def stacked(stickers: Sequence[Sticker]) -> Tensor:
    """Convert stickers of equal size and length to clips `n f 4 h w` in [0, 1]."""
    return rearrange(torch.from_numpy(np.stack([one.frames for one in stickers])), "n f h w c -> n f c h w") / 255


# rows of Layer-Animate's tables that are not trained by the benchmark
REFERENCES: dict[str, Callable[[torch.device], VideoSampler]] = {
    "true": true_clips,
    "train": training_clips,
    "codec": through_codec,
    "ildiff": cut_out_after,
    "latents": alpha_in_latents,
    **{f"motion_{amount}": partial(alpha_in_latents, motion=amount) for amount in (0, 4, 9)},
}
