"""ILDiff: alpha of an opaque animated sticker by implicit layout distillation (arXiv 2412.20901, section II).

`LayoutHint` is not in the paper. ILDiff predicts alpha from latents and pixels. On a clean flat background, closed-form
un-mixing is more precise than a small network. It fails under compression, or if the sticker contains the background
color, where the network still works. `LayoutHint` therefore computes closed-form candidates and statistics of
compression damage; the decoder predicts a weight per candidate and pixel, added to weights per frame that depend on the
damage.
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
from glassine.nn.background import BackgroundEvidence, DamageStatistics, estimate_background, spread_small
from glassine.nn.diffusion import zero_module
from glassine.nn.layout_adapter import LayoutAdapter
from glassine.nn.view_averaging import TestTimeAugmentation, average_views
from glassine.utils.errors import UserError


class LayoutHint(nn.Module):
    """Background evidence, candidate alphas of classic methods, and a weight per frame for each candidate.

    Args:
        candidates: classic methods `(clip, background) -> alpha b f 1 h w`; by default color projection with four
            settings, one for undamaged files and three for compressed ones.
        width: hidden channels of the network that predicts the weights.

    The weights ("trust") are predicted by a network with one hidden layer from the frame's `DamageStatistics` and the
    differences between all pairs of candidates.
    """

    def __init__(self, candidates: Sequence[nn.Module] | None = None, width: int = 32) -> None:
        super().__init__()
        self.evidence, self.damage = BackgroundEvidence(), DamageStatistics()
        self.candidates = nn.ModuleList(
            candidates
            or [
                # selected greedily on the training split, each for the pixels that the earlier ones get wrong
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
        """Channels of the hint image: the evidence and one per candidate."""
        return self.evidence.channels + len(self.candidates)

    def forward(self, clip: Tensor, background: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Hint image, candidates and weights of a clip.

        Args:
            clip: opaque clips `b f 3 h w` in [0, 1].
            background: flat background color `b 3` in [0, 1]; None estimates it.

        Returns:
            The hint image `b f k h w`, the n candidate alphas `b f n h w` in [0, 1] (computed on the CPU for any
            device), and the weights as logits `b f n+1 1 1`, of which the first is for the decoder's own alpha.
        """
        hint, alphas, statistics = self.look(clip, background)
        return hint, alphas, self.weigh(statistics)[..., None, None]

    @torch.no_grad()
    def look(self, clip: Tensor, background: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Hint image and candidates as in `forward`, and the statistics `b f s` from which `weigh` predicts weights."""
        if background is None:
            background = estimate_background(clip)
        alphas = torch.cat([method(clip, background) for method in self.candidates], dim=2)  # b f n h w
        hint = torch.cat([self.evidence(clip, background), alphas], dim=2)
        return hint, alphas, self.statistics(clip, background, alphas)

    def statistics(self, clip: Tensor, background: Tensor, alphas: Tensor) -> Tensor:
        """Statistics `b f s`: damage by compression, and the disagreement between the candidates `b f n h w`."""
        found = torch.cat([self.damage(clip, background), disagreement(alphas)], dim=2)
        # both are nonzero mostly along edges, whose share of the pixels falls with the image size
        found = found * math.sqrt(clip.shape[-2] * clip.shape[-1]) / 256
        return 8 * (spread_small(found, unit=0.001) - 0.2)  # to a similar scale, so that one learning rate fits

    def weigh(self, statistics: Tensor) -> Tensor:
        """Weights as logits `... n+1`, from statistics `... s`."""
        return 4 * self.trust(statistics)


def disagreement(alphas: Tensor) -> Tensor:
    """Mean absolute difference of all pairs of the n alphas `b f n h w`: `b f n(n-1)/2`."""
    pairs = list(combinations(range(alphas.shape[2]), 2))
    if not pairs:
        return alphas.new_zeros((*alphas.shape[:2], 0))
    return torch.stack([(alphas[:, :, i] - alphas[:, :, j]).abs().mean((-2, -1)) for i, j in pairs], dim=2)


PixelSource = Literal["reconstruction", "input"]


@dataclass
class ILDiffOutput:
    """Unclipped results of a forward pass.

    Attributes:
        alpha: `b f 1 h w`.
        foreground: straight color `b f 3 h w`.
        latents: adjusted latents `b f 4 h/8 w/8`.
        own_alpha: the decoder's alpha `b f 1 h w` before candidates are mixed in; equals `alpha` without a hint.
        reconstruction: the frozen VAE's decoding of the adjusted latents, `b f 3 h w` in [-1, 1], unclipped; None if
            the pass did not compute it.
    """

    alpha: Tensor
    foreground: Tensor
    latents: Tensor
    own_alpha: Tensor
    reconstruction: Tensor | None = None


class ILDiff(nn.Module):
    """Frozen VAE latents plus the layout adapter's output, decoded by the transparency decoder (figure 1).

    Args:
        vae: any 8x VAE with the diffusers interface; frozen.
        decoder: LayerDiffuse's `TransparencyDecoder`, fine-tuned here (typed as a module so that a loader can create
            it).
        adapter: the layout adapter; None gives LayerDiffuse's decoder on plain latents.
        pixel_source: the decoder's input image: the VAE's `reconstruction` of the adjusted latents, as in the papers,
            or the `input` clip itself, which preserves edges that the VAE blurs and saves the pass of the VAE's
            decoder.
        hint: a `LayoutHint` (ours); None as in the paper. The decoder then needs `hint_channels` equal to
            `hint.channels`, and `mix_channels` equal to the number of candidates plus 1. Alpha is a mean of the
            decoder's own alpha and the candidates; its softmax weights are the sum of the decoder's logits per pixel
            and the hint's logits per frame.
        alpha_gain: ours; None, as in the paper, uses the decoder's first channel x as alpha, unclipped. A number g
            gives alpha = sigmoid(g * (x - 0.5)): nearly all pixels are fully clear or fully opaque, which is easier for
            a saturating function than for a linear one. With 8, the results of a decoder trained without gain hardly
            change at first.

    Raises:
        ValueError: the decoder's hint or mix channels do not fit the hint, or `alpha_gain` is not positive.
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
            convolutional.to(memory_format=torch.channels_last)  # saves an eighth of the time per clip on a CPU

    def train(self, mode: bool = True) -> "ILDiff":
        """Set the mode of all parts except the VAE, which stays in eval mode."""
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
            UserError: height or width is not a multiple of `size_multiple`.
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
        """The frozen VAE's decoding of latents `b f 4 h/8 w/8`: `b f 3 h w` in [-1, 1], unclipped."""
        sample = self.vae.decode(rearrange(latents, "b f c h w -> (b f) c h w")).sample  # type: ignore[operator]
        return rearrange(sample, "(b f) c h w -> b f c h w", f=latents.shape[1])

    def forward(
        self, clip: Tensor, background: Tensor | None = None, pixel_source: PixelSource | None = None
    ) -> ILDiffOutput:
        """Predict alpha and color of opaque clips.

        Args:
            clip: `b f 3 h w` in [0, 1].
            background: flat background color `b 3` for the hint; None estimates it.
            pixel_source: overrides the attribute of this name.

        Raises:
            UserError: height or width is not a multiple of `size_multiple`.
        """
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
        """Alpha `b f 1 h w` and straight color `b f 3 h w`, clipped to [0, 1].

        Args:
            clip: opaque clips `b f 3 h w` in [0, 1].
            background: flat background color `b 3` for the hint; None estimates it from all frames.
            pixel_source: overrides the attribute of this name.
            tta: test-time augmentation, see `average_views`.
            own: frames to decode; the others only provide context for the adapter.
            frames_a_pass: frames decoded at a time, to limit memory; on a CPU, small passes are also faster because
                large tensors cause page faults.
            mixed: False returns the decoder's own alpha, without the hint's candidates.

        Raises:
            UserError: height or width is not a multiple of `size_multiple`.
        """
        if background is None and self.hint is not None:
            background = estimate_background(clip)  # from all frames, not only from those of one pass
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
        """The decoder's inputs `(b f) c h w`, and the reconstruction if it was computed.

        The inputs are image and latents, and with a hint also hint image, candidates and weights.
        """
        picture, reconstruction = self.picture(clip, latents, pixel_source)
        inputs = [picture, latents, *(self.hint(clip, background) if self.hint is not None else ())]
        return [rearrange(x, "b f c h w -> (b f) c h w") for x in inputs], reconstruction

    def picture(
        self, clip: Tensor, latents: Tensor, pixel_source: PixelSource | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """The decoder's input image `b f 3 h w` in [0, 1], and the reconstruction if it was computed from that."""
        if (pixel_source or self.pixel_source) == "input":
            return clip, None
        reconstruction = self.reconstruct(latents)
        return (reconstruction / 2 + 0.5).clamp(0, 1), reconstruction

    def read(self, pixel: Tensor, latents: Tensor, hint: Tensor | None = None, *mixed: Tensor) -> Tensor:
        """Straight RGBA of single frames, `n 4 h w`, alpha first, unclipped."""
        return self.mix(self.saturate(self.decoder(pixel, latents, hint)), *mixed)

    def saturate(self, decoded: Tensor) -> Tensor:
        """Apply `alpha_gain` to the first channel of `n 4(+m) h w`."""
        if self.alpha_gain is None:
            return decoded
        return torch.cat([(self.alpha_gain * (decoded[:, :1] - 0.5)).sigmoid(), decoded[:, 1:]], dim=1)

    def mix(self, decoded: Tensor, alphas: Tensor | None = None, trust: Tensor | None = None) -> Tensor:
        """Mix the candidates into the decoder's alpha: RGBA `n 4 h w`, alpha first.

        Args:
            decoded: the decoder's output `n 4+m h w`: alpha, color and m logits per pixel.
            alphas: the m - 1 candidates `n m-1 h w`; None returns the first four channels of `decoded`.
            trust: logits per frame `n m 1 1`, added to those per pixel.
        """
        if alphas is None or trust is None:
            return decoded[:, :4]
        choices = torch.cat([decoded[:, :1], alphas], dim=1)  # n m h w
        alpha = ((decoded[:, 4:] + trust).softmax(dim=1) * choices).sum(dim=1, keepdim=True)  # n 1 h w
        return torch.cat([alpha, decoded[:, 1:4]], dim=1)


def check_hint(decoder: nn.Module, hint: nn.Module | None) -> None:
    """Raise ValueError if the decoder's hint and mix channels do not fit the hint, before a training fails on it."""
    needed = (0, 0) if hint is None else (hint.channels, len(hint.candidates) + 1)  # type: ignore[arg-type]
    config = getattr(decoder, "config", None)  # of diffusers; decoders of other kinds are not checked
    if config is None:
        return
    given = (config["hint_channels"], config["mix_channels"])
    if given != needed:
        raise ValueError(
            f"hint_channels and mix_channels of the decoder must be {needed[0]} and {needed[1]} for this hint, got "
            f"{given[0]} and {given[1]}: change them, or the hint's candidates"
        )
