"""VideoGPT's first stage (arXiv 2104.10157): a 3D VQ-VAE that encodes a clip as a small grid of codes.

Follows the authors' code (github.com/wilson1yan/VideoGPT, `videogpt/vqvae.py`); deviations are noted.
"""

import math
from collections.abc import Callable
from itertools import chain

import torch
from einops import parse_shape, rearrange
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from glassine.utils.errors import UserError

AXES = ("(b h w) f d", "(b f w) h d", "(b f h) w d")


class VideoVQVAE(nn.Module):
    """Strided 3D convolutions and axial-attention residual blocks around a codebook.

    The defaults are the authors': 21.142 M parameters. The codebook's vectors are buffers, since they get no gradient.
    Two differences, which have no effect for a downsampling of 4 x 4 x 4: the kernel is 3 along axes that a stage does
    not halve (4 would need uneven padding), and the decoder's stages mirror the encoder's. Under DDP, batch norms use
    per-process statistics unless `trainer.sync_batchnorm` is true; codebook statistics are summed over processes.

    Args:
        width: hidden channels; even, and a multiple of `heads`.
        blocks: residual blocks of the encoder, and of the decoder.
        heads: heads of each axial attention.
        codes: number of codes. 2048 in the authors' code, 1024 in the code of their paper (VideoGPT-Paper).
        code_width: channels of a code's vector.
        downsample: number of frames, rows and columns per code: powers of two, not all 1.
        decay: decay of the codebook's moving averages per training step.
        restart_below: a code chosen by fewer latents than this per step (moving average over all processes) is dead and
            is restarted from a random latent of the batch; 0 never restarts.

    Raises:
        ValueError: `downsample` is not made of powers of two, or `width` is odd or not a multiple of `heads`.
    """

    def __init__(
        self,
        width: int = 240,
        blocks: int = 4,
        heads: int = 2,
        codes: int = 2048,
        code_width: int = 256,
        downsample: tuple[int, int, int] = (4, 4, 4),
        decay: float = 0.99,
        restart_below: float = 1.0,
    ) -> None:
        super().__init__()
        if any(d < 1 or d & (d - 1) for d in downsample) or max(downsample) == 1:
            raise ValueError(f"downsample must be three powers of two, not all of them 1, got {tuple(downsample)}")
        if width % 2 or width % heads:
            raise ValueError(f"width must be even and a multiple of heads ({heads}), got {width}")
        self.downsample, self.codes, self.code_width = tuple(downsample), codes, code_width
        halvings = int(math.log2(max(downsample)))
        strides = [tuple(2 if d >> stage > 1 else 1 for d in downsample) for stage in range(halvings)]
        inner = [width] * (halvings - 1)
        down = zip([3, *inner], [*inner, width], strides, strict=True)
        up = zip([*inner, width], [*inner, 3], reversed(strides), strict=True)
        self.encoder = nn.Sequential(
            *chain.from_iterable((strided(nn.Conv3d, *stage), nn.ReLU()) for stage in down),
            nn.Conv3d(width, width, 3, padding=1),
            *(AttentionResidualBlock(width, heads) for _ in range(blocks)),
            nn.BatchNorm3d(width),
            nn.ReLU(),
            nn.Conv3d(width, code_width, 1),
        )
        self.codebook = Codebook(codes, code_width, decay, restart_below)
        self.decoder = nn.Sequential(
            nn.Conv3d(code_width, width, 1),
            *(AttentionResidualBlock(width, heads) for _ in range(blocks)),
            nn.BatchNorm3d(width),
            *chain.from_iterable((nn.ReLU(), strided(nn.ConvTranspose3d, *stage)) for stage in up),
        )

    def grid(self, frames: int, size: tuple[int, int]) -> tuple[int, int, int]:
        """Number of codes along time, height and width for clips of `frames` frames and `size` (height, width).

        Raises:
            UserError: a side of the clip is not a multiple of `downsample`.
        """
        clip = (frames, *size)
        if any(n % d for n, d in zip(clip, self.downsample, strict=True)):
            given, needed = (" x ".join(map(str, numbers)) for numbers in (clip, self.downsample))
            hint = "change num_frames or size"
            raise UserError(f"frames, height and width must be multiples of {needed}, got {given}: {hint}")
        f, h, w = (n // d for n, d in zip(clip, self.downsample, strict=True))
        return f, h, w

    def forward(self, clip: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode to codes and decode; in training mode, update the codebook.

        Args:
            clip: `b f 3 h w` in [0, 1].

        Returns:
            The unclipped reconstruction `b f 3 h w`, the codes `b f' h' w'`, and the mean squared distance between the
            latents and the vectors of their codes.
        """
        latents = self.latents(clip)  # b f' h' w' d
        if self.training:
            self.codebook.begin(latents)
        codes = self.codebook.nearest(latents)  # b f' h' w'
        chosen = self.codebook.vectors[codes]  # b f' h' w' d
        if self.training:
            self.codebook.learn(latents, codes)
        straight_through = latents + (chosen - latents).detach()
        return self.render(straight_through), codes, F.mse_loss(latents, chosen)

    def encode(self, clip: Tensor) -> Tensor:
        """Codes `b f' h' w'` of clips `b f 3 h w` in [0, 1]; the codebook is not updated."""
        return self.codebook.nearest(self.latents(clip))

    def decode(self, codes: Tensor) -> Tensor:
        """Clips `b f 3 h w` in [0, 1] of codes `b f' h' w'`."""
        return self.render(self.codebook.vectors[codes]).clamp(0, 1)

    def latents(self, clip: Tensor) -> Tensor:
        """The encoder's output before quantization, `b f' h' w' d` in full precision."""
        self.grid(clip.shape[1], (clip.shape[3], clip.shape[4]))
        latents = self.encoder(rearrange(clip - 0.5, "b f c h w -> b c f h w"))
        return rearrange(latents, "b d f h w -> b f h w d").float()

    def render(self, latents: Tensor) -> Tensor:
        """The decoder: `b f' h' w' d` to unclipped clips `b f 3 h w`."""
        return rearrange(self.decoder(rearrange(latents, "b f h w d -> b d f h w")), "b c f h w -> b f c h w") + 0.5


class Codebook(nn.Module):
    """Codebook updated by moving averages: each vector is the mean of the latents that chose it (arXiv 1711.00937).

    Under DDP, counts and sums of the latents per code are added over the processes by one all-reduce, so that all
    processes have the same codebook, as if one had processed the whole batch. Initial and restarted vectors are sampled
    on the first process and broadcast.

    Three differences from the authors' code: moving averages are taken of fractions of a batch, so that they do not
    depend on its size; a restarted code gets an average count, so that it is not restarted again at once; and
    checkpoints record that the codebook is initialized, whereas theirs is initialized again when a run is resumed.
    """

    vectors: Tensor
    sums: Tensor
    shares: Tensor
    begun: Tensor

    def __init__(self, codes: int, width: int, decay: float, restart_below: float) -> None:
        super().__init__()
        self.decay, self.restart_below = decay, restart_below
        self.register_buffer("vectors", torch.randn(codes, width))
        self.register_buffer("sums", torch.zeros(codes, width))
        self.register_buffer("shares", torch.zeros(codes))
        self.register_buffer("begun", torch.zeros((), dtype=torch.bool))

    @torch.no_grad()
    def nearest(self, latents: Tensor) -> Tensor:
        """The nearest code of each latent, `... d` to `...`."""
        with torch.autocast(latents.device.type, enabled=False):
            vectors = self.vectors.float()
            # squared distance without the latent's squared norm, which is the same for all codes
            return (vectors.square().sum(1) - 2 * latents @ vectors.T).argmin(-1)

    @torch.no_grad()
    def begin(self, latents: Tensor) -> None:
        """Initialize the vectors from the first batch of latents `... d`; later calls do nothing."""
        if not self.begun:
            self.restart(torch.ones_like(self.shares, dtype=torch.bool), latents.flatten(0, -2))
            self.begun.fill_(True)

    @torch.no_grad()
    def learn(self, latents: Tensor, codes: Tensor) -> None:
        """One step of the moving averages for latents `... d` with codes `...`; restarts dead codes."""
        latents, codes = latents.flatten(0, -2), codes.flatten()  # n d, n
        counted = F.pad(latents, (0, 1), value=1.0)  # n d+1
        seen = counted.new_zeros(len(self.vectors), counted.shape[1]).index_add_(0, codes, counted)  # sums | counts
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(seen)
        total = seen[:, -1].sum()
        self.sums.lerp_(seen[:, :-1] / total, 1 - self.decay)
        self.shares.lerp_(seen[:, -1] / total, 1 - self.decay)
        self.vectors.copy_(self.sums / self.shares.clamp(min=1e-12)[:, None])
        self.restart(self.shares * total < self.restart_below, latents)

    def restart(self, dead: Tensor, latents: Tensor) -> None:
        """Set the vectors of `dead` codes (bool `k`) to random latents out of `n d`."""
        many = len(self.vectors)
        places = torch.randperm(len(latents), device=latents.device).repeat(-(-many // len(latents)))[:many]
        drawn = latents[places]
        if len(latents) < many:  # latents are repeated: noise makes them differ
            drawn = drawn + torch.randn_like(drawn) * 0.01 / drawn.shape[1] ** 0.5
        if distributed.is_available() and distributed.is_initialized():
            distributed.broadcast(drawn, 0)
        self.vectors.copy_(torch.where(dead[:, None], drawn, self.vectors))
        self.sums.copy_(torch.where(dead[:, None], drawn / many, self.sums))
        self.shares.masked_fill_(dead, 1 / many)


class AttentionResidualBlock(nn.Module):
    """Residual block: 3 x 3 x 3 convolution, 1 x 1 x 1 convolution, axial attention, each after batch norm and ReLU."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            *(nn.BatchNorm3d(width), nn.ReLU(), nn.Conv3d(width, width // 2, 3, padding=1, bias=False)),
            *(nn.BatchNorm3d(width // 2), nn.ReLU(), nn.Conv3d(width // 2, width, 1, bias=False)),
            *(nn.BatchNorm3d(width), nn.ReLU(), AxialAttention(width, heads)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """`b d f h w` to the same."""
        return x + self.block(x)


class AxialAttention(nn.Module):
    """Sum of self-attention along time, along height and along width."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.along = nn.ModuleList(Attention(width, heads) for _ in AXES)

    def forward(self, x: Tensor) -> Tensor:
        """`b d f h w` to the same."""
        shape, total = parse_shape(x, "b d f h w"), torch.zeros_like(x)
        for axis, attention in zip(AXES, self.along, strict=True):
            lines = attention(rearrange(x, f"b d f h w -> {axis}"))
            total = total + rearrange(lines, f"{axis} -> b d f h w", **shape)
        return total


class Attention(nn.Module):
    """Multi-head self-attention; with `causal`, tokens do not attend to later ones."""

    def __init__(self, width: int, heads: int, causal: bool = False) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width)

    def forward(self, x: Tensor, cache: list[Tensor] | None = None) -> Tensor:
        """`b n d` to the same.

        Args:
            x: tokens `b n d`.
            cache: keys and values of earlier tokens, for decoding one token at a time; pass an empty list at first, it
                is updated in place.
        """
        q, k, v = rearrange(self.qkv(x), "b n (three heads d) -> three b heads n d", three=3, heads=self.heads)
        if cache is not None:
            cache[:] = k, v = [torch.cat(pair, dim=2) for pair in zip(cache, (k, v), strict=True)] if cache else [k, v]
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal and cache is None)
        return self.out(rearrange(mixed, "b heads n d -> b n (heads d)"))


def strided(kind: Callable[..., nn.Module], given: int, made: int, stride: tuple[int, ...]) -> nn.Module:
    """A convolution that halves the axes whose stride is 2, or doubles them if `kind` is transposed."""
    return kind(given, made, kernel_size=tuple(4 if s == 2 else 3 for s in stride), stride=stride, padding=1)
