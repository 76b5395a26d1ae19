"""Two adapters: ILDiff's layout adapter and LayerDiffuse's attention over image layers.

`LayoutAdapter` (arXiv 2412.20901, section II-B) adds implicit layout features, smoothed over time, to the latents.

`LayerAttention` (arXiv 2402.17113) follows the released code (`attention_sharing.py` of `sd-forge-layerdiffuse`): every
attention layer of SD 1.5's UNet, self and cross, has LoRA and is followed by attention over the image layers that are
generated together. With input x and output a of the attention layer, the result is
`a + o(attention over layers of i(norm(x + a)))`. Transparent images have a single layer, and attention over one element
returns its value for any query and key: `a + o(v(i(norm(x + a))))`. Therefore `temporal_q` and `temporal_k` of the
weight file have no effect and are left out. LoRA is merged when loaded (`glassine.pretrained.layer_diffuse`).
"""

from typing import Any

from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from glassine.nn.diffusion import zero_module


class LayoutAdapter(nn.Module):
    """Image encoder, `depth` 3D convolutions with GroupNorm and ReLU, a 2D convolution, adaptive average pooling.

    The 1x1 convolution from the encoder's channels to `width` is ours; the paper does not mention one. If the encoder's
    grid is coarser than that of the latents (stride 16 instead of 8), the pooling repeats values.

    Args:
        image_encoder: images `n 3 h w` in [0, 1] to features `n d h' w'`; must have `out_channels` (d). In the paper, a
            lightweight network distilled from SAM.
        depth: number of 3D convolutions over (frame, height, width); 5 is best in the paper's ablation (table III).
            With 0, there is no information flow between frames.
        width: channels of the 3D convolutions; not given in the paper.
        latent_channels: channels of the latents to which the output is added.
        norm_num_groups: groups of every GroupNorm. Its statistics are per frame: statistics over the clip would mix
            frames even for depth 0, and results for long stickers would depend on how they are split into chunks.
        zero_init: zero-initialize the 2D convolution, so that an untrained adapter does not change the latents. Not
            mentioned in the paper, but implied by "harmless injection".
    """

    def __init__(
        self,
        image_encoder: nn.Module,
        depth: int = 5,
        width: int = 64,
        latent_channels: int = 4,
        norm_num_groups: int = 8,
        zero_init: bool = True,
    ) -> None:
        super().__init__()
        self.image_encoder = image_encoder
        self.conv_in = nn.Conv2d(int(image_encoder.out_channels), width, 1)  # type: ignore[arg-type]
        self.temporal_layers = nn.ModuleList(
            nn.ModuleDict({"conv": nn.Conv3d(width, width, 3, padding=1), "norm": nn.GroupNorm(norm_num_groups, width)})
            for _ in range(depth)
        )
        self.conv_out = nn.Conv2d(width, latent_channels, 3, padding=1)
        if zero_init:
            zero_module(self.conv_out)

    @property
    def temporal_radius(self) -> int:
        """Number of frames on each side that a frame's features depend on."""
        return len(self.temporal_layers)

    def forward(self, clip: Tensor, grid: tuple[int, int]) -> Tensor:
        """The offset `b f c *grid` for the latents of clips `b f 3 h w` in [0, 1]; `grid` is their size (h, w)."""
        frames = clip.shape[1]
        x = self.conv_in(self.image_encoder(rearrange(clip, "b f c h w -> (b f) c h w")))  # (b f) d h' w'
        for layer in self.temporal_layers:
            y = layer["conv"](rearrange(x, "(b f) d h w -> b d f h w", f=frames))  # type: ignore[index]
            x = F.relu(layer["norm"](rearrange(y, "b d f h w -> (b f) d h w")))  # type: ignore[index]
        x = F.adaptive_avg_pool2d(self.conv_out(x), grid)  # (b f) c h/8 w/8
        return rearrange(x, "(b f) c h w -> b f c h w", f=frames)


MOTION = "motion_modules"


class LayerAttention(nn.Module):
    """Attention processor: the layer's own attention, followed by attention over a single image layer.

    The last projection is zero-initialized, so that an untrained processor changes nothing. Weights have the names of
    the released file.

    Args:
        width: channels of the tokens.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.temporal_n = nn.LayerNorm(width, eps=1e-6)
        self.temporal_i = nn.Linear(width, width)
        self.temporal_v = nn.Linear(width, width)
        self.temporal_o = nn.Linear(width, width)
        zero_module(self.temporal_o)
        self.attention = AttnProcessor2_0()

    def forward(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """Tokens `b n d` to the same shape, with the signature of diffusers' processors."""
        attended = self.attention(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
        return self.after(hidden_states, attended)

    def after(self, hidden_states: Tensor, attended: Tensor) -> Tensor:
        """The attention over layers, applied to input and output (`attended`) of an attention layer, `b n d` each."""
        x = self.temporal_i(self.temporal_n(hidden_states + attended))
        return attended + self.temporal_o(self.temporal_v(x))


def spatial_attentions(unet: nn.Module) -> dict[str, Any]:
    """The attention layers of an image UNet, or of the spatial part of a video UNet, in LayerDiffuse's order.

    The order is down blocks, up blocks, mid block; in each block, self-attention before cross-attention.
    """
    parts = (unet.get_submodule(part).named_modules(prefix=part) for part in ("down_blocks", "up_blocks", "mid_block"))
    layers = {name: layer for part in parts for name, layer in part if isinstance(layer, Attention)}
    return {name: layer for name, layer in layers.items() if MOTION not in name}


def add_layer_attention(unet: nn.Module) -> None:
    """Add a `LayerAttention` to every spatial attention layer of a diffusers UNet, in place."""
    for layer in spatial_attentions(unet).values():
        layer.set_processor(LayerAttention(layer.to_out[0].out_features))
