"""EfficientSAM's image encoder (arXiv 2312.00863, section 3): a plain ViT whose official weights load by name."""

from functools import partial

import torch
from einops import rearrange
from timm.layers import LayerNorm2d
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional as F

from glassine.errors import UserError
from glassine.models.image_encoder import IMAGENET_MEAN, IMAGENET_STD


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
            raise ValueError(f"width {width} and num_heads {num_heads} came; the heads must divide the width")
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
        """Rows and columns of features that a picture gives; UserError where a side is no multiple of `stride`."""
        height, width = pictures.shape[-2:]
        if height % self.stride or width % self.stride:
            raise UserError(f"pictures of {height} x {width} came; the layout encoder needs multiples of {self.stride}")
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
