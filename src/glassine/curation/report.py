"""What is in a data set, in numbers: VSD2M's tables 1 to 3 and figures 3 and 4, TASD's table I and figure 3."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from glassine.curation.blocks import Row, read_rows
from glassine.curation.filters import text_length
from glassine.data.shards import StickerShards
from glassine.utils.errors import UserError

# of the papers' texts; what only their pictures show is None
PUBLISHED: dict[str, dict[str, Any]] = {
    "VSD2M": {"samples": 2_090_000, "crawled": 2_500_000, "words_asked": 600_000, "languages": "En, Cn"},
    "TASD": {
        "samples": 320_000,
        "description_length": 96.25,
        "frames": 16.71,
        "trigger_words": 115,
        "languages": "En, Cn",
        "keyframes": True,
    },
}
TABLE_2 = (
    ("TGIF (published)", "100K", "GIFs, description", "En"),
    ("MOD (published)", "45K", "static sticker", ""),
    ("SRS (published)", "320K", "static sticker", ""),
    ("SER30K (published)", "30K", "static sticker", "En"),
    ("Sticker820K (published)", "820K", "static sticker, description", "En"),
    ("VSD2M (published)", "2.09M", "static sticker, GIFs, description", "En, Cn"),
)
_STOP = frozenset(
    [
        "sticker",  # said of each
        "stickers",
        "a",
        "an",
        "the",
        "and",
        "or",
        "of",
        "with",
        "that",
        "is",
        "in",
        "on",
        "to",
        "it",
        "its",
        "as",
        "at",
        "by",
        "for",
        "from",
        "this",
        "are",
        "be",
        "has",
        "have",
        "his",
        "her",
        "their",
        "was",
        "which",
    ]
)
LENGTHS = [0, 10, 20, 30, 40, 50, 60, 80, 100, 120, 150, 200, 300, 100_000]
FRAMES = [2, 4, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96, 128, 256, 601]
TEXTS = [0, 1, 5, 10, 15, 20, 25, 30, 40, 60, 100, 100_000]


def sticker_rows(dataset: Path) -> Iterator[Row]:
    """Rows of a curated data set, or, of any other shards, what their JSONs say.

    Raises:
        UserError: neither.
    """
    if (dataset / "stickers.jsonl").is_file():
        yield from read_rows(dataset / "stickers.jsonl")
        return
    shards = StickerShards(dataset)
    for place in range(len(shards)):
        info = shards.metadata(place)
        yield {
            "key": info.key,
            "group": info.group,
            "split": info.split,
            "words": dict.fromkeys(info.trigger_words, 1),
            "description": info.description,
            "description_zh": info.description_zh,
            "ocr": info.ocr,
            "domain": info.domain,
            "license": info.license,
            "source": info.source,
            "frames": info.num_frames,
            "width": info.width,
            "height": info.height,
        }


def words_of(text: str) -> list[str]:
    """Words of an English description that say something."""
    return [word for word in re.findall(r"[a-z][a-z'-]+", text.lower()) if word not in _STOP]


def data_statistics(rows: Iterable[Row]) -> dict[str, Any]:
    """All numbers of a report, in one pass over the rows.

    Args:
        rows: of `sticker_rows`.

    Raises:
        UserError: no rows.
    """
    counts: Counter[str] = Counter()
    splits, domains, licenses, sources, kinds, motions, colors, made = (Counter[str]() for _ in range(8))
    triggers, described = Counter[str](), Counter[str]()
    groups, group_splits = set[str](), dict[str, set[str]]()
    sums = Counter[str]()
    lengths, frames, texts = [0] * (len(LENGTHS) - 1), [0] * (len(FRAMES) - 1), [0] * (len(TEXTS) - 1)
    for row in rows:
        counts["stickers"] += 1
        animated = row["frames"] > 1
        counts["animated"] += animated
        english, chinese = row.get("description", ""), row.get("description_zh", "")
        for name, there in (
            ("english", english),
            ("chinese", chinese),
            ("text", row.get("ocr")),
            ("with_words", row.get("words")),
            ("keyframes", row.get("stored", {}).get("keyframes")),
            ("transparent", row.get("measures", {}).get("transparent", 0) > 0.01),
        ):
            counts[name] += bool(there)
        sums["letters"] += len(english)
        sums["description words"] += len(english.split())
        sums["frames"] += row["frames"]
        sums["animated frames"] += row["frames"] * animated
        sums["trigger words"] += len(row.get("words", {}))
        splits[row["split"]] += 1
        domains[row.get("domain", "")] += 1
        licenses[row.get("license") or "not stated"] += 1
        sources[row.get("source") or "crawl"] += 1
        kinds[row.get("kind", "")] += 1
        motions.update(row.get("motion", {}).get("kinds", []) if animated else [])
        colors.update(row.get("measures", {}).get("colors", []))
        triggers.update(row.get("words", {}).keys())
        described.update(set(words_of(english)))
        said = row.get("made", {}).get("description", {})
        made[said.get("by", "") if isinstance(said, dict) else str(said)] += 1
        groups.add(row["group"])
        group_splits.setdefault(row["group"], set()).add(row["split"])
        _count(lengths, LENGTHS, len(english))
        _count(texts, TEXTS, text_length(row.get("ocr") or ""))
        if animated:
            _count(frames, FRAMES, row["frames"])
        if len(triggers) > 4_000_000 or len(described) > 2_000_000:  # of a crawl of millions: rare ones go
            triggers, described = (
                Counter(dict(triggers.most_common(500_000))),
                Counter(dict(described.most_common(500_000))),
            )
    if not counts["stickers"]:
        raise UserError("a report needs at least one sticker, got none")
    n, moving = counts["stickers"], max(1, counts["animated"])
    return {
        "counts": {**dict(counts), "groups": len(groups), "trigger_words": len(triggers)},
        "means": {
            "description_letters": sums["letters"] / n,
            "description_words": sums["description words"] / n,
            "frames": sums["frames"] / n,
            "frames_animated": sums["animated frames"] / moving,
            "trigger_words": sums["trigger words"] / n,
        },
        "splits": dict(sorted(splits.items())),
        "groups_in_two_splits": sum(len(one) > 1 for one in group_splits.values()),
        **{
            name: dict(counter.most_common(40))
            for name, counter in {
                "domains": domains,
                "licenses": licenses,
                "sources": sources,
                "kinds": kinds,
                "motions": motions,
                "colors": colors,
                "descriptions_by": made,
            }.items()
        },
        "top_trigger_words": triggers.most_common(120),
        "top_description_words": sorted(described.items(), key=lambda pair: (-pair[1], pair[0]))[:150],
        "histograms": {"description letters": lengths, "frames": frames, "text letters": texts},
    }


def _count(bins: list[int], edges: list[int], value: int) -> None:
    for place in range(len(bins)):
        if value < edges[place + 1]:
            bins[place] += value >= edges[place]
            return


def published_tables(stats: dict[str, Any]) -> dict[str, list[list[str]]]:
    """Tables with the papers' numbers beside: title -> rows, the first of them the head.

    Args:
        stats: of `data_statistics`.
    """
    counts, means, n = stats["counts"], stats["means"], stats["counts"]["stickers"]
    languages = ", ".join(name for name, key in (("En", "english"), ("Cn", "chinese")) if counts.get(key))
    modality = [
        name
        for name, count in (
            ("static sticker", n - counts.get("animated", 0)),
            ("GIFs", counts.get("animated", 0)),
            ("description", counts.get("english", 0)),
        )
        if count
    ]
    tasks = {
        "animated sticker generation": counts.get("animated", 0) and counts.get("english", 0),
        "static sticker generation": (n - counts.get("animated", 0)) and counts.get("english", 0),
        "retrieval by trigger word": counts.get("with_words", 0),
        "captioning": counts.get("english", 0),
        "text recognition": counts.get("text", 0),
        "domain classification": len(stats["domains"]) > 1,
        "transparency": counts.get("transparent", 0),
    }
    domains = ", ".join(f"{name} {count / n:.0%}" for name, count in stats["domains"].items())
    tasd = PUBLISHED["TASD"]
    return {
        "VSD2M table 1: tasks that the data set serves": [
            ["task", "this data set"],
            *[[name, "yes" if there else "no"] for name, there in tasks.items()],
        ],
        "VSD2M table 2: static information": [
            ["data set", "size", "modality", "language", "trigger word", "OCR", "real/cartoon"],
            *[[*row, *(["yes"] * 3 if row[0].startswith("VSD2M") else ["", "", ""])] for row in TABLE_2],
            [
                "this data set",
                f"{n:,}",
                ", ".join(modality),
                languages,
                *(
                    "yes" if there else "no"
                    for there in (counts.get("with_words"), counts.get("text"), len(stats["domains"]) > 1)
                ),
            ],
        ],
        "VSD2M table 3: numerical properties": [
            ["property", "VSD2M (published)", "this data set"],
            ["samples", "2.09M", f"{n:,}"],
            ["animated", "not in the text", f"{counts.get('animated', 0):,}"],
            ["domains", "both nearly half", domains],
            ["mean frames of animations", "not in the text", f"{means['frames_animated']:.2f}"],
            ["mean description length, letters", "not in the text", f"{means['description_letters']:.2f}"],
            ["mean trigger words", "not in the text", f"{means['trigger_words']:.2f}"],
            ["trigger words", "600K asked for", f"{counts['trigger_words']:,}"],
        ],
        "TASD table I: numerical properties": [
            ["property", "TASD (published)", "this data set"],
            ["#Sample", "0.32M", f"{n:,}"],
            ["Ave Description Length", f"{tasd['description_length']}", f"{means['description_letters']:.2f}"],
            ["Ave Frames Numbers", f"{tasd['frames']}", f"{means['frames_animated']:.2f}"],
            ["#Trigger Words", f"{tasd['trigger_words']}", f"{counts['trigger_words']:,}"],
            ["Annotation language", tasd["languages"], languages],
            ["Keyframe Index", "yes", "yes" if counts.get("keyframes") else "no"],
        ],
    }


def load_record(dataset: Path) -> dict[str, Any]:
    """The `dataset.json` of a curation; empty where there is none."""
    path = dataset / "dataset.json"
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): run `glassine curate` again") from error
    return content if isinstance(content, dict) else {}
