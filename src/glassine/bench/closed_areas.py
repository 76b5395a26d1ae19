"""Train the small classifiers that separate holes from parts of a sticker (`pipelines.regions`).

The examples are closed areas in stickers of the training split: for one network on flat, patterned and graded
backgrounds after JPEG and GIF-palette compression (`pipelines.damaged_areas`), for the other on undamaged white.
Accuracy is reported by leave-one-family-out cross-validation over sticker styles.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from glassine.bench.style_cases import CONDITIONS, Case, show
from glassine.pipelines.background_track import BackgroundTrack
from glassine.pipelines.closed_cutout import ClosedCutter
from glassine.pipelines.damaged_areas import MOST, SHAPES, log_odds
from glassine.pipelines.regions import BIAS, FEATURES, UNDECIDED, WEIGHTS
from glassine.utils.files import atomic_path

DAMAGED = tuple(name for name in CONDITIONS if "+" in name and "scene" not in name)
WHITE = ("white",)
# styles that are held out together; every other style is held out alone
FAMILIES = (("fluent", "fluent-3d"), ("fluent-flat",), ("noto", "noto-animated"))
HIDDEN, STEPS, BATCH, RATE, DECAY = 24, 1500, 512, 0.01, 0.003
SURE = 0.7  # mean true alpha from which an area counts as a part; below 1 - SURE it counts as a hole
MOST_SHARE = 0.3  # an area is weighted by the square root of its share of the sticker, capped at this share


@dataclass(frozen=True)
class Examples:
    """Labelled closed areas.

    Attributes:
        features: `n d`: `FEATURES`, and `SHAPES` in damaged files.
        holes: `n` bool, the label: hole or part.
        shares: `n`, pixels of the area over visible pixels of the sticker.
        styles: `n`, style of the sticker.
    """

    features: NDArray[np.float32]
    holes: NDArray[np.bool_]
    shares: NDArray[np.float32]
    styles: NDArray[np.str_]


def gather(
    cases: Sequence[Case], conditions: Sequence[str] = DAMAGED, advance: Callable[[], None] = lambda: None
) -> Examples:
    """Collect the closed areas that the closed form finds.

    Areas of files in which the closed form sees no damage have no `SHAPES`; they are left out of damaged conditions.

    Args:
        cases: stickers with true alpha.
        conditions: keys of `style_cases.CONDITIONS`, all of them damaged (with a "+") or none.
        advance: called after each sticker of each condition.
    """
    features, holes, shares, styles = [], [], [], []
    damaged = "+" in conditions[0]
    for condition in conditions:
        for case in cases:
            pictures = [np.ascontiguousarray(frame[..., :3]) for frame in show(case, condition)]
            cutter = ClosedCutter(BackgroundTrack(pictures, None))
            for picture, alpha in zip(pictures, case.frames[..., 3], strict=True):
                cut = cutter.cut(picture)
                visible = max(1, int((alpha > 0).sum()))
                for area in cut.described if cut.areas is not None else []:
                    solid = float(alpha[cut.areas == area.number].mean()) / 255
                    if (area.shapes is not None) != damaged or 1 - SURE < solid < SURE:
                        continue
                    features.append(np.concatenate([area.features, *([area.shapes] if damaged else [])]))
                    holes.append(solid < 0.5)
                    shares.append(area.pixels / visible)
                    styles.append(case.style)
            advance()
    count = len(FEATURES) + damaged * len(SHAPES)
    return Examples(
        np.asarray(features, np.float32).reshape(-1, count),
        np.asarray(holes, bool),
        np.asarray(shares, np.float32),
        np.asarray(styles, np.str_),
    )


def fit(
    examples: Examples, chosen: NDArray[np.bool_] | slice = slice(None), seed: int = 0
) -> dict[str, NDArray[np.float32]]:
    """Train the classifier, with equal total weight for each style.

    Args:
        examples: from `gather`.
        chosen: mask `n` of the training examples; all by default.
        seed: of initialization, batches and dropout.

    Returns:
        The network's arrays by name, as `damaged_areas.log_odds` takes them.
    """
    generator = torch.Generator().manual_seed(seed)
    features = examples.features[chosen]
    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-3
    inputs = torch.from_numpy((features - mean) / scale).clamp(-MOST, MOST)
    truth = torch.from_numpy(examples.holes[chosen].astype(np.float32))
    weights = np.sqrt(np.minimum(examples.shares[chosen], MOST_SHARE))
    for style in np.unique(examples.styles[chosen]):
        mine = examples.styles[chosen] == style
        weights[mine] /= weights[mine].sum()
    first, second = nn.Linear(inputs.shape[1], HIDDEN), nn.Linear(HIDDEN, 1)
    for layer in (first, second):
        bound = layer.in_features**-0.5
        for parameter in layer.parameters():
            nn.init.uniform_(parameter, -bound, bound, generator=generator)
    optimizer = torch.optim.AdamW([*first.parameters(), *second.parameters()], RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, STEPS)
    chance = torch.from_numpy(weights)
    for _ in range(STEPS):
        batch = torch.multinomial(chance, BATCH, replacement=True, generator=generator)
        hidden = first(inputs[batch]).relu()
        kept = torch.rand(hidden.shape, generator=generator) < 0.8  # dropout
        loss = F.binary_cross_entropy_with_logits(second(hidden * kept / 0.8)[:, 0], truth[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    layers = {"w1": first.weight.T, "b1": first.bias, "w2": second.weight[0], "b2": second.bias}
    return {"mean": mean, "scale": scale} | {
        name: np.ascontiguousarray(value.detach().numpy()) for name, value in layers.items()
    }


def left_out(examples: Examples) -> dict[str, dict[str, float]]:
    """Accuracy on each style, weighted by area, of a network trained without that style's family.

    Returns:
        Style -> `areas` (number of areas), `holes` (share of holes), and the accuracies of the logistic fit on
        undamaged files (`rule`), of this network (`network`) and of both together (`both`); shares and accuracies in
        [0, 1], weighted by area.
    """
    styles = np.unique(examples.styles).tolist()
    grouped = {style for family in FAMILIES for style in family}
    folds = [*FAMILIES, *((style,) for style in styles if style not in grouped)]
    rule = np.clip(examples.features[:, : len(FEATURES)] @ WEIGHTS.astype(np.float32) + BIAS, -5, 5)
    weight = UNDECIDED if examples.features.shape[1] > len(FEATURES) else 1.0
    found: dict[str, dict[str, float]] = {}
    for fold in folds:
        outside = np.isin(examples.styles, fold)
        if not outside.any() or outside.all():
            continue
        net = fit(examples, ~outside)
        for style in sorted(set(fold) & set(styles)):
            mine = examples.styles == style
            new = np.clip(log_odds(net, examples.features[mine]), -5, 5)
            share, truth = examples.shares[mine], examples.holes[mine]
            answers = {"rule": rule[mine], "network": new, "both": new + weight * rule[mine]}
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
