"""A second text encoder for networks whose cross-attention supports only one."""

import torch
from torch import Tensor, nn

from glassine.nn.diffusion import zero_module
from glassine.utils.errors import UserError


class SecondText(nn.Module):
    """The first encoder's tokens x with attention to the second's tokens y: x + W attention(x, y).

    W is zero-initialized, so the number and the width of the tokens for the cross-attention of an image network do not
    change, and neither does the output of the untrained network. Animated Stickers (arXiv 2402.06088) uses the text
    encoders of Emu (arXiv 2309.15807), CLIP and FLAN-T5. How they are combined is not published; this is our design.

    Args:
        tokens: number of tokens of the first encoder.
        width: width of its tokens.
        second_width: width of the second encoder's tokens.
        heads: attention heads; a single head is used if this does not divide `width`.

    Raises:
        UserError: an argument out of range.
    """

    def __init__(self, tokens: int, width: int, second_width: int, heads: int = 8) -> None:
        super().__init__()
        if tokens < 1 or second_width < 1:
            raise UserError(f"tokens and second_width must be at least 1, got {tokens} and {second_width}")
        self.tokens, self.width, self.second_width = tokens, width, second_width
        self.norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(second_width)
        self.attention = nn.MultiheadAttention(
            width, heads if width % heads == 0 else 1, kdim=second_width, vdim=second_width, batch_first=True
        )
        zero_module(self.attention.out_proj)

    def forward(self, embeds: Tensor) -> Tensor:
        """`b tokens width` from the output `b n m` of a `glassine.models.text_pair.TextEncoderPair`.

        Raises:
            UserError: the shape does not fit.
        """
        if embeds.ndim != 3 or embeds.shape[1] <= self.tokens or embeds.shape[2] < max(self.width, self.second_width):
            raise UserError(
                f"prompt_embeds must be of shape (batch, more than {self.tokens} tokens, at least "
                f"{max(self.width, self.second_width)}), got {tuple(embeds.shape)}: use a TextEncoderPair"
            )
        first = embeds[:, : self.tokens, : self.width]
        second = self.second_norm(embeds[:, self.tokens :, : self.second_width])
        read, _ = self.attention(self.norm(first), second, second, need_weights=False)
        return first + read.to(first)


def joined(first: Tensor, second: Tensor) -> Tensor:
    """Concatenate tokens `b n1 d1` and `b n2 d2` to `b (n1 + n2) max(d1, d2)`, zero-padding the narrower channels."""
    width = max(first.shape[2], second.shape[2])
    return torch.cat([nn.functional.pad(one, (0, width - one.shape[2])) for one in (first, second)], dim=1)
