"""VideoLDM (Blattmann et al., arXiv 2304.08818): each temporal layer mixed with what it was given."""

from dataclasses import dataclass

from diffusers.models.resnet import TemporalConvLayer
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from torch import Tensor, nn

from glassine.nn.temporal.method import TemporalAttention, TemporalMethod, silence
from glassine.nn.temporal.mix import LearnedMix


@dataclass(frozen=True)
class VideoLDM(TemporalMethod):
    """Make-A-Video's layers with "trainable parameters to balance the contribution of 2D and 3D information" (VSD2M).

    One number a layer, at all attentions and convolutions: `a * spatial + (1 - a) * temporal`, where the spatial part
    is what comes into the layer. We keep a within (0, 1) by a sigmoid; a public reimplementation clamps it.

    Args:
        share: of the temporal part at first, 1 - a. The reimplementation starts at 0; with `zero_init` any number
            starts as the image network, and 0.5 lets both learn. Take one close to 1, such as 0.99, to start from
            temporal layers that were trained without a mix, as ModelScope's.
        zero_init: see `MakeAVideo`.
    """

    share: float = 0.5
    zero_init: bool = True

    def attention(self, layer: TransformerTemporalModel, index: int) -> nn.Module:
        """The layer, mixed."""
        if self.zero_init:
            silence(layer.proj_out)
        return MixedAttention(layer, self.share)

    def convolution(self, layer: TemporalConvLayer) -> nn.Module:
        """The layer, mixed."""
        return MixedConvolution(layer, self.share)


class MixedAttention(TemporalAttention):
    """A temporal attention `base`, mixed with its input; `share` is the output's at first."""

    def __init__(self, base: TransformerTemporalModel, share: float) -> None:
        super().__init__()
        self.base, self.mix = base, LearnedMix(share)

    def over_time(self, x: Tensor, num_frames: int) -> Tensor:
        """`(b f) c h w` to the same."""
        return self.mix(x, self.base(x, num_frames=num_frames, return_dict=False)[0])


class MixedConvolution(nn.Module):
    """A temporal convolution `base`, mixed with its input; `share` is the output's at first."""

    def __init__(self, base: TemporalConvLayer, share: float) -> None:
        super().__init__()
        self.base, self.mix = base, LearnedMix(share)

    def forward(self, hidden_states: Tensor, num_frames: int = 1) -> Tensor:
        """`(b f) c h w` to the same."""
        return self.mix(hidden_states, self.base(hidden_states, num_frames=num_frames))
