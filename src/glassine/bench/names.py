"""Draw emoji names at random from all groups of stickers, and score stickers generated for them.

The scores measure whether generated stickers are recognized, as sharp as true ones, diverse over seeds, and not copies
of training stickers; see `score_names`.
"""

import random
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from glassine.bench.intervals import Interval, mean_interval, ratio_interval
from glassine.data.frame_cache import subject_of
from glassine.data.shards import StickerInfo, StickerShards, resize_frames
from glassine.data.thumbnails import DRAWINGS, Thumbnails
from glassine.metrics.generated import gradient_magnitude, mean_pairwise_distance, nearest
from glassine.metrics.image import background_color, composite_on
from glassine.models.sticker_clip import StickerNames
from glassine.utils.errors import UserError

BATCH = 64
CLOSE = 0.05  # quantile of the true drawings' distances to other drawings, below which a distance counts as close


@dataclass(frozen=True)
class EmojiName:
    """A name to generate stickers for.

    Attributes:
        group: the group of stickers that show it.
        name: as people write it, without a style.
        rows: rows of the shards, one sticker for each drawing.
        drawings: the drawing of each row: its index in `DRAWINGS`, or the source if that is not listed.
    """

    group: str
    name: str
    rows: tuple[int, ...]
    drawings: tuple[int | str, ...]


def draw_names(
    shards: StickerShards,
    count: int,
    seed: int = 0,
    known: Collection[str] | None = None,
    drawings: Sequence[Sequence[str]] = DRAWINGS,
) -> list[EmojiName]:
    """Draw names of distinct groups uniformly; the result depends only on the stickers and the seed.

    Of the stickers of a group, which differ by skin tone or gender, the one with the shortest name represents all.

    Args:
        shards: all stickers.
        count: number of names, at least 1.
        seed: of the draw.
        known: groups that may be drawn; None for all that have a name.
        drawings: lists of sources that show the same drawing.

    Raises:
        UserError: `count` is below 1 or above the number of groups.
    """
    family = {source: number for number, sources in enumerate(drawings) for source in sources}
    by_group = defaultdict[str, list[tuple[int, StickerInfo]]](list)
    for row in range(len(shards)):
        try:
            info = shards.metadata(row)
        except ValueError:
            continue  # damaged; a warning was given when the shards were opened
        subject = subject_of(info)
        if info.description and (known is None or subject in known):
            by_group[subject].append((row, info))
    if not 1 <= count <= len(by_group):
        raise UserError(f"names must be 1 to {len(by_group)}, the groups that have one, got {count}")
    chosen = random.Random(seed).sample(sorted(by_group), count)
    return [named(group, by_group[group], family) for group in chosen]


def named(group: str, stickers: Sequence[tuple[int, StickerInfo]], family: dict[str, int]) -> EmojiName:
    """The shortest name in a group, and the sticker with the shortest name of each drawing."""
    plainest = sorted(stickers, key=lambda sticker: (len(sticker[1].description), sticker[1].key))
    rows: dict[int | str, int] = {}
    for row, info in plainest:
        rows.setdefault(family.get(info.source, info.source), row)
    ordered = sorted(rows, key=str)
    return EmojiName(group, plainest[0][1].description, tuple(rows[d] for d in ordered), tuple(ordered))


def true_pictures(shards: StickerShards, name: EmojiName, size: tuple[int, int]) -> Tensor:
    """The middle frame of each of the `d` drawings of a name, fitted into `size`: `d 4 h w` straight RGBA in [0, 1].

    Raises:
        UserError: a sticker is damaged.
    """
    try:
        frames = [shards.read(row, [len(shards.durations(row)) // 2])[0] for row in name.rows]
    except ValueError as error:
        raise UserError(f"stickers of {name.name!r} cannot be read ({error}): build the shards again") from error
    resized = [resize_frames(frame[None], *size, keep_shape=True)[0] for frame in frames]
    return torch.stack([torch.from_numpy(frame).permute(2, 0, 1) for frame in resized]).float() / 255


@dataclass(frozen=True)
class Bank:
    """Features of all `m` training stickers on one background.

    Attributes:
        features: `m d`, from `StickerNames.appearance`.
        groups: group of each sticker, `m`.
        drawings: drawing of each sticker, `m`; see `EmojiName`.
    """

    features: Tensor
    groups: list[str]
    drawings: list[int | str]


@dataclass(frozen=True)
class Pictures:
    """Stickers of one or more names on one background.

    Attributes:
        pictures: `n 3 h w` in [0, 1].
        names: index of each picture's name, `n`.
    """

    pictures: Tensor
    names: list[int]

    def by_name(self, values: Tensor) -> Tensor:
        """The mean of `values` `n` for each name, in the order of the names."""
        places = torch.tensor(self.names)
        return torch.stack([values[places == name].mean() for name in sorted(set(self.names))])


def on_background(stickers: Sequence[Tensor], background: str) -> Pictures:
    """Composite the straight RGBA `k 4 h w` of each name on a color."""
    flat = torch.cat([composite_on(rgba[:, None], background_color(background))[:, 0] for rgba in stickers])
    return Pictures(flat, [place for place, rgba in enumerate(stickers) for _ in rgba])


@torch.no_grad()
def make_bank(network: StickerNames, dataset: Thumbnails, drawings: Sequence[int | str], background: str) -> Bank:
    """Compute the features of the picture in each row of a data set.

    Args:
        network: the evaluator, in eval mode.
        dataset: pictures, as for validation.
        drawings: the drawing of each row.
        background: a color's name or `#rrggbb`.
    """
    color = torch.tensor(background_color(background)).view(3, 1, 1)
    features, groups = [], []
    for start in range(0, len(dataset), BATCH):
        samples = [dataset[row] for row in range(start, min(start + BATCH, len(dataset)))]
        picture = torch.stack([sample["picture"] for sample in samples]).float() / 255  # premultiplied
        features.append(network.appearance(picture[:, :3] + color * (1 - picture[:, 3:])))
        groups += [sample["group"] for sample in samples]
    return Bank(torch.cat(features), groups, list(drawings))


@torch.no_grad()
def in_batches(function: object, pictures: Tensor) -> Tensor:
    """The result of a network's `function` on all pictures, computed in batches."""
    return torch.cat([function(part) for part in pictures.split(BATCH)])  # type: ignore[operator]


def score_names(
    network: StickerNames,
    groups: Sequence[str],
    made: Sequence[Tensor],
    true: Sequence[Tensor],
    drawings: Sequence[Sequence[int | str]],
    bank: Bank,
    background: str = "white",
) -> dict[str, Interval]:
    """Scores with 95% bootstrap intervals over names; the stickers of a name are averaged first.

    Distances are 1 - cosine similarity of `StickerNames.appearance`.

    `top1`, `top5`
        Accuracy of the evaluator in naming generated stickers, among all names it knows; `true_top1`, `true_top5`:
        the same for true stickers.
    `sharpness`
        Mean gradient magnitude of generated stickers, divided by that of true ones.
    `seed_distance`, `drawing_distance`, `variety`
        Mean pairwise distance between the seeds of a name; between its drawings; the ratio of the two. All are over
        names with at least two seeds and two drawings.
    `nearest`, `true_nearest`
        Distance from generated stickers to the nearest sticker of the bank; from true stickers to the nearest one of
        another drawing.
    `close`
        Share of generated stickers whose nearest distance is below the 5% quantile of the true stickers'. About 0.05 if
        generated stickers are as far from the training stickers as another drawing is.
    `nearest_is_asked`
        Share of generated stickers whose nearest sticker is of the requested group.

    Args:
        network: the evaluator, in eval mode.
        groups: group of each name.
        made: generated stickers of each name, one per seed, `k 4 h w` straight RGBA in [0, 1].
        true: true stickers of each name, one per drawing, `d 4 h w` of the same size.
        drawings: the drawings in `true`, see `EmojiName`.
        bank: features of the training stickers on the same background.
        background: a color's name or `#rrggbb`.
    """
    classes = {name: place for place, name in enumerate(network.names)}
    sets = {"": on_background(made, background), "true_": on_background(true, background)}
    found: dict[str, Interval] = {}
    features: dict[str, Tensor] = {}
    for prefix, shown in sets.items():
        right = torch.tensor([classes[groups[name]] for name in shown.names])[:, None]
        logits = in_batches(network, shown.pictures)
        order = logits.topk(min(5, logits.shape[1]), dim=1).indices == right
        found[f"{prefix}top1"] = mean_interval(shown.by_name(order[:, 0].float()))
        found[f"{prefix}top5"] = mean_interval(shown.by_name(order.any(dim=1).float()))
        features[prefix] = in_batches(network.appearance, shown.pictures)
    sharp, true_sharp = (shown.by_name(gradient_magnitude(shown.pictures)) for shown in sets.values())
    found["sharpness"] = ratio_interval(sharp, true_sharp)
    found |= variety(sets, features)
    return found | nearness(sets, features, groups, [d for of_name in drawings for d in of_name], bank)


def variety(sets: dict[str, Pictures], features: dict[str, Tensor]) -> dict[str, Interval]:
    """`seed_distance`, `drawing_distance` and `variety`, see `score_names`."""
    distances = []
    for prefix, shown in sets.items():
        places = torch.tensor(shown.names)
        names = sorted(set(shown.names))
        distances.append([mean_pairwise_distance(features[prefix][places == name]) for name in names])
    seeds, drawn = torch.tensor(distances)
    both = ~(seeds.isnan() | drawn.isnan())
    return {
        "seed_distance": mean_interval(seeds[both]),
        "drawing_distance": mean_interval(drawn[both]),
        "variety": ratio_interval(seeds[both], drawn[both]),
    }


def nearness(
    sets: dict[str, Pictures],
    features: dict[str, Tensor],
    groups: Sequence[str],
    drawings: Sequence[int | str],
    bank: Bank,
) -> dict[str, Interval]:
    """`nearest`, `true_nearest`, `close` and `nearest_is_asked`, see `score_names`."""
    distances, rows = nearest(features[""], bank.features)
    others = torch.tensor([[theirs != own for theirs in bank.drawings] for own in drawings])
    true_distances, _ = nearest(features["true_"], bank.features, others)
    true_distances = true_distances.clamp(max=2)  # infinite if the bank has only stickers of the same drawing
    asked = [bank.groups[row] == groups[name] for row, name in zip(rows.tolist(), sets[""].names, strict=True)]
    close = distances < true_distances.quantile(CLOSE)
    return {
        "nearest": mean_interval(sets[""].by_name(distances)),
        "true_nearest": mean_interval(sets["true_"].by_name(true_distances)),
        "close": mean_interval(sets[""].by_name(close.float())),
        "nearest_is_asked": mean_interval(sets[""].by_name(torch.tensor(asked).float())),
    }
