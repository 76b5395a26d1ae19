"""How much the parts of ILDiff's mix count, fitted on other stickers: stacking (D. Wolpert, Neural Networks 5, 1992).

The decoder is better on the stickers that taught it than it will be on others, so trust that is learned beside it, or
after it on the same stickers, believes it too much. Here the frozen network answers for clips of groups that it has
never seen, and the hint's trust alone, a few hundred numbers, is fitted to these answers.
"""

import copy
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from glassine.models.ildiff import ILDiff, LayoutHint

PIXELS = 12_000  # of a frame; more tell nothing new
FLOOR = 1e-5  # 50 dB: little is gained beyond


@dataclass(frozen=True)
class Answers:
    """What is known of n frames, at some of their pixels.

    Attributes:
        statistics: `n s`, what trust is made of.
        choices: `n m p`, the alphas that are mixed, the decoder's own first.
        logits: `n m p`, how the decoder would mix them.
        truth: `n p`.
        conditions: how each frame was shown.
        groups: of the stickers.
    """

    statistics: Tensor
    choices: Tensor
    logits: Tensor
    truth: Tensor
    conditions: tuple[str, ...]
    groups: tuple[str, ...]

    def psnr(self, trust: Tensor, rows: Tensor) -> Tensor:
        """Of alpha mixed by `trust` `n m`, dB, of some rows."""
        return -10 * squared_error(trust[rows], self.logits[rows], self.choices[rows], self.truth[rows]).log10()


@torch.no_grad()
def collect(ildiff: ILDiff, samples: Iterable[tuple[str, dict[str, Any]]], seed: int = 0) -> Answers:
    """Ask the network.

    Args:
        ildiff: with a hint, in eval mode.
        samples: condition and sample (`clip` `f 3 h w`, `alpha` `f 1 h w`, `group`), of stickers it was not trained on.
        seed: of the pixels.
    """
    chance, device = torch.Generator().manual_seed(seed), next(ildiff.parameters()).device
    rows: list[Any] = []
    hint: Any = ildiff.hint
    for condition, sample in samples:
        clip = sample["clip"][None].to(device)
        hints, alphas, statistics = hint.look(clip)
        latents = ildiff.adjusted_latents(clip)
        picture, _ = ildiff.picture(clip, latents)
        decoded = ildiff.saturate(ildiff.decoder(picture[0], latents[0], hints[0]))  # f 4+m h w
        choices = torch.cat([decoded[:, :1], alphas[0]], dim=1)  # f m h w
        for frame, truth in enumerate(sample["alpha"]):
            chosen = torch.randperm(truth.numel(), generator=chance)[:PIXELS]
            parts = (choices[frame], decoded[frame, 4:], truth)
            known = (part.flatten(1).cpu()[:, chosen].half() for part in parts)
            rows.append((statistics[0, frame].cpu(), *known, condition, sample["group"]))
    statistics, choices, logits, truth = (torch.stack([row[at] for row in rows]).float() for at in range(4))
    return Answers(statistics, choices, logits, truth[:, 0], *(tuple(row[at] for row in rows) for at in (4, 5)))


def fit(hint: LayoutHint, answers: Answers, rows: Tensor | None = None, steps: int = 800, seed: int = 0) -> None:
    """Fit the trust of `hint` anew, for the mean PSNR over frames: those of some rows, or all."""
    chance = torch.Generator().manual_seed(seed)
    first, *others = hint.trust.parameters()
    nn.init.kaiming_uniform_(first, a=5**0.5, generator=chance)  # torch's own for linear layers
    for parameter in others:
        nn.init.zeros_(parameter)  # all are trusted alike at first
    rows = torch.arange(len(answers.truth)) if rows is None else rows
    optimizer = torch.optim.AdamW(hint.trust.parameters(), lr=0.01, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, steps)
    for _ in range(steps):
        batch = rows[torch.randint(len(rows), (48,), generator=chance)]
        pixels = answers.truth.shape[1]
        seen = torch.randint(pixels, (min(pixels, 2000),), generator=chance)
        parts = (x[batch][..., seen] for x in (answers.logits, answers.choices, answers.truth))
        loss = squared_error(hint.weigh(answers.statistics[batch]), *parts).log().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def cross_fitted(hint: LayoutHint, answers: Answers, steps: int = 800) -> Tensor:
    """Trust `n m`, that of each row from a fit on the other half of the groups: what it is worth on new stickers."""
    half = torch.tensor([hashlib.sha256(group.encode()).digest()[-1] % 2 for group in answers.groups])
    trust = torch.zeros_like(answers.choices[:, :, 0])
    for side in (0, 1):
        copied = copy.deepcopy(hint)
        fit(copied, answers, (half != side).nonzero()[:, 0], steps)
        with torch.no_grad():
            trust[half == side] = copied.weigh(answers.statistics[half == side])
    return trust


def squared_error(trust: Tensor, logits: Tensor, choices: Tensor, truth: Tensor) -> Tensor:
    """Mean over pixels, `n`, of alpha mixed by `trust` `n m`."""
    weights = (logits + trust[..., None]).softmax(dim=1)  # n m p
    return ((weights * choices).sum(dim=1) - truth).square().mean(dim=1) + FLOOR
