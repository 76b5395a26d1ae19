"""Make-A-Video (Singer et al., arXiv 2209.14792): space first, then time at each pixel alone."""

from dataclasses import dataclass

from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from torch import nn

from glassine.nn.temporal.method import TemporalMethod, silence


@dataclass(frozen=True)
class MakeAVideo(TemporalMethod):
    """Pseudo-3D convolutions and attention: diffusers' own layers, `3 x 1 x 1` convolutions and frames of one pixel.

    The base of all methods here, as VSD2M has it. Weights of ModelScope's UNet fit under their own names.

    Args:
        zero_init: start the attentions' last projection at zero, as the convolutions' last one is in diffusers, so that
            an untrained network is the image network on every frame. Reimplementations report that Make-A-Video
            starts as the identity; diffusers leaves its attentions random. Without meaning where weights are loaded.
    """

    zero_init: bool = True

    def attention(self, layer: TransformerTemporalModel, index: int) -> nn.Module:
        """The layer itself."""
        if self.zero_init:
            silence(layer.proj_out)
        return layer
