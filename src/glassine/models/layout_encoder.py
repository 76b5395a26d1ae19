"""EfficientSAM's image encoder and its pretraining SAMI (arXiv 2312.00863, section 3).

`LayoutEncoder` is the plain ViT, whose official weights load by name. `MaskedReconstruction` is SAMI (section 3.2), for
which there is no public code: a student ViT sees a part of the patches; a decoder of cross-attention blocks predicts
the features of the others; both pass a linear head and are compared with the features of SAM. Decoder and head are
discarded after training.

Letters: n pictures, l tokens of a picture, v visible ones, m masked ones (l = v + m), d the student's width, e the
decoder's, c the teacher's channels.
"""

from functools import partial

import torch
from einops import rearrange, repeat
from timm.layers import LayerNorm2d, Mlp, build_sincos2d_pos_embed
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional as F

from glassine.models.sam import IMAGENET_MEAN, IMAGENET_STD
from glassine.utils.errors import UserError


class LayoutEncoder(nn.Module):
    """Pictures `n 3 h w` in [0, 1] to features `n c h/16 w/16`; global attention in every block, no class token.

    The published students are ViT-T (width 192, 3 heads) and ViT-S (width 384, 6 heads), both 12 blocks deep; with
    their necks they have 6,163,840 and 22,353,664 parameters. Other sizes than the official 1024 px are allowed.

    Args:
        width: channels of the tokens; the default is ViT-T's.
        depth: number of blocks.
        num_heads: attention heads of each.
        patch_size: pixels to a token.
        position_size: picture size in pixels whose position embeddings are stored (with an unused one for a class
            token); for other pictures they are resized bicubically. Official 224.
        neck_channels: output channels of the neck, which brings the features into the form that SAM's mask decoder
            reads; official 256. None leaves it out: SAMI trains the blocks, and the layout adapter reads those.

    Attributes:
        out_channels: channels of the features.
        stride: pixels to a feature.

    Raises:
        ValueError: the heads do not divide the width.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        width: int = 192,
        depth: int = 12,
        num_heads: int = 3,
        patch_size: int = 16,
        position_size: int = 224,
        neck_channels: int | None = 256,
    ) -> None:
        super().__init__()
        if width % num_heads:
            raise ValueError(f"width must be a multiple of num_heads ({num_heads}), got {width}")
        self.width, self.stride, self.out_channels = width, patch_size, neck_channels or width
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, width, patch_size, stride=patch_size)
        self.pos_embed = nn.Parameter(torch.zeros(1, (position_size // patch_size) ** 2 + 1, width))
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        norm = partial(nn.LayerNorm, eps=1e-6)
        self.blocks = nn.ModuleList(
            Block(width, num_heads, qkv_bias=True, norm_layer=norm)  # type: ignore[arg-type]
            for _ in range(depth)
        )
        self.neck: nn.Module = nn.Identity()
        if neck_channels is not None:
            self.neck = nn.Sequential(
                nn.Conv2d(width, neck_channels, 1, bias=False),
                LayerNorm2d(neck_channels),
                nn.Conv2d(neck_channels, neck_channels, 3, padding=1, bias=False),
                LayerNorm2d(neck_channels),
            )
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """The features."""
        return self.neck(self.blocks_output(pictures))

    def blocks_output(self, pictures: Tensor) -> Tensor:
        """What the blocks alone, which SAMI trains, make of the pictures: `n d h/16 w/16`."""
        tokens = self.transform(self.embed(pictures))  # n l d
        return rearrange(tokens, "n (h w) d -> n d h w", h=self.grid(pictures)[0])

    def grid(self, pictures: Tensor) -> tuple[int, int]:
        """Rows and columns of features that a picture gives; UserError if a side is no multiple of `stride`."""
        height, width = pictures.shape[-2:]
        if height % self.stride or width % self.stride:
            raise UserError(f"height and width must be multiples of {self.stride}, got {height} x {width}")
        return height // self.stride, width // self.stride

    def embed(self, pictures: Tensor) -> Tensor:
        """Tokens with their positions, row by row: `n 3 h w` to `n l d`."""
        patches = self.patch_embed.proj((pictures - self.mean) / self.std)  # type: ignore[operator]  # n d h' w'
        patches = patches + self.positions(self.grid(pictures))
        return rearrange(patches, "n d h w -> n (h w) d")

    def positions(self, grid: tuple[int, int]) -> Tensor:
        """Position embeddings of a grid, `1 d *grid`."""
        side = int((self.pos_embed.shape[1] - 1) ** 0.5)
        stored = rearrange(self.pos_embed[:, 1:], "1 (h w) d -> 1 d h w", h=side)
        return stored if grid == (side, side) else F.interpolate(stored, grid, mode="bicubic", align_corners=False)

    def transform(self, tokens: Tensor) -> Tensor:
        """The blocks, on any subset of the tokens: `n v d` to the same."""
        for block in self.blocks:
            tokens = block(tokens)
        return tokens


class MaskedReconstruction(nn.Module):
    """Student, cross-attention decoder and linear projection head.

    The paper leaves three things open. The student's features and the decoder's may differ in width: a linear layer
    takes the former to the latter before they meet, as in MAE. Positions reach the decoder as fixed sine-cosine
    embeddings, as in MAE, added to what is attended to and to the mask token, not to what is merged. The decoder's
    output is normalized before it is merged, the visible features on entering the decoder.

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
            raise ValueError(f"mask_ratio must be in [0, 1), got {mask_ratio}")
        if decoder_width % 4 or decoder_width % decoder_heads:
            raise ValueError(f"decoder_width must be a multiple of 4 and of {decoder_heads}, got {decoder_width}")
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
    """Queries are masked tokens, keys are visible and masked tokens (section 3.2, "Cross-Attention Decoder")."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.query_norm, self.context_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, num_heads, batch_first=True)
        self.mlp_norm, self.mlp = nn.LayerNorm(width), Mlp(width, 4 * width)

    def forward(self, masked: Tensor, visible: Tensor) -> Tensor:
        """`masked` `n m e` and `visible` `n v e` to new masked tokens `n m e`; the visible ones are not changed."""
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
