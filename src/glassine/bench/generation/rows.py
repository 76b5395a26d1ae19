"""What makes clips: a trained network of any of VSD2M's methods, called in one way."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from glassine.bench.generation.test_set import CaptionedClip
from glassine.bench.loading import load_network
from glassine.models.sampling import SCALE_WITH_MEAN, SamplerConfig
from glassine.models.text_to_video import TextToVideo
from glassine.models.transparent_video import TransparentVideo
from glassine.models.video_gpt import TokenSampling, VideoGPT
from glassine.nn.diffusion import RESCALE
from glassine.utils.errors import UserError

Tell = Callable[[int, int], None]
# few steps, since a table is of many clips; the times in it are of the paper's 25 steps of DDIM
SHORT = SamplerConfig(num_inference_steps=8, guidance_scale=SCALE_WITH_MEAN, solver="dpm++", guidance_rescale=RESCALE)
SHORT_SETTINGS: dict[str, float | int | str] = {
    "sampler": f"{SHORT.solver} {SHORT.num_inference_steps}",
    "guidance_scale": SCALE_WITH_MEAN,
    "guidance_rescale": SHORT.guidance_rescale,
}
PAPER = SamplerConfig(num_inference_steps=25, guidance_scale=SCALE_WITH_MEAN, solver="ddim")


@dataclass(frozen=True)
class VideoSampler:
    """A network that makes clips.

    Attributes:
        make: captioned clips, seeds and the way of sampling to clips `n f 3 h w` in [0, 1].
        parameters: of all its networks.
        digest: changes with any weight.
        rebuilds: whether its clips are the wanted ones again, so that there is a truth for their alpha.
        own_rate: whether its clips have the wanted ones' frames a second; what is made anew has the usual 8.
        reference: number of the frame that is the base image, in clips of so many frames; the middle where there is
            none, so that the same frame is looked at.
        settings: where it does not sample as it is told, for records.
    """

    make: Callable[[Sequence[CaptionedClip], Sequence[int], SamplerConfig], Tensor]
    parameters: int
    digest: str
    rebuilds: bool = False
    own_rate: bool = False
    reference: Callable[[int], int] = lambda frames: frames // 2
    settings: Mapping[str, float | int | str] = field(default_factory=dict)

    def clips(self, wanted: Sequence[CaptionedClip], batch: int = 4, tell: Tell = lambda *_: None) -> Tensor:
        """A clip for each caption; its number is its seed. `tell` is called with the clips done, and of how many."""
        made = []
        for start in range(0, len(wanted), batch):
            part = wanted[start : start + batch]
            made.append(self.make(part, range(start, start + len(part)), SHORT).cpu())
            tell(start + len(part), len(wanted))
        return torch.cat(made)


def load_maker(source: str, part: str, device: torch.device) -> VideoSampler:
    """The network that a run left behind, or a bundle's.

    Args:
        source: see `load_network`.
        part: argument of the task that holds the network.
        device: where it runs.

    Raises:
        UserError: nothing there, or a network that makes no clips.
    """
    loaded = load_network(source, part)
    network = loaded.network.to(device)
    parameters = sum(p.numel() for p in network.parameters())
    if isinstance(network, TransparentVideo) and network.needs_base:
        make = partial(from_captions, network)
        return VideoSampler(make, parameters, loaded.digest, reference=network.reference_index)
    if isinstance(network, TextToVideo):
        return VideoSampler(partial(from_captions, network), parameters, loaded.digest)
    if isinstance(network, VideoGPT):
        return VideoSampler(partial(from_tags, network), parameters, loaded.digest)
    raise UserError(
        f"{source} holds a {type(network).__name__}, which makes no clips; give a TextToVideo or a VideoGPT"
    )


def from_captions(
    network: TextToVideo, wanted: Sequence[CaptionedClip], seeds: Sequence[int], sampling: SamplerConfig
) -> Tensor:
    """Clips for the captions."""
    frames, _, height, width = wanted[0].clip.shape
    captions = [one.caption for one in wanted]
    return network.sample(captions, list(seeds), (height, width), frames, sampling=sampling)


def from_tags(network: VideoGPT, wanted: Sequence[CaptionedClip], seeds: Sequence[int], _: SamplerConfig) -> Tensor:
    """Clips for the trigger words; VideoGPT "can only be controlled with tags". Enlarged to the size that is wanted."""
    tags = [list(one.trigger_words) for one in wanted]
    made = network.sample(tags, TokenSampling(), torch.Generator().manual_seed(seeds[0]))  # n f 3 h w
    size = wanted[0].clip.shape[-2:]
    if made.shape[-2:] == size:
        return made
    flat = torch.nn.functional.interpolate(made.flatten(0, 1), size, mode="bilinear", antialias=True)
    return flat.unflatten(0, made.shape[:2]).clamp(0, 1)
