"""Inter-Frame Attention (Layer-Animate, section III-B, equation 3), an attention processor of diffusers' UNets."""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from glassine.nn.layout_adapter import LayerAttention, spatial_attentions
from glassine.utils.errors import UserError

Reference = Literal["middle", "first"] | int
Mode = Literal["add", "replace"]


@dataclass
class CurrentPass:
    """State of the forward pass that the layers need and diffusers does not pass to them.

    Attributes:
        frames: of every clip; tokens come with clips and frames in one dimension.
        still: whether frames are independent pictures.
    """

    frames: int = 1
    still: bool = False

    def recomputed(self, layer: nn.Module, *inputs: Any, **options: Any) -> Any:
        """The forward pass of the layer's class, checkpointed if gradients are enabled.

        The backward pass recomputes it for the same number of frames, whatever the network has processed since.
        """
        if not torch.is_grad_enabled():
            return type(layer).forward(layer, *inputs, **options)
        return checkpoint(partial(self.repeated, self.frames, layer), *inputs, use_reentrant=False, **options)

    def repeated(self, frames: int, layer: nn.Module, *inputs: Any, **options: Any) -> Any:
        """The forward pass of the layer's class for clips of that many frames."""
        after, self.frames = self.frames, frames
        try:
            return type(layer).forward(layer, *inputs, **options)
        finally:
            self.frames = after


class InterFrameAttention(nn.Module):
    """`softmax(Q' K_m^T / sqrt(d)) V_m W_O'` beside a spatial self-attention; K_m and V_m are the reference frame's.

    Q' = X W_Q'. W_Q' starts as the self-attention's W_Q, W_O' at zero, so that the layer starts unchanged, bit for bit.
    K and V go through the self-attention's own weights. W_Q' and W_O' are all that is trained (24,780,800 parameters in
    SD 1.5: two matrices at each of 16 layers; the paper has a matrix W_O', so there is no bias). Every frame attends to
    the reference frame, including itself.

    Args:
        attn: the self-attention (diffusers' `Attention`), for sizes and first weights.
        current: of the network.
        reference: which frame: `middle` is the paper, number f // 2 of f (8 of 16); `first` is its predecessors, for
            instance I2V-Adapter (arXiv 2312.16693); or a number, from 0.
        mode: `add` is the paper. `replace` is what AnimateZero does (arXiv 2312.03793): keys and values of the
            reference frame stand in for each frame's own. W_O' then starts as W_O, and the layer is AnimateZero's.

    Raises:
        UserError: an unknown reference or mode; when called, a clip without such a frame.
    """

    def __init__(self, attn: Any, current: CurrentPass, reference: Reference = "middle", mode: Mode = "add") -> None:
        super().__init__()
        if mode not in get_args(Mode):
            raise UserError(f"inter_frame_attention must be {' or '.join(get_args(Mode))}, got {mode!r}")
        reference_frame(reference, frames=1 if isinstance(reference, str) else reference + 1)
        self.current, self.reference, self.mode = current, reference, mode
        before = attn.get_processor()
        self.self_attention: Any = before if isinstance(before, LayerAttention) else AttnProcessor2_0()
        self.to_q = nn.Linear(attn.to_q.in_features, attn.to_q.out_features, bias=False)
        self.to_out = nn.Linear(attn.to_out[0].in_features, attn.to_out[0].out_features, bias=False)
        self.start_from(attn)

    @torch.no_grad()
    def start_from(self, attn: Any) -> None:
        """Initialize from the self-attention; to be called again when its weights are loaded."""
        self.to_q.weight.copy_(plain_weight(attn.to_q))
        if self.mode == "add":
            self.to_out.weight.zero_()
        else:
            self.to_out.weight.copy_(plain_weight(attn.to_out[0]))

    def forward(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """Tokens `(b f) n d` to the same, as diffusers calls its processors."""
        if self.mode == "add" or self.current.still:
            own = self.self_attention(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
            return own if self.current.still else own + self.look_at_reference(attn, hidden_states)
        replaced = self.look_at_reference(attn, hidden_states, attn.to_out[0].bias)
        if isinstance(self.self_attention, LayerAttention):
            return self.self_attention.after(hidden_states, replaced)
        return replaced

    def look_at_reference(self, attn: Any, hidden_states: Tensor, bias: Tensor | None = None) -> Tensor:
        """Equation 3, `(b f) n d`."""
        frames, heads = self.current.frames, attn.heads
        index = reference_frame(self.reference, frames)
        reference = rearrange(hidden_states, "(b f) n d -> b f n d", f=frames)[:, index]  # b n d
        # all frames of a clip have the same keys, so their queries stand in one row
        query = rearrange(self.to_q(hidden_states), "(b f) n (h d) -> b h (f n) d", f=frames, h=heads)
        key, value = (
            rearrange(x, "b n (h d) -> b h n d", h=heads) for x in (attn.to_k(reference), attn.to_v(reference))
        )
        seen = F.scaled_dot_product_attention(query, key, value)  # b h (f n) d
        seen = rearrange(seen, "b h (f n) d -> (b f) n (h d)", f=frames)
        return F.linear(seen, self.to_out.weight, bias)


def reference_frame(reference: Reference, frames: int) -> int:
    """Index of the reference frame in a clip of that many frames; UserError if there is none."""
    if isinstance(reference, str):
        if reference not in ("middle", "first"):
            raise UserError(f"reference_frame must be middle, first or a number, got {reference!r}")
        return frames // 2 if reference == "middle" else 0
    if not 0 <= reference < frames:
        raise UserError(f"reference_frame must be in [0, {frames - 1}] for {frames} frames, got {reference}")
    return reference


def add_inter_frame_attention(unet: nn.Module, current: CurrentPass, reference: Reference, mode: Mode) -> None:
    """Put Inter-Frame Attention beside every spatial self-attention of one of diffusers' UNets, in place."""
    for name, layer in spatial_attentions(unet).items():
        if name.endswith(".attn1"):
            layer.set_processor(InterFrameAttention(layer, current, reference, mode))


def plain_weight(layer: nn.Module) -> Tensor:
    """The matrix of a linear layer, its LoRA merged if it has one."""
    return layer.merged_weight() if hasattr(layer, "merged_weight") else layer.weight  # type: ignore[operator,return-value]
