"""What a curation gets right, as one record: near copies found and missed, text read, each with its interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from glassine.curation.copies_accuracy import (
    COPIES,
    CopyAccuracy,
    copies_accuracy,
    known_groups,
    known_stickers,
    print_copies,
)
from glassine.curation.ocr import OcrEngine
from glassine.curation.ocr_accuracy import CHINESE, ENGLISH, bundled_fonts, ocr_accuracy
from glassine.data.shards import StickerShards

Z = 1.96  # of a 95% interval


def share_interval(hits: int, n: int) -> tuple[float, float]:
    """95% interval of a share (Wilson 1927).

    Args:
        hits: 0 to n.
        n: number of trials; 0 gives (0, 1).
    """
    if not n:
        return 0.0, 1.0
    share, square = hits / n, Z * Z / n
    middle = (share + square / 2) / (1 + square)
    half = Z / (1 + square) * (share * (1 - share) / n + square / (4 * n)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def measure_accuracy(
    sources: Sequence[Path],
    count: int,
    work: Path,
    earlier: Sequence[int] = (),
    engine: OcrEngine | None = None,
    chinese_fonts: Sequence[Path] = (),
    advance: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Make copies of known stickers and rendered texts, and count what is found of them.

    Args:
        sources: folders of shards; pairs are looked for among the stickers of all together.
        count: stickers of each source, one a group.
        work: a folder for pictures.
        earlier: counts of earlier measurements on the same sources, whose groups are left out: limits may have been
            chosen on them.
        engine: reads text; None leaves text out.
        chinese_fonts: TrueType files with Chinese letters; without them only English text is read.
        advance: called after each sticker.

    Returns:
        `sources` (name -> stickers), `groups_left_out`, `copies` (kind -> `n`, `found`), `pairs` (`right`, `wrong`),
        and `text` (language -> see `glassine.curation.ocr_accuracy.ocr_accuracy`).
    """
    shards = [StickerShards(source) for source in sources]
    seen = {group for part in shards for number in earlier for group in known_groups(part, number)}
    found = [list(known_stickers([source], count, seen)) for source in sources]
    stickers = [sticker for part in found for sticker, _ in part]
    groups = [group for part in found for _, group in part]
    copies = copies_accuracy(print_copies(stickers, advance=advance), groups, work)
    record: dict[str, Any] = {
        "sources": {source.name: len(part) for source, part in zip(sources, found, strict=True)},
        "groups_left_out": len(seen),
        **_counted(copies),
    }
    if engine is not None:
        record["text"] = {"English": ocr_accuracy(engine, ENGLISH, bundled_fonts())}
        if chinese_fonts:
            record["text"]["Chinese"] = ocr_accuracy(engine, CHINESE, chinese_fonts)
    return record


def _counted(copies: CopyAccuracy) -> dict[str, Any]:
    kinds = {kind: {"n": copies.made[kind], "found": copies.found[kind]} for kind in COPIES}
    return {"copies": kinds, "pairs": {"right": copies.right, "wrong": len(copies.wrong)}}


def accuracy_tables(record: Mapping[str, Any]) -> str:
    """A record as Markdown.

    Args:
        record: of `measure_accuracy`.
    """
    lines = ["| copy | found | share, 95% interval |", "|---|---|---|"]
    for kind, one in record["copies"].items():
        low, high = share_interval(one["found"], one["n"])
        share = one["found"] / max(1, one["n"])
        lines.append(f"| {kind} | {one['found']} of {one['n']} | {share:.3f} [{low:.3f}, {high:.3f}] |")
    right, wrong = record["pairs"]["right"], record["pairs"]["wrong"]
    low, high = share_interval(right, right + wrong)
    lines += ["", f"Pairs of one sticker: {right} of {right + wrong} pairs, 95% interval [{low:.4f}, {high:.4f}]."]
    if "text" in record:
        lines += [
            "",
            "| text | stickers | read without a mistake | character error rate | CPU seconds each |",
            "|---|---|---|---|---|",
        ]
    for language, text in record.get("text", {}).items():
        everything = text["all"]
        lines.append(
            f"| {language} | {everything['n']} | {everything['exact']:.3f} | {everything['character_error_rate']:.3f} "
            f"| {text['seconds']:.2f} |"
        )
    return "\n".join(lines) + "\n"
