"""Train the small classifiers that separate holes from parts of a sticker (`pipelines.area_networks`).

The examples are closed areas in stickers of the training split, for three networks: after JPEG and GIF-palette
compression, undamaged on white, and undamaged on other colors and patterns. Accuracy is reported by
leave-one-family-out cross-validation over sticker styles.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from glassine.bench.style_cases import CONDITIONS, Case, seed_of, show
from glassine.data.shards import resize_frames
from glassine.pipelines.area_networks import MOST, AreaNetwork, log_odds
from glassine.pipelines.area_shapes import SHAPES
from glassine.pipelines.background_track import BackgroundTrack
from glassine.pipelines.closed_cutout import ClosedCutter
from glassine.pipelines.regions import FEATURES, rule_evidence
from glassine.utils.files import atomic_path

SEEN_ON = {
    "damaged": tuple(name for name in CONDITIONS if "+" in name and "gradient" not in name),
    "white": ("white",),
    "color": ("gray", "own", "gradient", "two_colors", "checkerboard"),
}
"""The conditions whose areas each of `NETWORKS` learns from."""
# styles that are held out together; every other style is held out alone
FAMILIES = (("fluent", "fluent-3d"), ("fluent-flat",), ("noto", "noto-animated"))
MEMBERS = 3  # networks from other seeds, whose mean is one of that many times the width
HIDDEN, STEPS, BATCH, RATE, DECAY = 24, 1500, 512, 0.01, 0.003
CERTAIN = 0.7  # mean true alpha from which an area counts as a part; below 1 - CERTAIN it counts as a hole
MOST_SHARE = 0.3  # an area is weighted by the square root of its share of the sticker, capped at this share


@dataclass(frozen=True)
class Examples:
    """Labelled closed areas.

    Attributes:
        features: `n d`: `FEATURES` and `SHAPES`.
        holes: `n` bool, the label: hole or part.
        shares: `n`, pixels of the area over visible pixels of the sticker.
        styles: `n`, style of the sticker.
        stickers: `n`, key of the sticker, and its condition.
    """

    features: NDArray[np.float32]
    holes: NDArray[np.bool_]
    shares: NDArray[np.float32]
    styles: NDArray[np.str_]
    stickers: NDArray[np.str_]


def gather(cases: Sequence[Case], conditions: Sequence[str], advance: Callable[[], None] = lambda: None) -> Examples:
    """Collect the closed areas that the closed form finds.

    Of damaged files only those in which the closed form sees damage count, since the others ask another network. Half
    of the stickers get a margin: drawings fill their canvas, what users bring seldom does.

    Args:
        cases: stickers with true alpha.
        conditions: keys of `style_cases.CONDITIONS`.
        advance: called after each sticker of each condition.
    """
    found = list[tuple[NDArray[np.float32], bool, float, str, str]]()
    for condition in conditions:
        for plain in cases:
            case = _with_margin(plain, np.random.default_rng(seed_of(plain, condition)))
            pictures = [np.ascontiguousarray(frame[..., :3]) for frame in show(case, condition)]
            cutter = ClosedCutter(BackgroundTrack(pictures, None))
            before: NDArray[np.uint8] | None = None
            for picture, alpha in zip(pictures, case.frames[..., 3], strict=True):
                if before is not None and np.array_equal(before, picture):
                    continue  # a still
                before, cut = picture, cutter.cut(picture)
                visible = max(1, int((alpha > 0).sum()))
                for area in cut.described if cut.areas is not None else []:
                    solid = float(alpha[cut.areas == area.number].mean()) / 255
                    if area.damaged != ("+" in condition) or 1 - CERTAIN < solid < CERTAIN:
                        continue
                    numbers = np.concatenate([area.features, area.shapes]).astype(np.float32)
                    found.append((numbers, solid < 0.5, area.pixels / visible, case.style, f"{case.key} {condition}"))
            advance()
    features, holes, shares, styles, stickers = zip(*found, strict=True) if found else ((),) * 5
    return Examples(
        np.asarray(features, np.float32).reshape(-1, len(FEATURES) + len(SHAPES)),
        np.asarray(holes, bool),
        np.asarray(shares, np.float32),
        np.asarray(styles, np.str_),
        np.asarray(stickers, np.str_),
    )


def _with_margin(case: Case, rng: np.random.Generator) -> Case:
    """The sticker as it is, or 70 to 97% as large anywhere on its canvas."""
    if rng.random() < 0.5:
        return case
    height, width = case.frames.shape[1:3]
    scale = rng.uniform(0.7, 0.97)
    small = resize_frames(case.frames, round(height * scale), round(width * scale))
    top, left = (
        int(rng.integers(0, full - part + 1)) for full, part in zip((height, width), small.shape[1:3], strict=True)
    )
    frames = np.zeros_like(case.frames)
    frames[:, top : top + small.shape[1], left : left + small.shape[2]] = small
    return replace(case, frames=frames)


def fit(
    examples: Examples, chosen: NDArray[np.bool_] | slice = slice(None), members: int = MEMBERS
) -> dict[str, NDArray[np.float32]]:
    """Train the classifier, with equal total weight for each style, and for each sticker of a style.

    Args:
        examples: from `gather`.
        chosen: mask `n` of the training examples; all by default.
        members: networks to train, from seeds 0, 1, ...; the result is their mean.

    Returns:
        The network's arrays by name, as `area_networks.log_odds` takes them.
    """
    features = examples.features[chosen]
    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-3
    inputs = torch.from_numpy((features - mean) / scale).clamp(-MOST, MOST)
    truth = torch.from_numpy(examples.holes[chosen].astype(np.float32))
    weights = np.sqrt(np.minimum(examples.shares[chosen], MOST_SHARE))
    # a chain of fifty links says no more than a ring does
    for kind in (examples.stickers[chosen], examples.styles[chosen]):
        _, places = np.unique(kind, return_inverse=True)
        weights = weights / np.bincount(places, weights)[places]
    layers = [_fit_once(inputs, truth, torch.from_numpy(weights), seed) for seed in range(members)]
    whole = {
        "w1": torch.cat([first.weight.T for first, _ in layers], dim=1),
        "b1": torch.cat([first.bias for first, _ in layers]),
        "w2": torch.cat([second.weight[0] for _, second in layers]) / members,
        "b2": torch.stack([second.bias for _, second in layers]).mean(dim=0),
    }
    return {"mean": mean, "scale": scale} | {
        name: np.ascontiguousarray(value.detach().numpy()) for name, value in whole.items()
    }


def _fit_once(
    inputs: torch.Tensor, truth: torch.Tensor, chance: torch.Tensor, seed: int
) -> tuple[nn.Linear, nn.Linear]:
    """Train one network on numbers `n d` and labels `n`, drawn with weights `n`; its two layers."""
    generator = torch.Generator().manual_seed(seed)
    first, second = nn.Linear(inputs.shape[1], HIDDEN), nn.Linear(HIDDEN, 1)
    for layer in (first, second):
        bound = layer.in_features**-0.5
        for parameter in layer.parameters():
            nn.init.uniform_(parameter, -bound, bound, generator=generator)
    optimizer = torch.optim.AdamW([*first.parameters(), *second.parameters()], RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, STEPS)
    for _ in range(STEPS):
        batch = torch.multinomial(chance, BATCH, replacement=True, generator=generator)
        hidden = first(inputs[batch]).relu()
        kept = torch.rand(hidden.shape, generator=generator) < 0.8  # dropout
        loss = F.binary_cross_entropy_with_logits(second(hidden * kept / 0.8)[:, 0], truth[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return first, second


def left_out(examples: Examples, network: AreaNetwork) -> dict[str, dict[str, float]]:
    """Accuracy on each style, weighted by area, of a network trained without that style's family.

    Args:
        examples: from `gather`.
        network: which of `NETWORKS` it is, for the rule's weight.

    Returns:
        Style -> `areas` (number of areas), `holes` (share of holes), and the accuracies of the rule in `regions`
        (`rule`), of this network (`network`) and of both together (`both`); shares and accuracies are means over
        stickers, weighted by area within each.
    """
    styles = np.unique(examples.styles).tolist()
    grouped = {style for family in FAMILIES for style in family}
    folds = [*FAMILIES, *((style,) for style in styles if style not in grouped)]
    rule = rule_evidence(examples.features[:, : len(FEATURES)])
    found: dict[str, dict[str, float]] = {}
    for fold in folds:
        outside = np.isin(examples.styles, fold)
        if not outside.any() or outside.all():
            continue
        net = fit(examples, ~outside)
        for style in sorted(set(fold) & set(styles)):
            mine = examples.styles == style
            new = log_odds(net, examples.features[mine])
            truth = examples.holes[mine]
            _, places = np.unique(examples.stickers[mine], return_inverse=True)
            share = examples.shares[mine] / np.bincount(places, examples.shares[mine])[places]
            answers = {"rule": rule[mine], "network": new, "both": new + network.rule * rule[mine]}
            found[style] = {
                "areas": int(mine.sum()),
                "holes": round(float((share * truth).sum() / share.sum()), 3),
            } | {
                name: round(float((share * ((odds > 0) == truth)).sum() / share.sum()), 3)
                for name, odds in answers.items()
            }
    return found


def write_network(net: Mapping[str, Any], path: Path) -> None:
    """Write the arrays as `.npz`, replacing an existing file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **net)
