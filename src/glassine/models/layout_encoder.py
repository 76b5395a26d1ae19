"""EfficientSAM's image encoder and its pretraining SAMI (arXiv 2312.00863, section 3).

`LayoutEncoder` is the plain ViT; the official weights load by name. `MaskedReconstruction` is SAMI (section 3.2), which
has no public code: a student ViT encodes the visible patches, a decoder of cross-attention blocks predicts the features
of the masked ones, and after a linear head both are compared with SAM's features. Decoder and head are discarded after
training.

Shapes: n images, l tokens per image, v visible and m masked tokens (l = v + m), d the student's width, e the decoder's
width, c the teacher's channels.
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
    """Images `n 3 h w` in [0, 1] to features `n c h/16 w/16`; global attention in every block, no class token.

    The published students are ViT-T (width 192, 3 heads) and ViT-S (width 384, 6 heads), both with 12 blocks; including
    their necks they have 6,163,840 and 22,353,664 parameters. Image sizes other than the official 1024 px are allowed.

    Args:
        width: channels of the tokens; the default is ViT-T's.
        depth: number of blocks.
        num_heads: attention heads per block.
        patch_size: side of a patch in pixels.
        position_size: image size in pixels for which position embeddings are stored (including an unused one for a
            class token); they are resized bicubically for other sizes. Officially 224.
        neck_channels: output channels of the neck, which adapts the features to SAM's mask decoder; officially 256.
            None leaves it out: SAMI only trains the blocks, and the layout adapter uses their output.

    Attributes:
        out_channels: channels of the features.
        stride: pixels per feature.

    Raises:
        ValueError: `width` is not a multiple of `num_heads`.
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
        """Features `n c h/16 w/16` of images `n 3 h w` in [0, 1].

        Raises:
            UserError: height or width is not a multiple of `stride`.
        """
        return self.neck(self.blocks_output(pictures))

    def blocks_output(self, pictures: Tensor) -> Tensor:
        """Features before the neck, the part that SAMI trains: `n d h/16 w/16`."""
        tokens = self.transform(self.embed(pictures))  # n l d
        return rearrange(tokens, "n (h w) d -> n d h w", h=self.grid(pictures)[0])

    def grid(self, pictures: Tensor) -> tuple[int, int]:
        """Rows and columns of the feature map.

        Raises:
            UserError: height or width is not a multiple of `stride`.
        """
        height, width = pictures.shape[-2:]
        if height % self.stride or width % self.stride:
            raise UserError(f"height and width must be multiples of {self.stride}, got {height} x {width}")
        return height // self.stride, width // self.stride

    def embed(self, pictures: Tensor) -> Tensor:
        """Tokens with position embeddings, in row order: `n 3 h w` to `n l d`."""
        patches = self.patch_embed.proj((pictures - self.mean) / self.std)  # type: ignore[operator]  # n d h' w'
        patches = patches + self.positions(self.grid(pictures))
        return rearrange(patches, "n d h w -> n (h w) d")

    def positions(self, grid: tuple[int, int]) -> Tensor:
        """Position embeddings `1 d *grid` for a grid of rows and columns."""
        side = int((self.pos_embed.shape[1] - 1) ** 0.5)
        stored = rearrange(self.pos_embed[:, 1:], "1 (h w) d -> 1 d h w", h=side)
        return stored if grid == (side, side) else F.interpolate(stored, grid, mode="bicubic", align_corners=False)

    def transform(self, tokens: Tensor) -> Tensor:
        """Apply the blocks to any subset of the tokens: `n v d` to the same shape."""
        for block in self.blocks:
            tokens = block(tokens)
        return tokens


class MaskedReconstruction(nn.Module):
    """SAMI: student, cross-attention decoder and linear projection head.

    Three details that the paper does not give: a linear layer maps the student's features to the decoder's width, as in
    MAE; the decoder uses fixed sine-cosine position embeddings, as in MAE, which are added to keys and queries but not
    to the visible features that are merged; visible features are normalized before the decoder, and masked ones after
    it.

    Args:
        encoder: the student; its neck, if any, is not used.
        target_channels: channels of the teacher's features (c).
        mask_ratio: fraction of tokens masked, in [0, 1); 0.75 in the paper. 0 is plain feature distillation.
        decoder_width: e; 512 in MAE. A multiple of 4 and of `decoder_heads`.
        decoder_depth: blocks of the decoder; 8 in MAE.
        decoder_heads: attention heads per block; 16 in MAE.

    Raises:
        ValueError: `mask_ratio` is out of range, or `decoder_width` is not such a multiple.
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
        """Reconstructed features `n c h' w'` of all tokens, visible and masked.

        Args:
            pictures: images `n 3 h w` in [0, 1].
            generator: CPU generator that samples the masks; None is torch's default.
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

        merged = torch.cat([visible, self.decoder_norm(masked)], dim=1)  # n l e, visible tokens first
        merged = take(merged, order.argsort(dim=1))  # n l e, in the image's order
        return rearrange(self.head(merged), "n (h w) c -> n c h w", h=height)

    def visible_count(self, tokens: int) -> int:
        """Number of visible tokens out of `tokens`, at least one."""
        return max(1, round(tokens * (1 - self.mask_ratio)))

    @staticmethod
    def draw_order(pictures: int, tokens: int, generator: torch.Generator | None = None) -> Tensor:
        """A random order of each image's tokens, `n l`; the first `visible_count` are visible."""
        return torch.rand(pictures, tokens, generator=generator).argsort(dim=1)


class CrossAttentionBlock(nn.Module):
    """Cross-attention of masked tokens to visible and masked tokens (section 3.2, "Cross-Attention Decoder")."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.query_norm, self.context_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, num_heads, batch_first=True)
        self.mlp_norm, self.mlp = nn.LayerNorm(width), Mlp(width, 4 * width)

    def forward(self, masked: Tensor, visible: Tensor) -> Tensor:
        """Update the masked tokens `n m e`; the visible tokens `n v e` are only read."""
        context = self.context_norm(torch.cat([visible, masked], dim=1))  # n l e
        masked = masked + self.attention(self.query_norm(masked), context, context, need_weights=False)[0]
        return masked + self.mlp(self.mlp_norm(masked))


def take(tokens: Tensor, places: Tensor) -> Tensor:
    """Select tokens of `n l d` by their indices `places` `n k`: `n k d`."""
    return tokens.gather(1, repeat(places, "n k -> n k d", d=tokens.shape[-1]))


def sine_cosine(grid: tuple[int, int], like: Tensor) -> Tensor:
    """Fixed sine-cosine position embeddings `1 l e`, with the dtype and device of `like` (`... e`)."""
    positions = build_sincos2d_pos_embed(list(grid), dim=like.shape[-1], interleave_sin_cos=False)
    return rearrange(positions, "... e -> 1 (...) e").to(like)
