"""VideoGPT's second stage (arXiv 2104.10157): a transformer over the codes of a frozen VQ-VAE, conditioned on tags.

Size: VSD2M (table 4) says 0.102 B, neither depth nor width. Its other rows count VAE and text encoder, so here VQ-VAE
and prior count together: the authors' VQ-VAE (21.14 M), width 576 and 4 heads of their prior, 20 layers as in their
larger one for GIFs (github.com/wilson1yan/VideoGPT; VideoGPT-Paper, `gpt_large`): 102.36 M with 500 tags. If the prior
alone were meant, 8 layers of width 1024 and 1024 codes have 102.23 M. The authors' own combinations do not fit: 49, 54
and 276 M.

Objective: VideoGPT is autoregressive, and VSD2M explains its 193 s per clip by "serial prediction". But its text
("embeds conditions as corrupted visual tokens into multivariate mask", equation 1) is that of MAGVIT (arXiv 2212.05199,
section 3.2), a masked model. So `objective` is an argument, and what was timed is the default.

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
    """Settings of sampling codes.

    Attributes:
        temperature: divides the logits; 0 takes the likeliest code.
        top_k: draw among this many of the likeliest; None for all.
        top_p: draw among the likeliest that together have this probability, above 0 to 1.
        guidance_scale: 1 is off; more moves logits away from those for no tags (arXiv 2207.12598).
        steps: passes of a masked prior, 12 in MAGVIT; an autoregressive one needs one per code.
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
        """transformers' restrictions of the logits `n k`."""
        kept = [TopKLogitsWarper(self.top_k)] if self.top_k else []
        return [*kept, TopPLogitsWarper(self.top_p)] if self.top_p < 1 else kept

    def draw(self, logits: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Codes and the logarithms of their probabilities, `b ...`, from logits `b ... k`; `2b ... k` with guidance."""
        if self.guidance_scale != 1:
            cond, uncond = logits.chunk(2)
            logits = uncond + self.guidance_scale * (cond - uncond)
        logits = logits.float() / (self.temperature or 1)
        flat = logits.flatten(0, -2)  # n k, as the warpers need it
        for warper in self.warpers():
            flat = warper(None, flat)
        logits = flat.view_as(logits)
        codes = (logits + gumbel(logits, generator) if self.temperature else logits).argmax(-1)
        return codes, logits.log_softmax(-1).gather(-1, codes[..., None])[..., 0]


def gumbel(like: Tensor, generator: Generator) -> Tensor:
    """Gumbel noise of a tensor's shape, drawn where the generator is: the largest of logits + noise is a fair draw."""
    place = like.device if generator is None else generator.device
    return -(-torch.rand(like.shape, generator=generator, device=place).log()).log().to(like)


Progress = Callable[[int, int], None]


class VideoGPT(nn.Module):
    """Transformer over the flattened codes of a clip, after a token for its tags.

    As in the authors' code: the vectors of codes are the input, the output layer starts at zero, positions are a table
    an axis, side by side, attention is full. Theirs conditions each norm's gain and offset on a class; here the mean
    of the tags' vectors is the first token, as a class is in MAGVIT: it takes any number of tags in any order, and 20
    layers of norms for 500 tags would be 24 M parameters. Another vector is for stickers without known tags.

    Args:
        vqvae: a trained `VideoVQVAE` (typed as a module so that a loader may make it); frozen.
        tags: the vocabulary, see `TagVocabulary.count`; other words are ignored. A number takes any words, by their
            hashes, see `HashedTags`.
        frames: of a clip.
        size: its height and width in pixels.
        width: of a token; a multiple of `heads`.
        layers: transformer blocks.
        heads: of each attention.
        dropout: after attention and after feed-forward.
        objective: `autoregressive`, each code from those before it; or `masked`, all codes from those not masked, with
            masks and order of MaskGIT (MAGVIT, section 2), attention both ways.
        gradient_checkpointing: compute blocks again in the backward pass, as the authors do, to save memory.

    Raises:
        TypeError: `vqvae` is another network.
        ValueError: a width that does not divide, or a tag twice.
        UserError: the VQ-VAE cannot take such clips.
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
        """Codes `b n` of clips `b f 3 h w` in [0, 1], frame by frame and row by row."""
        return self.vqvae.encode(clip).flatten(1)

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Clips `b f 3 h w` in [0, 1] of codes `b n`."""
        return self.vqvae.decode(codes.unflatten(1, self.grid))

    def nats(self, codes: Tensor, mixture: Tensor, generator: Generator = None) -> Tensor:
        """-log p, `b n`, of the codes `b n` of stickers with tags `b v` (see `TagVocabulary.mixture`).

        A masked prior answers for all codes, masked or not, as equation 1 has it; `generator` (CPU) draws the masks.
        """
        given = codes
        if self.masked:
            count = (torch.rand(len(codes), 1, generator=generator) * pi / 2).cos() * codes.shape[1]  # b 1
            ranks = torch.rand(codes.shape, generator=generator).argsort(1).argsort(1)
            given = codes.masked_fill((ranks < count).to(codes.device), self.vqvae.codes)
        logits = self(given, mixture).float()
        return F.cross_entropy(rearrange(logits, "b n k -> b k n"), codes, reduction="none")

    def forward(self, codes: Tensor, mixture: Tensor) -> Tensor:
        """Logits `b n k` for the codes `b n`; `vqvae.codes` is the mask token of a masked prior."""
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
        """`b v` to `b c`: the mean of the tags' vectors, or the one for none."""
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
        """Clips `b f 3 h w` in [0, 1], one for each list of tags.

        Args:
            tags: words; a list without a known one generates any sticker.
            sampling: see there; None for its defaults.
            generator: source of randomness; a seed gives the same codes on every run.
            progress: called after each step with the steps done and their total.
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
        """Codes `b n` after each step, one more each time."""
        places, vectors = self.places(), self.tag_vectors(mixture)  # n d, b c
        codes = torch.zeros(len(mixture), len(places), dtype=torch.long, device=mixture.device)
        caches: list[list[Tensor]] = [[] for _ in self.blocks]
        for step, place in enumerate(places):
            x = (self.input(vectors) + place)[:, None]  # b 1 d
            for block, cache in zip(self.blocks, caches, strict=True):
                x = block(x, cache)
            drawn, _ = sampling.draw(self.output(self.norm(x[:, 0])), generator)  # b
            codes[:, step] = drawn.repeat(len(codes) // len(drawn))  # with guidance, all of them twice
            vectors = self.vqvae.codebook.vectors[codes[:, step]]
            yield codes

    def draw_masked(self, mixture: Tensor, sampling: TokenSampling, generator: Generator) -> Iterator[Tensor]:
        """Codes `b n` after each pass: the most confident codes are kept, others drawn again (MaskGIT's order)."""
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
    """Attention and feed-forward, each after a norm, around an identity."""

    def __init__(self, width: int, heads: int, dropout: float, causal: bool) -> None:
        super().__init__()
        self.attention_norm, self.attention = nn.LayerNorm(width), Attention(width, heads, causal)
        self.mlp_norm, self.mlp = nn.LayerNorm(width), Mlp(width, 4 * width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, cache: list[Tensor] | None = None) -> Tensor:
        """`b n d` to the same; see `Attention` for the `cache`."""
        x = x + self.dropout(self.attention(self.attention_norm(x), cache))
        return x + self.dropout(self.mlp(self.mlp_norm(x)))
