"""VideoFactory's swapped cross-attention (Wang et al., arXiv 2305.10874), as far as it can be read."""

from dataclasses import dataclass
from typing import Any

from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from einops import rearrange
from torch import Tensor, nn

from glassine.nn.temporal.method import TemporalAttention, TemporalMethod, silence
from glassine.nn.temporal.windows import from_windows, to_windows, window_counts


@dataclass(frozen=True)
class VideoFactory(TemporalMethod):
    """Spatial and temporal features attend to each other in 3D windows, and take turns in asking.

    From the abstract: "a swapped cross-attention mechanism in 3D windows that alternates the 'query' role between
    spatial and temporal blocks". From VSD2M: its parameters, 1.847 B, 12 M more than VideoLDM; one C x C matrix at each
    of the 16 attentions inside the UNet's blocks gives 1847.7 M, a whole cross-attention there 1.885 B.

    The rest is ours. The second self-attention of diffusers' layer becomes the cross-attention, so that it costs
    nothing more and starts from trained weights where there are some; the matrix carries on the features that were
    asked, which would be lost otherwise. `transformer_in`, which follows no spatial block, and the convolutions stay.

    Args:
        window: frames, height and width of a window at most; see `window_counts`. Not to be read from the abstract; 8
            spans all frames of a sticker.
        zero_init: see `MakeAVideo`.
    """

    window: tuple[int, int, int] = (8, 8, 8)
    zero_init: bool = True

    def attention(self, layer: TransformerTemporalModel, index: int) -> nn.Module:
        """Swapped attention in the blocks: spatial features ask in the first, temporal ones in the second, in turns."""
        if self.zero_init:
            silence(layer.proj_out)
        if index == 0:
            return layer
        swapped = SwappedAttention(layer, self.window, spatial_asks=index % 2 == 1)
        if self.zero_init:
            silence(swapped.carry)
        return swapped


class SwappedAttention(TemporalAttention):
    """Attention over the frames of a pixel, then cross-attention in windows between its input and its output.

    Args:
        base: layer whose parts are used; its second self-attention attends across instead.
        window: frames, height and width at most.
        spatial_asks: whether the spatial features are the queries and the temporal ones the keys, or the reverse.
    """

    def __init__(self, base: TransformerTemporalModel, window: tuple[int, int, int], spatial_asks: bool) -> None:
        super().__init__()
        self.base, self.window, self.spatial_asks = base, window, spatial_asks
        self.carry = nn.Linear(base.proj_out.in_features, base.proj_out.out_features, bias=False)

    def over_time(self, x: Tensor, num_frames: int) -> Tensor:
        """`(b f) c h w` to the same."""
        block: Any = self.base.transformer_blocks[0]
        sides = (num_frames, x.shape[-2], x.shape[-1])
        y = self.base.norm(rearrange(x, "(b f) c h w -> b c f h w", f=num_frames))
        spatial = self.base.proj_in(rearrange(y, "b c f h w -> b f h w c"))
        pixels = rearrange(spatial, "b f h w c -> (b h w) f c")
        pixels = pixels + block.attn1(block.norm1(pixels))
        temporal = rearrange(pixels, "(b h w) f c -> b f h w c", h=sides[1], w=sides[2])

        asking, asked = (spatial, temporal) if self.spatial_asks else (temporal, spatial)
        counts = window_counts(sides, self.window)
        queries, keys = (to_windows(block.norm2(features), counts) for features in (asking, asked))  # n t c
        asking = asking + from_windows(block.attn2(queries, encoder_hidden_states=keys), counts, sides)
        asking = asking + block.ff(block.norm3(asking))
        out = self.base.proj_out(asking) + self.carry(asked)
        return x + rearrange(out, "b f h w c -> (b f) c h w")
