"""SAMI: masked reconstruction of SAM's features (EfficientSAM, arXiv 2312.00863, section 3.2), without public code.

A student ViT sees a few patches of a picture. A decoder of cross-attention blocks rebuilds the features of the others
from them. Both together, in the picture's order, pass a linear head and are compared with the teacher's features; the
decoder and the head are then thrown away.

Letters: n pictures, l tokens of a picture, v visible ones, m masked ones (l = v + m), d the student's width, e the
decoder's, c the teacher's channels.
"""

import torch
from einops import rearrange, repeat
from timm.layers import Mlp, build_sincos2d_pos_embed
from torch import Tensor, nn

from glassine.models.layout_encoder import LayoutEncoder


class MaskedReconstruction(nn.Module):
    """Student, cross-attention decoder and linear projection head.

    The paper leaves three things open. The student's features and the decoder's may differ in width: a linear layer
    takes the former to the latter before they meet, as in MAE. Positions reach the decoder as fixed sine-cosine
    embeddings, as in MAE, added to what is attended to and to the mask token, not to what is merged. The decoder's
    output is normalised before it is merged, the visible features on entering the decoder.

    Args:
        encoder: the student; its neck, if it has one, takes no part.
        target_channels: channels of the teacher's features (c).
        mask_ratio: share of the tokens that the student does not see; 0.75 in the paper. At 0 nothing is left to
            rebuild, and the student learns by plain feature distillation.
        decoder_width: e; 512 in MAE. A multiple of 4 and of `decoder_heads`.
        decoder_depth: blocks of the decoder; 8 in MAE.
        decoder_heads: heads of each; 16 in MAE.

    Raises:
        ValueError: a ratio outside [0, 1), or a width that does not divide.
    """

    def __init__(
        self,
        encoder: LayoutEncoder,
        target_channels: int = 256,
        mask_ratio: float = 0.75,
        decoder_width: int = 512,
        decoder_depth: int = 8,
        decoder_heads: int = 16,
    ) -> None:
        super().__init__()
        if not 0 <= mask_ratio < 1:
            raise ValueError(f"mask_ratio {mask_ratio} came; give 0 or more and less than 1")
        if decoder_width % 4 or decoder_width % decoder_heads:
            raise ValueError(f"decoder_width {decoder_width} came; it must be a multiple of 4 and of {decoder_heads}")
        self.encoder, self.mask_ratio, self.target_channels = encoder, mask_ratio, target_channels
        self.decoder_embed = nn.Sequential(nn.LayerNorm(encoder.width), nn.Linear(encoder.width, decoder_width))
        self.mask_token = nn.Parameter(torch.zeros(decoder_width))
        nn.init.normal_(self.mask_token, std=0.02)
        self.decoder = nn.ModuleList(CrossAttentionBlock(decoder_width, decoder_heads) for _ in range(decoder_depth))
        self.decoder_norm = nn.LayerNorm(decoder_width)
        self.head = nn.Linear(decoder_width, target_channels)

    def forward(self, pictures: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Rebuilt features `n c h' w'` of `n 3 h w` in [0, 1], visible and masked tokens alike.

        `generator` (on the CPU) draws the masks; None is torch's default one.
        """
        height, width = self.encoder.grid(pictures)
        order = self.draw_order(len(pictures), height * width, generator).to(pictures.device)  # n l
        visible_count = self.visible_count(height * width)
        shown, hidden = order[:, :visible_count], order[:, visible_count:]  # n v, n m

        tokens = take(self.encoder.embed(pictures), shown)  # n v d
        visible = self.decoder_embed(self.encoder.transform(tokens))  # n v e

        positions = sine_cosine((height, width), visible).expand(len(pictures), -1, -1)  # n l e
        anchors = visible + take(positions, shown)  # n v e
        masked = self.mask_token + take(positions, hidden)  # n m e
        for block in self.decoder:
            masked = block(masked, anchors)  # n m e

        merged = torch.cat([visible, self.decoder_norm(masked)], dim=1)  # n l e, visible ones first
        merged = take(merged, order.argsort(dim=1))  # n l e, in the picture's order
        return rearrange(self.head(merged), "n (h w) c -> n c h w", h=height)

    def visible_count(self, tokens: int) -> int:
        """How many of a picture's tokens the student sees: at least one."""
        return max(1, round(tokens * (1 - self.mask_ratio)))

    @staticmethod
    def draw_order(pictures: int, tokens: int, generator: torch.Generator | None = None) -> Tensor:
        """A random order of each picture's tokens, `n l`; the first ones are shown."""
        return torch.rand(pictures, tokens, generator=generator).argsort(dim=1)


class CrossAttentionBlock(nn.Module):
    """Masked tokens ask; visible and masked tokens answer (section 3.2, "Cross-Attention Decoder")."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.query_norm, self.context_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, num_heads, batch_first=True)
        self.mlp_norm, self.mlp = nn.LayerNorm(width), Mlp(width, 4 * width)

    def forward(self, masked: Tensor, visible: Tensor) -> Tensor:
        """`masked` `n m e` and `visible` `n v e` to new masked tokens `n m e`; the visible ones stay as they are."""
        context = self.context_norm(torch.cat([visible, masked], dim=1))  # n l e
        masked = masked + self.attention(self.query_norm(masked), context, context, need_weights=False)[0]
        return masked + self.mlp(self.mlp_norm(masked))


def take(tokens: Tensor, places: Tensor) -> Tensor:
    """The tokens at `places` (`n k`) of `n l d`: `n k d`."""
    return tokens.gather(1, repeat(places, "n k -> n k d", d=tokens.shape[-1]))


def sine_cosine(grid: tuple[int, int], like: Tensor) -> Tensor:
    """Fixed position embeddings `1 l e`, of the type and on the device of `like` (`... e`)."""
    positions = build_sincos2d_pos_embed(list(grid), dim=like.shape[-1], interleave_sin_cos=False)
    return rearrange(positions, "... e -> 1 (...) e").to(like)
