"""`glassine data info`: what shards hold, and how near the stickers of different splits are to each other."""

from collections import Counter

import numpy as np
from rich.console import Console
from rich.table import Table

from glassine.cli import groups
from glassine.data.likeness import ALIKE_DB, FRAMES, SIDE, alpha_prints, nearest
from glassine.data.shards import StickerInfo, StickerShards
from glassine.data.sticker import SPLITS, Split
from glassine.utils.errors import printable
from glassine.utils.progress import progress_bar


def name_damaged(damaged: dict[str, str], console: Console) -> None:
    """Name the stickers that cannot be read, with the reason."""
    if damaged:
        console.print(f"{len(damaged)} corrupt, skipped:", style="yellow")
    for name, reason in damaged.items():
        console.print(printable(f"  {name}: {reason}"), style="yellow", highlight=False, markup=False)


def show_info(shards: StickerShards, console: Console, most: int) -> None:
    """Print the tables; splits are compared if there are at most `most` stickers."""
    table = Table(title=f"{len(shards)} stickers in {shards.num_shards} shards, {shards.num_bytes / 1e6:.0f} MB")
    for column in ("split", "stickers", "groups", "animated", "frames", "length", "sizes"):
        table.add_column(column, justify="left" if column in ("split", "sizes") else "right", no_wrap=True)
    readable, damaged = _infos(shards)
    for split in (*SPLITS, None):
        infos = [readable[row] for row in shards.select(split).tolist() if row in readable]
        lengths = [sum(info.durations) / 1000 for info in infos if info.num_frames > 1]
        table.add_row(
            split or "all",
            str(len(infos)),
            str(len({info.group for info in infos})),
            str(len(lengths)),
            str(sum(info.num_frames for info in infos)),
            f"{np.median(lengths):.2f} s" if lengths else "-",
            _most(Counter(f"{info.width}x{info.height}" for info in infos)),
            end_section=split == SPLITS[-1],
        )
    console.print(table)
    domains = Counter(info.domain for info in readable.values())
    console.print(f"domains: {_most(domains, 8)}; length: median of the animated ones", highlight=False)
    _count_sources(readable, console)
    groups.say_outdated(readable.values(), console)
    name_damaged(damaged, console)
    if len(shards) <= most:
        _compare(shards, console)
    else:
        console.print(f"not compared: {len(shards)} stickers are more than --compare {most}", highlight=False)


def _count_sources(readable: dict[int, StickerInfo], console: Console) -> None:
    sources = sorted({info.source for info in readable.values()})
    if len(sources) < 2 and not any(info.license for info in readable.values()):
        return
    table = Table(title="stickers / groups")
    for column in ("source", *SPLITS, "all", "license"):
        table.add_column(column, justify="left" if column in ("source", "license") else "right", no_wrap=True)
    for source in sources:
        infos = [info for info in readable.values() if info.source == source]
        parts = [[info for info in infos if info.split == split] for split in SPLITS]
        counts = [f"{len(part)} / {len({info.group for info in part})}" for part in (*parts, infos)]
        table.add_row(source or "-", *counts, _most(Counter(info.license or "-" for info in infos)))
    console.print(table)
    for line in sorted({info.attribution for info in readable.values() if info.attribution}):
        console.print(f"  {line}", highlight=False, markup=False)


def _compare(shards: StickerShards, console: Console) -> None:
    """Print the nearest pairs across splits, to show that no test sticker has a near-duplicate in training."""
    with progress_bar(console, "comparing", len(shards), transient=True) as advance:
        prints = alpha_prints(shards, advance)
    console.print(f"nearest pairs across splits, alpha PSNR at {SIDE} px, at most {FRAMES} frames per sticker:")
    pairs: tuple[tuple[Split, Split], ...] = (("train", "test"), ("train", "val"), ("val", "test"))
    for one, other in pairs:
        pair = nearest(prints, shards.select(one), shards.select(other))
        if pair is None:
            continue
        near = pair.decibels >= ALIKE_DB
        console.print(
            f"  {one} and {other}: {pair.decibels:.2f} dB ({shards.key(pair.left)}, {shards.key(pair.right)})"
            + (f": near-duplicates (from {ALIKE_DB:g} dB); put them in one group" if near else ""),
            style="yellow" if near else None,
            highlight=False,
        )


def _infos(shards: StickerShards) -> tuple[dict[int, StickerInfo], dict[str, str]]:
    """The metadata by row, and the reasons for missing metadata by name."""
    infos, damaged = dict[int, StickerInfo](), dict[str, str]()
    for row in range(len(shards)):
        try:
            infos[row] = shards.metadata(row)
        except ValueError as error:
            damaged[shards.name(row)] = str(error)
    return infos, damaged


def _most(counts: Counter[str], shown: int = 2) -> str:
    names = [name for name, _ in counts.most_common(shown)]
    return ", ".join(names) + (f" +{len(counts) - shown}" if len(counts) > shown else "")
