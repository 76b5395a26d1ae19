"""VideoGPT's second stage (arXiv 2104.10157): a transformer over the codes of a frozen VQ-VAE, conditioned on tags.

Size: VSD2M (table 4) gives 0.102 B parameters, but neither depth nor width. Its other rows include VAE and text
encoder, so we count VQ-VAE and prior together: the authors' VQ-VAE (21.14 M), and a prior with their width of 576 and 4
heads and with 20 layers as in their larger one for GIFs (github.com/wilson1yan/VideoGPT; VideoGPT-Paper, `gpt_large`)
have 102.36 M with 500 tags. If VSD2M counts the prior only, 8 layers of width 1024 with 1024 codes have 102.23 M. The
authors' own combinations, with 49, 54 and 276 M, do not match.

Objective: VideoGPT is autoregressive, and VSD2M explains its 193 s per clip by "serial prediction". But VSD2M's text
("embeds conditions as corrupted visual tokens into multivariate mask", equation 1) describes MAGVIT (arXiv 2212.05199,
section 3.2), a masked model. So `objective` is an argument; the default is autoregressive, the one VSD2M timed.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import cos, pi
from typing import Any, Literal

import torch
from einops import rearrange
from timm.layers import Mlp
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from transformers.generation.logits_process import TopKLogitsWarper, TopPLogitsWarper

from glassine.models.sticker_clip import HashedTags, TagVocabulary
from glassine.models.video_vqvae import Attention, VideoVQVAE
from glassine.nn.diffusion import zero_module

Generator = torch.Generator | None


@dataclass(frozen=True)
class TokenSampling:
    """Settings for sampling codes.

    Attributes:
        temperature: divides the logits; 0 takes the most likely code.
        top_k: sample from the k most likely codes; None for all.
        top_p: sample from the most likely codes whose probabilities sum up to this, in (0, 1].
        guidance_scale: scale of classifier-free guidance by the tags (arXiv 2207.12598); 1 is off.
        steps: forward passes of a masked prior, 12 in MAGVIT. An autoregressive prior needs one per code.

    Raises:
        ValueError: a setting out of range.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    guidance_scale: float = 1.0
    steps: int = 12

    def __post_init__(self) -> None:
        whole = min(self.steps, 1 if self.top_k is None else self.top_k)
        if self.temperature < 0 or whole < 1 or not 0 < self.top_p <= 1:
            raise ValueError(f"temperature must be at least 0, top_k and steps at least 1, top_p in (0, 1], got {self}")

    def warpers(self) -> list[Any]:
        """transformers' logits warpers for `top_k` and `top_p`, which take logits `n k`."""
        kept = [TopKLogitsWarper(self.top_k)] if self.top_k else []
        return [*kept, TopPLogitsWarper(self.top_p)] if self.top_p < 1 else kept

    def draw(self, logits: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Sample codes `b ...` and return them with their log-probabilities `b ...`.

        Args:
            logits: `b ... k`; with guidance `2b ... k`, first those with tags, then those without.
            generator: source of randomness; None is torch's default.
        """
        if self.guidance_scale != 1:
            cond, uncond = logits.chunk(2)
            logits = uncond + self.guidance_scale * (cond - uncond)
        logits = logits.float() / (self.temperature or 1)
        flat = logits.flatten(0, -2)  # n k, the shape that the warpers need
        for warper in self.warpers():
            flat = warper(None, flat)
        logits = flat.view_as(logits)
        codes = (logits + gumbel(logits, generator) if self.temperature else logits).argmax(-1)
        return codes, logits.log_softmax(-1).gather(-1, codes[..., None])[..., 0]


def gumbel(like: Tensor, generator: Generator) -> Tensor:
    """Gumbel noise of the shape of `like`, sampled on the generator's device: argmax(logits + noise) is a sample."""
    place = like.device if generator is None else generator.device
    return -(-torch.rand(like.shape, generator=generator, device=place).log()).log().to(like)


Progress = Callable[[int, int], None]


class VideoGPT(nn.Module):
    """Transformer over the flattened codes of a clip, preceded by a token for its tags.

    As in the authors' code, the inputs are the vectors of the codes, the output layer is zero-initialized, positions
    are one learned table per axis, concatenated, and attention is full. Their code conditions the gain and offset of
    each norm on a class. Here the first token is the mean of the tags' vectors, as it is the class in MAGVIT: this
    allows any number of tags in any order, and conditional norms in 20 layers for 500 tags would have 24 M parameters.
    A separate vector stands for stickers without known tags.

    Args:
        vqvae: a trained `VideoVQVAE` (typed as a module so that a loader can create it); frozen.
        tags: the vocabulary, see `TagVocabulary.count`; other words are ignored. A number allows any words, which are
            hashed to this many places, see `HashedTags`.
        frames: frames of a clip.
        size: height and width of a clip in pixels.
        width: channels of a token; a multiple of `heads`.
        layers: number of transformer blocks.
        heads: heads of each attention.
        dropout: dropout after attention and after feed-forward.
        objective: `autoregressive` predicts each code from those before it. `masked` predicts all codes from the
            unmasked ones, with bidirectional attention and with the mask schedule and sampling order of MaskGIT
            (MAGVIT, section 2).
        gradient_checkpointing: recompute the blocks in the backward pass to save memory, as the authors do.

    Raises:
        TypeError: `vqvae` is not a `VideoVQVAE`.
        ValueError: `width` is not a multiple of `heads`, or a tag occurs twice.
        UserError: the VQ-VAE cannot encode clips of this size.
    """

    def __init__(
        self,
        vqvae: nn.Module,
        tags: list[str] | int,
        frames: int = 8,
        size: tuple[int, int] = (256, 256),
        width: int = 576,
        layers: int = 20,
        heads: int = 4,
        dropout: float = 0.2,
        objective: Literal["autoregressive", "masked"] = "autoregressive",
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        if not isinstance(vqvae, VideoVQVAE):
            raise TypeError(f"vqvae must be a VideoVQVAE, got a {type(vqvae).__name__}")
        if width % heads:
            raise ValueError(f"width must be a multiple of heads ({heads}), got {width}")
        self.vqvae = vqvae.requires_grad_(False).eval()
        self.vocabulary = HashedTags(tags) if isinstance(tags, int) else TagVocabulary(tags)
        self.grid = vqvae.grid(frames, size)
        self.masked, self.gradient_checkpointing = objective == "masked", gradient_checkpointing
        self.tags = nn.Parameter(torch.randn(tags if isinstance(tags, int) else len(tags), vqvae.code_width))
        self.no_tags = nn.Parameter(torch.randn(vqvae.code_width))
        self.mask = nn.Parameter(torch.randn(1, vqvae.code_width)) if self.masked else None
        self.input = nn.Linear(vqvae.code_width, width, bias=False)
        widths = (width // 3, width // 3, width - 2 * (width // 3))
        self.positions = nn.ParameterList(torch.randn(n, d) * 0.01 for n, d in zip(self.grid, widths, strict=True))
        self.blocks = nn.ModuleList(Block(width, heads, dropout, not self.masked) for _ in range(layers))
        self.norm, self.output = nn.LayerNorm(width), nn.Linear(width, vqvae.codes, bias=False)
        nn.init.normal_(self.input.weight, std=0.02)
        zero_module(self.output)

    def train(self, mode: bool = True) -> "VideoGPT":
        """Set the mode of the prior; the VQ-VAE stays in eval mode."""
        super().train(mode)
        self.vqvae.eval()
        return self

    @torch.no_grad()
    def encode(self, clip: Tensor) -> Tensor:
        """Codes `b n` of clips `b f 3 h w` in [0, 1], ordered by frame, row and column."""
        return self.vqvae.encode(clip).flatten(1)

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Clips `b f 3 h w` in [0, 1] from codes `b n`."""
        return self.vqvae.decode(codes.unflatten(1, self.grid))

    def nats(self, codes: Tensor, mixture: Tensor, generator: Generator = None) -> Tensor:
        """Negative log-likelihood `b n` in nats of codes `b n`, given tags `b v` (see `TagVocabulary.mixture`).

        For a masked prior it is computed for all codes, masked or not, as in VSD2M's equation 1; `generator` (on the
        CPU) samples the masks.
        """
        given = codes
        if self.masked:
            count = (torch.rand(len(codes), 1, generator=generator) * pi / 2).cos() * codes.shape[1]  # b 1
            ranks = torch.rand(codes.shape, generator=generator).argsort(1).argsort(1)
            given = codes.masked_fill((ranks < count).to(codes.device), self.vqvae.codes)
        logits = self(given, mixture).float()
        return F.cross_entropy(rearrange(logits, "b n k -> b k n"), codes, reduction="none")

    def forward(self, codes: Tensor, mixture: Tensor) -> Tensor:
        """Logits `b n k` for codes `b n`, given tags `b v`; index `vqvae.codes` is the mask token of a masked prior."""
        start = self.input(self.tag_vectors(mixture))[:, None]  # b 1 d
        table = self.vqvae.codebook.vectors
        if self.mask is not None:
            tokens = self.input(torch.cat([table, self.mask])[codes]) + self.places()
            x = torch.cat([start, tokens], dim=1)  # b 1+n d
        else:
            x = torch.cat([start, self.input(table[codes[:, :-1]])], dim=1) + self.places()  # b n d
        for block in self.blocks:
            again = self.gradient_checkpointing and self.training
            x = checkpoint(block, x, use_reentrant=False) if again else block(x)
        return self.output(self.norm(x[:, -codes.shape[1] :]))

    def tag_vectors(self, mixture: Tensor) -> Tensor:
        """`b v` to `b c`: the mean of the tags' vectors, or the vector for no tags."""
        return mixture @ self.tags + (1 - mixture.sum(1, keepdim=True)) * self.no_tags

    def places(self) -> Tensor:
        """Position embeddings, `n d`."""
        f, h, w = self.positions
        shape = (*self.grid, -1)
        axes = f[:, None, None].expand(shape), h[None, :, None].expand(shape), w[None, None].expand(shape)
        return torch.cat(axes, dim=-1).flatten(0, 2)

    @torch.no_grad()
    def sample(
        self,
        tags: Sequence[Iterable[str]],
        sampling: TokenSampling | None = None,
        generator: Generator = None,
        progress: Progress | None = None,
    ) -> Tensor:
        """Generate clips `b f 3 h w` in [0, 1], one per list of tags.

        Args:
            tags: words of each clip; a list without a known word generates a random sticker.
            sampling: settings; None for the defaults of `TokenSampling`.
            generator: source of randomness; the same seed gives the same codes.
            progress: called after each step with the number of steps done and their total.
        """
        sampling = sampling or TokenSampling()
        mixture = self.vocabulary.mixture(tags).to(self.no_tags)
        if sampling.guidance_scale != 1:
            mixture = torch.cat([mixture, torch.zeros_like(mixture)])
        draw = self.draw_masked if self.masked else self.draw_serially
        for done, codes in enumerate(draw(mixture, sampling, generator), 1):
            if progress is not None:
                progress(done, sampling.steps if self.masked else codes.shape[1])
        return self.decode(codes[: len(tags)])

    def draw_serially(self, mixture: Tensor, sampling: TokenSampling, generator: Generator) -> Iterator[Tensor]:
        """Sample one code per step; yields codes `b n`, of which the first i are valid after step i."""
        places, vectors = self.places(), self.tag_vectors(mixture)  # n d, b c
        codes = torch.zeros(len(mixture), len(places), dtype=torch.long, device=mixture.device)
        caches: list[list[Tensor]] = [[] for _ in self.blocks]
        for step, place in enumerate(places):
            x = (self.input(vectors) + place)[:, None]  # b 1 d
            for block, cache in zip(self.blocks, caches, strict=True):
                x = block(x, cache)
            drawn, _ = sampling.draw(self.output(self.norm(x[:, 0])), generator)  # b
            codes[:, step] = drawn.repeat(len(codes) // len(drawn))  # with guidance, for both halves of the batch
            vectors = self.vqvae.codebook.vectors[codes[:, step]]
            yield codes

    def draw_masked(self, mixture: Tensor, sampling: TokenSampling, generator: Generator) -> Iterator[Tensor]:
        """MaskGIT's decoding: keep the most confident codes in each pass, mask the others; yields codes `b n`."""
        n, masked = len(self.places()), self.vqvae.codes
        codes = torch.full((len(mixture), n), masked, device=mixture.device)
        for step in range(1, sampling.steps + 1):
            drawn, sureness = sampling.draw(self(codes, mixture), generator)  # b n
            known = codes[: len(drawn)] != masked
            noise = gumbel(sureness, generator) * sampling.temperature * (1 - step / sampling.steps)
            ranks = (sureness + noise).masked_fill(known, torch.inf).argsort(1, descending=True).argsort(1)
            kept = ranks < n - int(n * cos(pi / 2 * step / sampling.steps))
            codes = torch.where(known, codes[: len(drawn)], torch.where(kept, drawn, masked))
            codes = codes.repeat(len(mixture) // len(drawn), 1)
            yield codes


class Block(nn.Module):
    """Transformer block with pre-norm attention and feed-forward."""

    def __init__(self, width: int, heads: int, dropout: float, causal: bool) -> None:
        super().__init__()
        self.attention_norm, self.attention = nn.LayerNorm(width), Attention(width, heads, causal)
        self.mlp_norm, self.mlp = nn.LayerNorm(width), Mlp(width, 4 * width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, cache: list[Tensor] | None = None) -> Tensor:
        """`b n d` to the same; see `Attention` for the `cache`."""
        x = x + self.dropout(self.attention(self.attention_norm(x), cache))
        return x + self.dropout(self.mlp(self.mlp_norm(x)))
