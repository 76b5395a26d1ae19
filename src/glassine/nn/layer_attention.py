"""LayerDiffuse's attention over image layers (arXiv 2402.17113), for diffusers' UNets.

As the released code has it (`attention_sharing.py` of `sd-forge-layerdiffuse`), every attention layer of SD 1.5's UNet,
self and cross, gets a LoRA and, behind it, attention over the layers that are made together: with x the input of the
attention layer and a its output, `a + o(attention over layers of i(norm(x + a)))`. In the network for transparent
pictures there is one layer. Attention over one is its value, whatever query and key are: `a + o(v(i(norm(x + a))))`;
the file's `temporal_q` and `temporal_k` have no effect, and the class does without them. LoRA is merged into the
projections when it is loaded (`glassine.pretrained.layer_diffuse_attention`).
"""

from typing import Any

from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor, nn

MOTION = "motion_modules"


class LayerAttention(nn.Module):
    """Attention processor: the layer's own attention, then that over a single layer.

    The last projection starts at zero, so that an untrained one changes nothing. Names of weights are the file's.

    Args:
        width: of the tokens.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.temporal_n = nn.LayerNorm(width, eps=1e-6)
        self.temporal_i = nn.Linear(width, width)
        self.temporal_v = nn.Linear(width, width)
        self.temporal_o = nn.Linear(width, width)
        nn.init.zeros_(self.temporal_o.weight)
        nn.init.zeros_(self.temporal_o.bias)
        self.attention = AttnProcessor2_0()

    def forward(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """Tokens `b n d` to the same, as diffusers calls its processors."""
        attended = self.attention(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
        return self.after(hidden_states, attended)

    def after(self, hidden_states: Tensor, attended: Tensor) -> Tensor:
        """What follows the attention layer's own result `attended`, `b n d` both."""
        x = self.temporal_i(self.temporal_n(hidden_states + attended))
        return attended + self.temporal_o(self.temporal_v(x))


def spatial_attentions(unet: nn.Module) -> dict[str, Any]:
    """The attention layers of an image UNet, or of the spatial part of a video UNet, in LayerDiffuse's order.

    That is the way down, the way up, then the middle; in each block self-attention before cross-attention.
    """
    parts = (unet.get_submodule(part).named_modules(prefix=part) for part in ("down_blocks", "up_blocks", "mid_block"))
    layers = {name: layer for part in parts for name, layer in part if isinstance(layer, Attention)}
    return {name: layer for name, layer in layers.items() if MOTION not in name}


def add_layer_attention(unet: nn.Module) -> None:
    """Give every spatial attention layer of one of diffusers' UNets its `LayerAttention`, in place."""
    for layer in spatial_attentions(unet).values():
        layer.set_processor(LayerAttention(layer.to_out[0].out_features))
