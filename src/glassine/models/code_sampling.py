"""How codes are drawn from a network's logits."""

from dataclasses import dataclass

import torch
from torch import Tensor

Generator = torch.Generator | None


@dataclass(frozen=True)
class Sampling:
    """How codes are drawn.

    Attributes:
        temperature: divides the logits; 0 takes the likeliest code.
        top_k: draw among this many of the likeliest; None for all.
        top_p: draw among the likeliest that together have this probability, above 0 to 1.
        guidance_scale: 1 is off; more moves logits away from those for no tags (arXiv 2207.12598).
        steps: passes of a masked prior, 12 in MAGVIT; an autoregressive one takes one a code.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    guidance_scale: float = 1.0
    steps: int = 12

    def __post_init__(self) -> None:
        whole = min(self.steps, 1 if self.top_k is None else self.top_k)
        if self.temperature < 0 or whole < 1 or not 0 < self.top_p <= 1:
            raise ValueError(f"{self} came; temperature is 0 or more, top_k and steps 1 or more, top_p above 0 up to 1")

    def draw(self, logits: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Codes and the logarithms of their probabilities, `b ...`, from logits `b ... k`; `2b ... k` with guidance."""
        if self.guidance_scale != 1:
            told, untold = logits.chunk(2)
            logits = untold + self.guidance_scale * (told - untold)
        logits = logits.float() / (self.temperature or 1)
        if self.top_k:
            least = logits.topk(min(self.top_k, logits.shape[-1])).values[..., -1:]
            logits = logits.masked_fill(logits < least, -torch.inf)
        if self.top_p < 1:
            ordered, order = logits.sort(descending=True)
            chances = ordered.softmax(-1)
            surplus = chances.cumsum(-1) - chances >= self.top_p
            logits = logits.masked_fill(surplus.scatter(-1, order, surplus), -torch.inf)
        codes = (logits + gumbel(logits, generator) if self.temperature else logits).argmax(-1)
        return codes, logits.log_softmax(-1).gather(-1, codes[..., None])[..., 0]


def gumbel(like: Tensor, generator: Generator) -> Tensor:
    """Gumbel noise of a tensor's shape, drawn where the generator is: the largest of logits + noise is a fair draw."""
    place = like.device if generator is None else generator.device
    return -(-torch.rand(like.shape, generator=generator, device=place).log()).log().to(like)
