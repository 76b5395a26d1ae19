"""Inter-Frame Attention (Layer-Animate, section III-B, equation 3), as an attention processor for diffusers' UNets."""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import torch
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
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
    """State of the forward pass that the layers need but diffusers does not pass.

    Attributes:
        frames: frames per clip; tokens have clips and frames in one dimension.
        still: whether frames are independent images.
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
        """The forward pass of the layer's class for clips of this many frames."""
        after, self.frames = self.frames, frames
        try:
            return type(layer).forward(layer, *inputs, **options)
        finally:
            self.frames = after


class InterFrameAttention(nn.Module):
    """`softmax(Q' K_m^T / sqrt(d)) V_m W_O'` next to a spatial self-attention; K_m, V_m are from the reference frame.

    Q' = X W_Q'. W_Q' is initialized from the self-attention's W_Q and W_O' with zeros, so that the initial layer is
    unchanged, bit for bit. K and V use the self-attention's own weights. Only W_Q' and W_O' are trained (24,780,800
    parameters in SD 1.5: two matrices at each of 16 layers; the paper has a matrix W_O', so there is no bias). Every
    frame attends to the reference frame, including the reference frame itself.

    Args:
        attn: the self-attention (diffusers' `Attention`), for sizes and initial weights.
        current: shared state of the network.
        reference: the reference frame: `middle`, as in the paper, number f // 2 of f (8 of 16); `first`, as in earlier
            work, for instance I2V-Adapter (arXiv 2312.16693); or an index.
        mode: `add`, as in the paper, or `replace`, as in AnimateZero (arXiv 2312.03793): keys and values of the
            reference frame replace each frame's own. W_O' is then initialized from W_O, so the layer is AnimateZero's.

    Raises:
        UserError: an unknown reference or mode; when called, a clip without this frame.
    """

    def __init__(self, attn: Any, current: CurrentPass, reference: Reference = "middle", mode: Mode = "add") -> None:
        super().__init__()
        if mode not in get_args(Mode):
            raise UserError(f"inter_frame_attention must be {' or '.join(get_args(Mode))}, got {mode!r}")
        reference_frame(reference, frames=1 if isinstance(reference, str) else reference + 1)
        self.current, self.reference, self.mode = current, reference, mode
        self.fused = True
        before = attn.get_processor()
        self.self_attention: Any = before if isinstance(before, LayerAttention) else AttnProcessor2_0()
        self.to_q = nn.Linear(attn.to_q.in_features, attn.to_q.out_features, bias=False)
        self.to_out = nn.Linear(attn.to_out[0].in_features, attn.to_out[0].out_features, bias=False)
        self.start_from(attn)

    @torch.no_grad()
    def start_from(self, attn: Any) -> None:
        """Initialize from the self-attention; call again after loading its weights."""
        self.to_q.weight.copy_(plain_weight(attn.to_q))
        if self.mode == "add":
            self.to_out.weight.zero_()
        else:
            self.to_out.weight.copy_(plain_weight(attn.to_out[0]))

    def without_fused_attention(self) -> None:
        """Use plain matrix products from now on, whose backward pass is faster on a CPU."""
        self.fused = False
        if type(self.self_attention) is AttnProcessor2_0:
            self.self_attention = AttnProcessor()

    def forward(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """Tokens `(b f) n d` to the same shape, with the signature of diffusers' processors."""
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
        # all frames of a clip share the same keys, so their queries are concatenated
        query = rearrange(self.to_q(hidden_states), "(b f) n (h d) -> b h (f n) d", f=frames, h=heads)
        key, value = (
            rearrange(x, "b n (h d) -> b h n d", h=heads) for x in (attn.to_k(reference), attn.to_v(reference))
        )
        if self.fused:
            seen = F.scaled_dot_product_attention(query, key, value)  # b h (f n) d
        else:
            scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)  # b h (f n) n
            seen = scores.softmax(dim=-1).to(value.dtype) @ value
        seen = rearrange(seen, "b h (f n) d -> (b f) n (h d)", f=frames)
        return F.linear(seen, self.to_out.weight, bias)


def reference_frame(reference: Reference, frames: int) -> int:
    """Index of the reference frame in a clip of this many frames; raises UserError if there is none."""
    if isinstance(reference, str):
        if reference not in ("middle", "first"):
            raise UserError(f"reference_frame must be middle, first or a number, got {reference!r}")
        return frames // 2 if reference == "middle" else 0
    if not 0 <= reference < frames:
        raise UserError(f"reference_frame must be in [0, {frames - 1}] for {frames} frames, got {reference}")
    return reference


def add_inter_frame_attention(unet: nn.Module, current: CurrentPass, reference: Reference, mode: Mode) -> None:
    """Add Inter-Frame Attention to every spatial self-attention of a diffusers UNet, in place."""
    for name, layer in spatial_attentions(unet).items():
        if name.endswith(".attn1"):
            layer.set_processor(InterFrameAttention(layer, current, reference, mode))


def plain_weight(layer: nn.Module) -> Tensor:
    """The matrix of a linear layer, with its LoRA merged, if any."""
    return layer.merged_weight() if hasattr(layer, "merged_weight") else layer.weight  # type: ignore[operator,return-value]
