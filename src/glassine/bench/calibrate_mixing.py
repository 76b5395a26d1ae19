"""Calibrate ILDiff's mixing weights on held-out stickers: `glassine pretrain calibrate`.

This is stacking (D. Wolpert, Neural Networks 5, 1992). ILDiff mixes its decoder's alpha with the hint's candidates,
weighted by a learned trust. The decoder is better on its training stickers than on others, so a trust that is fitted on
the training stickers relies on the decoder too much. Here the network is frozen and run on clips of held-out groups,
and only the hint's trust, a few hundred parameters, is fitted to its outputs. The gain on new stickers is estimated by
two-fold cross-fitting over groups.
"""

import copy
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from glassine.bench.loading import load_network
from glassine.bench.progress import Progress, progress_bar
from glassine.bench.protocols import CONDITION_TITLES, AlphaEvalSet
from glassine.bench.tables import Table, percent
from glassine.data.clips import ShardClips
from glassine.data.dataset import StickerDataset
from glassine.data.transforms import StickerTransform
from glassine.models.ildiff import ILDiff, LayoutHint
from glassine.models.vae import RoundTrip
from glassine.pretrained.weights import load_bundle, save_bundle
from glassine.utils.errors import UserError

PIXELS = 12_000  # sampled from each frame; more do not change the fit
FLOOR = 1e-5  # added to the squared error, so that gains beyond 50 dB hardly count
# flat backgrounds with typical file damage; not faded stickers, which cannot be told from pale opaque ones
CONDITIONS = ("white", "gray", "own_color", "own_color_jpeg75", "white_gif_palette", "vae_decoded")
TRAINING = "as in training"
DRAWS = 2  # how often each sticker is drawn with training's random backgrounds and damage


@dataclass(frozen=True)
class Answers:
    """The network's outputs for `n` frames, at `p` sampled pixels of each.

    Attributes:
        statistics: `n s`, the input from which trust is computed.
        choices: `n m p`, the alphas that are mixed, the decoder's own first.
        logits: `n m p`, the decoder's mixing logits.
        truth: `n p`, true alpha.
        conditions: condition of each frame, `n`.
        groups: group of each frame's sticker, `n`.
    """

    statistics: Tensor
    choices: Tensor
    logits: Tensor
    truth: Tensor
    conditions: tuple[str, ...]
    groups: tuple[str, ...]

    def psnr(self, trust: Tensor, rows: Tensor) -> Tensor:
        """PSNR in dB of the alpha mixed by `trust` `n m`, of the frames with the indices `rows`."""
        return -10 * squared_error(trust[rows], self.logits[rows], self.choices[rows], self.truth[rows]).log10()


@torch.no_grad()
def collect(ildiff: ILDiff, samples: Iterable[tuple[str, dict[str, Any]]], seed: int = 0) -> Answers:
    """Run the network on held-out samples.

    Args:
        ildiff: with a hint, in eval mode.
        samples: pairs of condition and sample (`clip` `f 3 h w`, `alpha` `f 1 h w`, `group`).
        seed: of the sampled pixels.
    """
    generator, device = torch.Generator().manual_seed(seed), next(ildiff.parameters()).device
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
            chosen = torch.randperm(truth.numel(), generator=generator)[:PIXELS]
            parts = (choices[frame], decoded[frame, 4:], truth)
            known = (part.flatten(1).cpu()[:, chosen].half() for part in parts)
            rows.append((statistics[0, frame].cpu(), *known, condition, sample["group"]))
    statistics, choices, logits, truth = (torch.stack([row[at] for row in rows]).float() for at in range(4))
    return Answers(statistics, choices, logits, truth[:, 0], *(tuple(row[at] for row in rows) for at in (4, 5)))


def fit_trust(hint: LayoutHint, answers: Answers, rows: Tensor | None = None, steps: int = 800, seed: int = 0) -> None:
    """Fit the trust of `hint` in place, from a fresh initialization, to maximize the mean PSNR over frames.

    Args:
        hint: whose trust is fitted.
        answers: outputs of the frozen network.
        rows: indices of the frames to fit on; None for all.
        steps: of the optimizer.
        seed: of the initialization and the batches.
    """
    generator = torch.Generator().manual_seed(seed)
    first, *others = hint.trust.parameters()
    nn.init.kaiming_uniform_(first, a=5**0.5, generator=generator)  # torch's default for linear layers
    for parameter in others:
        nn.init.zeros_(parameter)  # start from equal trust
    rows = torch.arange(len(answers.truth)) if rows is None else rows
    optimizer = torch.optim.AdamW(hint.trust.parameters(), lr=0.01, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, steps)
    for _ in range(steps):
        batch = rows[torch.randint(len(rows), (48,), generator=generator)]
        pixels = answers.truth.shape[1]
        seen = torch.randint(pixels, (min(pixels, 2000),), generator=generator)
        parts = (x[batch][..., seen] for x in (answers.logits, answers.choices, answers.truth))
        loss = squared_error(hint.weigh(answers.statistics[batch]), *parts).log().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def cross_fitted(hint: LayoutHint, answers: Answers, steps: int = 800) -> Tensor:
    """Trust `n m` by two-fold cross-fitting: each frame's is from a fit on the half of the groups without its own."""
    half = torch.tensor([hashlib.sha256(group.encode()).digest()[-1] % 2 for group in answers.groups])
    if half.float().mean() in (0, 1):
        raise UserError(f"the groups must fall into two halves, got {len(set(answers.groups))} in one: give more data")
    trust = torch.zeros_like(answers.choices[:, :, 0])
    for side in (0, 1):
        copied = copy.deepcopy(hint)
        fit_trust(copied, answers, (half != side).nonzero()[:, 0], steps)
        with torch.no_grad():
            trust[half == side] = copied.weigh(answers.statistics[half == side])
    return trust


def squared_error(trust: Tensor, logits: Tensor, choices: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error over pixels, `n`, plus `FLOOR`, of the alpha mixed by `trust` `n m`."""
    weights = (logits + trust[..., None]).softmax(dim=1)  # n m p
    return ((weights * choices).sum(dim=1) - truth).square().mean(dim=1) + FLOOR


def calibrate_mixing(
    folder: Path, data: str, device: torch.device, size: int = 256, vae: str = "glassine:tiny-vae", steps: int = 800
) -> Table:
    """Fit the trust of a bundle's hint and save it in place.

    Args:
        folder: weights of an `ILDiff` with a hint, as `glassine export weights` writes them.
        data: shard folder; its validation groups are used.
        device: where the network runs.
        size: height and width of the clips, pixels.
        vae: VAE of the condition `vae_decoded`, see `load_network`.
        steps: optimizer steps of each fit.

    Returns:
        Table of PSNR by condition: before, and after (cross-fitted).

    Raises:
        UserError: the weights are missing or have no hint, or the validation groups have no animated sticker.
    """
    network = load_bundle(str(folder))
    if not isinstance(network, ILDiff) or not isinstance(network.hint, LayoutHint):
        raise UserError(f"{folder} must be an ILDiff with a LayoutHint, got a {type(network).__name__}")
    round_trip = RoundTrip(load_network(vae, "vae").network)
    answers = answers_of(network.to(device), data, size, round_trip)
    hint = network.cpu().hint
    assert isinstance(hint, LayoutHint)
    with torch.no_grad():
        before = hint.weigh(answers.statistics)
    after = cross_fitted(hint, answers, steps)
    fit_trust(hint, answers, steps=steps)
    save_bundle(network, yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8")), folder)
    return compared(answers, before, after)


def answers_of(network: ILDiff, data: str, size: int, round_trip: RoundTrip) -> Answers:
    """Outputs for two frames of one animated sticker of each validation group, under every condition."""
    eval_set = AlphaEvalSet(data, "val", size, num_frames=2, round_trip=round_trip)
    sets = [(name, eval_set.dataset(name)) for name in CONDITIONS]
    parts = [ShardClips(eval_set.shards, eval_set.rows)]
    how = (eval_set.num_frames, (size, size), StickerTransform())
    sets += [(TRAINING, StickerDataset(parts, *how, seed=draw)) for draw in range(DRAWS)]

    def samples(tell: Progress) -> Iterator[tuple[str, dict[str, Any]]]:
        for place, (name, clips) in enumerate(sets):
            for row in range(len(clips)):
                tell(name, place * len(clips) + row, len(sets) * len(clips))
                yield name, clips[row]

    with progress_bar() as tell:
        return collect(network, samples(tell))


def compared(answers: Answers, before: torch.Tensor, after: torch.Tensor) -> Table:
    """Table of mean PSNR (share under 20 dB) by condition, for the trust `before` and `after`, each `n m`."""
    lines = []
    for name in dict.fromkeys(answers.conditions):
        rows = torch.tensor([place for place, condition in enumerate(answers.conditions) if condition == name])
        scores = [answers.psnr(trust, rows) for trust in (before, after)]
        cells = [f"{score.mean():.1f} ({percent((score < 20).float().mean().item())})" for score in scores]
        lines.append([CONDITION_TITLES.get(name, name), *cells])
    return ["alpha PSNR, dB", "before", "fitted, on the other half"], lines
