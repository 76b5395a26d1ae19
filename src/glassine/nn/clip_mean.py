"""What each frame of a clip's latents looks like on average for a text."""

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from glassine.nn.latent_mean import LatentMean, hidden_layers


class ClipMean(LatentMean):
    """A `LatentMean` for all frames, and how each frame departs from it: the motion that a text suggests.

    It is to motion what `LatentMean` is to looks. Without it the temporal layers of a small video UNet hardly hear a
    prompt at high noise, where motion is decided; these four linear layers, the last two of low rank, learn it soon.
    Clips are to show whole stickers, so that a frame's number says how far the motion has come.

    It starts as the `LatentMean` alone.

    Args:
        prompt_dim: see `LatentMean`.
        channels: see `LatentMean`.
        size: see `LatentMean`.
        width: see `LatentMean`.
        num_frames: f, of the clips that it is fitted to; others are interpolated in time.
        rank: of the map to all frames.
    """

    def __init__(
        self,
        prompt_dim: int = 192,
        channels: int = 4,
        size: tuple[int, int] = (16, 16),
        width: int = 768,
        num_frames: int = 8,
        rank: int = 128,
    ) -> None:
        super().__init__(prompt_dim, channels, size, width)
        self.num_frames = num_frames
        self.motion = nn.Sequential(
            *hidden_layers(prompt_dim, width),
            nn.Linear(width, rank),
            last := nn.Linear(rank, num_frames * channels * size[0] * size[1]),
        )
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def of_frames(self, prompt_embeds: Tensor, num_frames: int, size: tuple[int, int] | None = None) -> Tensor:
        """The mean of each frame, `b f c h w`; see `LatentMean.of_frames`. A single frame is a picture's: no motion."""
        mean = super().of_frames(prompt_embeds, num_frames, size)
        if num_frames == 1:
            return mean
        parted = self.motion(self.pooled(prompt_embeds)).view(-1, self.num_frames, *self.shape)
        if num_frames != self.num_frames:
            tracks = F.interpolate(parted.float().flatten(2).transpose(1, 2), num_frames, mode="linear")  # b chw f
            parted = tracks.transpose(1, 2).unflatten(2, self.shape)
        parted = self.resized(rearrange(parted, "b f c h w -> (b f) c h w"), size)
        return mean + rearrange(parted, "(b f) c h w -> b f c h w", f=num_frames).to(mean)

    def freeze_spatial(self) -> None:
        """Train the motion alone."""
        super().freeze_spatial()
        self.motion.requires_grad_(True)
