"""Priors over latents: the mean latents of an image, or of each frame of a clip, predicted from the text."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from glassine.nn.conditioning import used_tokens
from glassine.nn.diffusion import zero_module
from glassine.utils.errors import UserError


class LatentPrior(nn.Module):
    """A small network that predicts the mean latents for a text, as an additional input of a UNet.

    Conditioning diffusion on an estimate of the mean follows CARD (Han et al., arXiv 2206.07275, section 2); first
    mapping the text to an image representation follows unCLIP's prior (arXiv 2204.06125, section 2.2). It makes an
    image network of 3 M parameters follow prompts: within a minute on one core, three linear layers learn how a panda's
    colors are laid out, which a UNet's cross-attention, without positions, had not learned in two hours.

    It is trained with squared error, so it carries no detail.

    It can remember its training captions. In eval mode, a text is then replaced by a weighted mean of the nearest
    captions, since a network does not learn from a few thousand captions to interpolate between them: "a dancing cat"
    is drawn as a cat and not as a blur. Using nearest training items follows kNN-Diffusion (arXiv 2204.02849).

    Args:
        prompt_dim: d, width of the text embeddings.
        channels: c, channels of the latents.
        size: height and width of the training latents; other sizes are interpolated.
        width: width of the hidden layers.
        num_captions: maximum number of remembered captions; 0 remembers none.
        temperature: temperature of the softmax over cosine similarities that weights the captions.

    Raises:
        ValueError: a negative `num_captions`, or a `temperature` that is not positive.
    """

    captions: Tensor

    def __init__(
        self,
        prompt_dim: int = 192,
        channels: int = 4,
        size: tuple[int, int] = (16, 16),
        width: int = 768,
        num_captions: int = 0,
        temperature: float = 0.01,
    ) -> None:
        super().__init__()
        if num_captions < 0 or temperature <= 0:
            raise ValueError(f"num_captions must be >= 0 and temperature > 0, got {num_captions} and {temperature}")
        self.prompt_dim, self.shape, self.temperature = prompt_dim, (channels, *size), temperature
        if num_captions:
            self.register_buffer("captions", torch.zeros(num_captions, prompt_dim))
        self.layers = nn.Sequential(
            *hidden_layers(prompt_dim, width),
            nn.Linear(width, channels * size[0] * size[1]),
        )

    def forward(self, prompt_embeds: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """The mean `b c h w` for `prompt_embeds` `b n d`; `size` is h and w, None for the training size.

        Raises:
            UserError: the embeddings have the wrong width.
        """
        return self.resized(self.layers(self.pooled(prompt_embeds)).view(-1, *self.shape), size)

    def of_frames(self, prompt_embeds: Tensor, num_frames: int, size: tuple[int, int] | None = None) -> Tensor:
        """The mean of each frame, `b f c h w`, here the same for all frames; raises as `forward` does."""
        return self(prompt_embeds, size)[:, None].expand(-1, num_frames, -1, -1, -1)

    def freeze_spatial(self) -> None:
        """Train only frame-dependent parameters; this class has none."""
        self.requires_grad_(False)

    def remember(self, pooled: Tensor) -> None:
        """Store `pooled` `n d`, the mean token embeddings of the training captions.

        Raises:
            UserError: more than `num_captions`.
        """
        room = len(getattr(self, "captions", ()))
        if len(pooled) > room:
            raise UserError(f"num_captions must be at least {len(pooled)} to remember them, got {room}")
        self.captions.zero_()
        self.captions[: len(pooled)] = pooled

    def nearest(self, pooled: Tensor) -> Tensor:
        """The weighted mean `b d` of the remembered captions nearest to `pooled` `b d`; `pooled` if there are none."""
        if not hasattr(self, "captions") or not self.captions.any():
            return pooled
        captions = self.captions.float()  # empty rows have similarity 0, far below any text's nearest
        similarity = F.normalize(pooled.float(), dim=1) @ F.normalize(captions, dim=1).T  # b n
        return ((similarity / self.temperature).softmax(dim=1) @ captions).to(pooled)

    def pooled(self, prompt_embeds: Tensor) -> Tensor:
        """The mean over tokens without padding, `b d`; in eval mode replaced by `nearest`."""
        if prompt_embeds.shape[-1] != self.prompt_dim:
            raise UserError(
                f"text embeddings must be {self.prompt_dim} wide for this latent_mean, got {prompt_embeds.shape[-1]}: "
                "use the text encoder that it was trained with"
            )
        pooled = prompt_embeds.sum(dim=1) / used_tokens(prompt_embeds).sum(dim=1).clamp(min=1)
        return pooled if self.training else self.nearest(pooled)

    def resized(self, mean: Tensor, size: tuple[int, int] | None) -> Tensor:
        """`n c h w` resized to another size."""
        if size in (None, self.shape[1:]):
            return mean
        return F.interpolate(mean.float(), size, mode="bilinear", antialias=True).to(mean)  # not in half precision


def hidden_layers(prompt_dim: int, width: int) -> list[nn.Module]:
    """Layers from a text's mean embedding of width `prompt_dim` to `width` features."""
    return [nn.LayerNorm(prompt_dim), nn.Linear(prompt_dim, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()]


class MotionPrior(LatentPrior):
    """A `LatentPrior` plus an offset for each frame: the mean motion for a text.

    It does for motion what `LatentPrior` does for appearance. Without it, the temporal layers of a small video UNet
    barely respond to the prompt at high noise, where motion is decided; these four linear layers, the last two
    low-rank, learn it quickly. Training clips should span whole stickers, so that the frame index determines the phase
    of the motion.

    At initialization it equals the `LatentPrior`.

    Args:
        prompt_dim: see `LatentPrior`.
        channels: see `LatentPrior`.
        size: see `LatentPrior`.
        width: see `LatentPrior`.
        num_frames: f, frames of the training clips; other lengths are interpolated in time.
        rank: rank of the linear map to the latents of all frames.
        num_captions: see `LatentPrior`.
        temperature: see `LatentPrior`.
    """

    def __init__(
        self,
        prompt_dim: int = 192,
        channels: int = 4,
        size: tuple[int, int] = (16, 16),
        width: int = 768,
        num_frames: int = 8,
        rank: int = 128,
        num_captions: int = 0,
        temperature: float = 0.01,
    ) -> None:
        super().__init__(prompt_dim, channels, size, width, num_captions, temperature)
        self.num_frames = num_frames
        self.motion = nn.Sequential(
            *hidden_layers(prompt_dim, width),
            nn.Linear(width, rank),
            last := nn.Linear(rank, num_frames * channels * size[0] * size[1]),
        )
        zero_module(last)

    def of_frames(self, prompt_embeds: Tensor, num_frames: int, size: tuple[int, int] | None = None) -> Tensor:
        """The mean of each frame, `b f c h w`; see `LatentPrior.of_frames`. A single frame has no motion."""
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
        """Train only the motion."""
        super().freeze_spatial()
        self.motion.requires_grad_(True)
