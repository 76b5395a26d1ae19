"""The layout adapter of ILDiff (arXiv 2412.20901, section II-B): implicit layout features, smoothed over time."""

from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F


class LayoutAdapter(nn.Module):
    """Image encoder, `depth` 3D convolutions with GroupNorm and ReLU, a 2D convolution, adaptive average pooling.

    Ours is the 1x1 convolution that brings the encoder's channels to `width`, of which the paper does not speak. Where
    the encoder's grid is coarser than the latents', as at a patch of 16 for an eighth, the pooling repeats values.

    Args:
        image_encoder: pictures `n 3 h w` in [0, 1] to features `n d h' w'`; must have `out_channels` (d). In the paper
            a light network distilled from SAM.
        depth: number of 3D convolutions over (frame, height, width); the paper's ablation prefers 5 (table III). At 0
            no information passes between frames.
        width: channels of the 3D convolutions; the paper does not say.
        latent_channels: channels of the latents that the output is added to.
        norm_num_groups: groups of every GroupNorm. Its statistics are per frame: pooled over the clip they would let a
            frame leak into all others even at depth 0, and make results depend on how a long sticker is cut in chunks.
        zero_init: start the 2D convolution at zero, so that an untrained adapter leaves the latents alone. The paper
            is silent; "harmless injection" asks for it.
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
            nn.init.zeros_(self.conv_out.weight)
            nn.init.zeros_(self.conv_out.bias)  # type: ignore[arg-type]

    @property
    def temporal_radius(self) -> int:
        """How many frames to each side a frame's features depend on."""
        return len(self.temporal_layers)

    def forward(self, clip: Tensor, grid: tuple[int, int]) -> Tensor:
        """`clip` (`b f 3 h w` in [0, 1]) to what is added to its latents, `b f 4 *grid`."""
        frames = clip.shape[1]
        x = self.conv_in(self.image_encoder(rearrange(clip, "b f c h w -> (b f) c h w")))  # (b f) d h' w'
        for layer in self.temporal_layers:
            y = layer["conv"](rearrange(x, "(b f) d h w -> b d f h w", f=frames))  # type: ignore[index]
            x = F.relu(layer["norm"](rearrange(y, "b d f h w -> (b f) d h w")))  # type: ignore[index]
        x = F.adaptive_avg_pool2d(self.conv_out(x), grid)  # (b f) c h/8 w/8
        return rearrange(x, "(b f) c h w -> b f c h w", f=frames)
