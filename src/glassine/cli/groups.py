"""`glassine data groups` and `glassine data regroup`: find emoji that look alike, and update shards to match."""

import argparse
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console

from glassine.data.likeness import ALIKE_DB, FRAMES, LEAST_COVER, SIDE, alike_pairs, alpha_prints, connected
from glassine.data.shards import StickerInfo, StickerShards, regroup_shards
from glassine.data.sources.emoji import (
    emoji_group,
    emoji_split,
    split_of_members,
    sticker_base,
    write_table,
)
from glassine.data.sources.world import EMOJI_SOURCES
from glassine.data.sticker import SPLITS, Split
from glassine.utils.errors import UserError
from glassine.utils.progress import progress_bar


def add_parsers(verbs: Any) -> None:
    """Add both verbs to `glassine data`."""
    groups = verbs.add_parser(
        "groups",
        help="find emoji that look alike, and write the table of groups",
        description="Compare all stickers of the emoji sources (glassine data fetch world) with each other and write "
        "which of them form a group. The package ships such a table, computed over all five sources.",
    )
    groups.add_argument("shards", type=Path, nargs="+", metavar="SHARDS", help="shard folders of all sources")
    groups.add_argument("--to", type=Path, required=True, metavar="OUT.json")
    groups.add_argument(
        "--decibels", type=float, default=ALIKE_DB, help="alpha PSNR above which two look alike (default: %(default)g)"
    )
    again = verbs.add_parser("regroup", help="update emoji shards to the groups and splits of the current table")
    again.add_argument("shards", type=Path, metavar="SHARDS")


def make_table(args: argparse.Namespace, console: Console) -> None:
    """Run `data groups`.

    Raises:
        UserError: no shards, shards with stickers of other sources, or an invalid output path.
    """
    if args.to.suffix.lower() != ".json":
        raise UserError(f"--to must be a .json file, got {args.to}")
    shards = StickerShards(args.shards)
    infos = [shards.metadata(row) for row in range(len(shards))]
    bases = [sticker_base(info.key, info.source) for info in infos]
    with progress_bar(console, "reading", len(shards)) as advance:
        prints = alpha_prints(shards, advance)
    if prints.damaged:
        name, reason = next(iter(prints.damaged.items()))
        raise UserError(f"{len(prints.damaged)} stickers cannot be read ({name}: {reason}); fetch the shards again")
    pairs = alike_pairs(prints, bases, args.decibels)
    sets = connected(bases, pairs)
    about = {
        "about": "emoji that look alike in one of the sources; written by `glassine data groups`",
        "alike_db": args.decibels,
        "compared": f"alpha at {SIDE} px, at most {FRAMES} frames a sticker, of those that cover {LEAST_COVER:.0%}",
        "stickers": dict(sorted(Counter(info.source for info in infos).items())),
        "emoji": len(set(bases)),
        "groups_in_all": len(sets),
    }
    named = write_table(args.to, sets, about)
    sizes = ", ".join(str(len(one)) for one in sets[:6])
    console.print(f"{len(set(bases))} emoji, {len(pairs)} alike pairs, {len(sets)} groups, the largest: {sizes}")
    counts = Counter(map(split_of_members, sets))
    console.print("groups: " + ", ".join(f"{split} {counts[split]}" for split in SPLITS), highlight=False)
    console.print(f"{args.to}: {len(named)} groups of more than one emoji", highlight=False)


def regroup(args: argparse.Namespace, console: Console) -> None:
    """Run `data regroup`.

    Raises:
        UserError: see :func:`glassine.data.shards.regroup_shards`.
    """
    changed = regroup_shards(args.shards, _present)
    console.print(f"{changed} stickers in {args.shards} have a new group or split", highlight=False)


def say_outdated(infos: Iterable[StickerInfo], console: Console) -> None:
    """Warn about emoji whose shards were built with a different table of groups."""
    count = sum((info.group, info.split) != _present(info) for info in infos)
    if count:
        console.print(
            f"{count} emoji have groups or splits from a different table; run `glassine data regroup`",
            style="yellow",
            highlight=False,
        )


def _present(info: StickerInfo) -> tuple[str, Split]:
    """The group and split that a sticker has now; those it states where it is of no emoji source."""
    if info.source not in EMOJI_SOURCES:
        return info.group, info.split
    group = emoji_group(sticker_base(info.key, info.source))
    return group, emoji_split(group)
