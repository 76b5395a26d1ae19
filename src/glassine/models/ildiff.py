"""ILDiff: alpha of an opaque animated sticker by implicit layout distillation (arXiv 2412.20901, section II).

`LayoutHint` is not in the paper. ILDiff predicts alpha from latents and pixels. On a clean flat background closed-form
un-mixing is more precise than a small network; under compression, or if the sticker has colors of the background, it
fails and the network does not. `LayoutHint` computes the closed-form candidates and evidence of damage; the decoder
predicts a weight for each candidate at each pixel, starting from weights that depend on the damage of the frame.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import torch
from einops import rearrange
from torch import Tensor, nn

from glassine.models.classic import ColorProjection, for_damaged_files
from glassine.models.transparency import TestTimeAugmentation, average_views
from glassine.nn.background import BackgroundEvidence, DamageStatistics, estimate_background, spread_small
from glassine.nn.diffusion import zero_module
from glassine.nn.layout_adapter import LayoutAdapter
from glassine.utils.errors import UserError


class LayoutHint(nn.Module):
    """Background evidence, the alphas of classic methods, and a weight for each.

    Args:
        candidates: classic methods `(clip, background) -> alpha b f 1 h w`; by default color projection, once set for
            undamaged pictures and three times for compressed ones.
        width: of the hidden layer from a frame's statistics to weights.

    Trust is learned: a hidden layer over the frame's `DamageStatistics` and how much each two candidates differ.
    """

    def __init__(self, candidates: Sequence[nn.Module] | None = None, width: int = 32) -> None:
        super().__init__()
        self.evidence, self.damage = BackgroundEvidence(), DamageStatistics()
        self.candidates = nn.ModuleList(
            candidates
            or [
                # chosen one after the other on the training split, each for what those before it get wrong
                ColorProjection(tolerance=0.012, band=1),
                for_damaged_files(),
                ColorProjection(tolerance=0.012, band=4, median=5),
                ColorProjection(tolerance=0.05, band=4, median=3, gap=2),
            ]
        )
        count = len(self.candidates)
        statistics = self.damage.channels + count * (count - 1) // 2
        last = zero_module(nn.Linear(width, count + 1))  # equal weights at first
        self.trust = nn.Sequential(nn.Linear(statistics, width), nn.SiLU(), last)

    @property
    def channels(self) -> int:
        """Channels of the hint picture: the evidence and one for each candidate."""
        return self.evidence.channels + len(self.candidates)

    def forward(self, clip: Tensor, background: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """The hint picture `b f k h w`; the n candidates `b f n h w` in [0, 1]; their logits `b f n+1 1 1`.

        `clip` is `b f 3 h w` in [0, 1]; `background` is `b 3` or estimated. The candidates run on the CPU whatever the
        device. Trust is in logits, the decoder's own alpha first.
        """
        hint, alphas, statistics = self.look(clip, background)
        return hint, alphas, self.weigh(statistics)[..., None, None]

    @torch.no_grad()
    def look(self, clip: Tensor, background: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """The hint picture and the candidates as above, and the statistics `b f s` that determine the weights."""
        if background is None:
            background = estimate_background(clip)
        alphas = torch.cat([method(clip, background) for method in self.candidates], dim=2)  # b f n h w
        hint = torch.cat([self.evidence(clip, background), alphas], dim=2)
        return hint, alphas, self.statistics(clip, background, alphas)

    def statistics(self, clip: Tensor, background: Tensor, alphas: Tensor) -> Tensor:
        """Statistics `b f s`: traces of compression, and how far the candidates `b f n h w` disagree."""
        found = torch.cat([self.damage(clip, background), disagreement(alphas)], dim=2)
        # both live along edges, whose share of the pixels falls as pictures grow
        found = found * math.sqrt(clip.shape[-2] * clip.shape[-1]) / 256
        return 8 * (spread_small(found, unit=0.001) - 0.2)  # scales for an even learning rate

    def weigh(self, statistics: Tensor) -> Tensor:
        """Trust `... n+1` in logits, from statistics `... s`."""
        return 4 * self.trust(statistics)


def disagreement(alphas: Tensor) -> Tensor:
    """Mean absolute difference of each two of `b f n h w`: `b f n(n-1)/2`."""
    pairs = list(combinations(range(alphas.shape[2]), 2))
    if not pairs:
        return alphas.new_zeros((*alphas.shape[:2], 0))
    return torch.stack([(alphas[:, :, i] - alphas[:, :, j]).abs().mean((-2, -1)) for i, j in pairs], dim=2)


PixelSource = Literal["reconstruction", "input"]


@dataclass
class ILDiffOutput:
    """Unclipped results of one pass: alpha `b f 1 h w`, straight color `b f 3 h w`, adjusted latents `b f 4 h/8 w/8`.

    `own_alpha` is what the decoder says before other methods' alphas are mixed in; without a hint it is `alpha`.
    `reconstruction` (`b f 3 h w` in [-1, 1], unclipped) is what the frozen VAE decodes from the adjusted latents, where
    the pass needed it.
    """

    alpha: Tensor
    foreground: Tensor
    latents: Tensor
    own_alpha: Tensor
    reconstruction: Tensor | None = None


class ILDiff(nn.Module):
    """Frozen VAE latents plus the layout adapter's features, read by the transparency decoder.

    Args:
        vae: any 8x VAE with the diffusers interface; frozen.
        decoder: LayerDiffuse's `TransparencyDecoder`, fine-tuned here (typed as a module so that a loader may make it).
        adapter: the layout adapter; None gives LayerDiffuse's decoder on plain latents.
        pixel_source: what the decoder's picture is: the VAE's `reconstruction` of the adjusted latents, as in the
            papers, or the `input` itself, which keeps edges that the VAE blurs and saves its decoder.
        hint: `layout_hint.LayoutHint`, ours; None is the paper. The decoder then needs its `channels` as
            `hint_channels` and, as `mix_channels`, one more than it has candidates: alpha becomes a mean of the
            decoder's own and the candidates', with softmax weights from what the decoder gives each pixel and the
            hint each frame.

        alpha_gain: ours; None, the paper, takes the decoder's first channel x for alpha as it is, unclipped. A number
            makes alpha sigmoid(alpha_gain * (x - 0.5)): nearly all of a sticker is quite clear or quite opaque, which
            a saturating function says with ease where a linear one must hit 0 and 1 exactly. At 8, a decoder trained
            without it starts nearly unchanged.

    Raises:
        ValueError: the decoder has other channels than the hint, or the gain is not positive.
    """

    def __init__(
        self,
        vae: nn.Module,
        decoder: nn.Module,
        adapter: LayoutAdapter | None,
        pixel_source: PixelSource = "reconstruction",
        hint: nn.Module | None = None,
        alpha_gain: float | None = None,
    ) -> None:
        super().__init__()
        if alpha_gain is not None and alpha_gain <= 0:
            raise ValueError(f"alpha_gain must be positive, or null for the paper's alpha, got {alpha_gain}")
        self.alpha_gain = alpha_gain
        self.vae = vae.requires_grad_(False).eval()
        self.decoder, self.adapter, self.hint, self.pixel_source = decoder, adapter, hint, pixel_source
        check_hint(decoder, hint)
        for convolutional in (vae, decoder, *([adapter.image_encoder] if adapter is not None else [])):
            convolutional.to(memory_format=torch.channels_last)  # an eighth less time for a clip on a CPU

    def train(self, mode: bool = True) -> "ILDiff":
        """Train mode for all but the VAE, which stays frozen."""
        super().train(mode)
        self.vae.eval()
        return self

    @property
    def temporal_radius(self) -> int:
        """Number of frames on each side that a frame's result depends on."""
        return self.adapter.temporal_radius if self.adapter is not None else 0

    @property
    def size_multiple(self) -> int:
        """Height and width must be multiples of this."""
        stride = int(getattr(self.adapter.image_encoder, "stride", 1)) if self.adapter is not None else 1
        return math.lcm(8, int(getattr(self.decoder, "size_multiple", 1)), stride)

    def adjusted_latents(self, clip: Tensor) -> Tensor:
        """Posterior mean of each frame plus the adapter's output: `b f 3 h w` in [0, 1] to `b f 4 h/8 w/8`.

        Raises:
            UserError: a side is no multiple of what the networks need.
        """
        height, width = clip.shape[-2:]
        if height % self.size_multiple or width % self.size_multiple:
            raise UserError(f"height and width must be multiples of {self.size_multiple}, got {height} x {width}")
        flat = rearrange(clip, "b f c h w -> (b f) c h w")
        latents = self.vae.encode(flat * 2 - 1).latent_dist.mean  # type: ignore[operator]
        latents = rearrange(latents, "(b f) c h w -> b f c h w", f=clip.shape[1])
        if self.adapter is not None:
            latents = latents + self.adapter(clip, tuple(latents.shape[-2:]))
        return latents

    def reconstruct(self, latents: Tensor) -> Tensor:
        """The frozen VAE's decode of `b f 4 h/8 w/8`: `b f 3 h w` in [-1, 1], unclipped."""
        sample = self.vae.decode(rearrange(latents, "b f c h w -> (b f) c h w")).sample  # type: ignore[operator]
        return rearrange(sample, "(b f) c h w -> b f c h w", f=latents.shape[1])

    def forward(
        self, clip: Tensor, background: Tensor | None = None, pixel_source: PixelSource | None = None
    ) -> ILDiffOutput:
        """Decode an opaque `clip` (`b f 3 h w` in [0, 1]) on the flat color `background` (`b 3`, for the hint)."""
        latents = self.adjusted_latents(clip)
        inputs, reconstruction = self.decoder_inputs(clip, latents, background, pixel_source)
        decoded = self.saturate(self.decoder(*inputs[:3]))  # (b f) 4(+m) h w, alpha first
        rgba = self.mix(decoded, *inputs[3:])
        rgba, own = (rearrange(x, "(b f) c h w -> b f c h w", f=clip.shape[1]) for x in (rgba, decoded[:, :1]))
        return ILDiffOutput(rgba[:, :, :1], rgba[:, :, 1:], latents, own, reconstruction)

    def decode(
        self,
        clip: Tensor,
        background: Tensor | None = None,
        pixel_source: PixelSource | None = None,
        tta: TestTimeAugmentation = "none",
        own: slice = slice(None),
        frames_a_pass: int = 8,
        mixed: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """Alpha (`b f 1 h w`) and straight color (`b f 3 h w`), clipped to [0, 1], with test-time augmentation.

        `own` are the frames to decode; the others are only context for the adapter. Without `mixed`, alpha is what the
        decoder says before the hint's candidates are mixed in. Few frames go through the decoder at a time, which
        bounds memory and, on a CPU, saves the page faults that large tensors cost.
        """
        if background is None and self.hint is not None:
            background = estimate_background(clip)  # once, from all frames
        latents, clip = self.adjusted_latents(clip)[:, own], clip[:, own]
        passes = []
        for part, seen in zip(clip.split(frames_a_pass, dim=1), latents.split(frames_a_pass, dim=1), strict=True):
            inputs, _ = self.decoder_inputs(part, seen, background, pixel_source)
            inputs = inputs if mixed else inputs[:3]
            rgba = average_views(self.read, inputs, tta)
            passes.append(rearrange(rgba, "(b f) c h w -> b f c h w", f=part.shape[1]))
        rgba = torch.cat(passes, dim=1)
        return rgba[:, :, :1], rgba[:, :, 1:]

    def decoder_inputs(
        self, clip: Tensor, latents: Tensor, background: Tensor | None, pixel_source: PixelSource | None
    ) -> tuple[list[Tensor], Tensor | None]:
        """Picture, latents (and hint, candidates, trust) with frames in the batch; then the reconstruction."""
        picture, reconstruction = self.picture(clip, latents, pixel_source)
        inputs = [picture, latents, *(self.hint(clip, background) if self.hint is not None else ())]
        return [rearrange(x, "b f c h w -> (b f) c h w") for x in inputs], reconstruction

    def picture(
        self, clip: Tensor, latents: Tensor, pixel_source: PixelSource | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """What the decoder looks at, `b f 3 h w` in [0, 1], and the reconstruction where that is from it."""
        if (pixel_source or self.pixel_source) == "input":
            return clip, None
        reconstruction = self.reconstruct(latents)
        return (reconstruction / 2 + 0.5).clamp(0, 1), reconstruction

    def read(self, pixel: Tensor, latents: Tensor, hint: Tensor | None = None, *mixed: Tensor) -> Tensor:
        """Straight RGBA of single frames, `n 4 h w`, alpha first, unclipped."""
        return self.mix(self.saturate(self.decoder(pixel, latents, hint)), *mixed)

    def saturate(self, decoded: Tensor) -> Tensor:
        """`n 4(+m) h w` with `alpha_gain` applied to the first channel."""
        if self.alpha_gain is None:
            return decoded
        return torch.cat([(self.alpha_gain * (decoded[:, :1] - 0.5)).sigmoid(), decoded[:, 1:]], dim=1)

    def mix(self, decoded: Tensor, alphas: Tensor | None = None, trust: Tensor | None = None) -> Tensor:
        """The decoder's alpha and the candidates' (`n m-1 h w`), weighed by the last m channels of `n 4+m h w`.

        `trust` (`n m 1 1`) is added to these.
        """
        if alphas is None or trust is None:
            return decoded[:, :4]
        choices = torch.cat([decoded[:, :1], alphas], dim=1)  # n m h w
        alpha = ((decoded[:, 4:] + trust).softmax(dim=1) * choices).sum(dim=1, keepdim=True)  # n 1 h w
        return torch.cat([alpha, decoded[:, 1:4]], dim=1)


def check_hint(decoder: nn.Module, hint: nn.Module | None) -> None:
    """Raise ValueError where the decoder does not read what the hint gives, so that it is said before training."""
    needed = (0, 0) if hint is None else (hint.channels, len(hint.candidates) + 1)  # type: ignore[arg-type]
    config = getattr(decoder, "config", None)  # of diffusers; other decoders see for themselves
    if config is None:
        return
    given = (config["hint_channels"], config["mix_channels"])
    if given != needed:
        raise ValueError(
            f"hint_channels and mix_channels of the decoder must be {needed[0]} and {needed[1]} for this hint, got "
            f"{given[0]} and {given[1]}: change them, or the hint's candidates"
        )
