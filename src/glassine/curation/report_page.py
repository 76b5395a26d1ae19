"""A data set's report as a folder: `index.html` with pictures and moving samples, PNGs, and `report.json`."""

from __future__ import annotations

import html
import json
import shutil
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from glassine.curation import figures
from glassine.curation.filters import REASONS
from glassine.curation.joining import EDGES
from glassine.curation.report import (
    FRAMES,
    LENGTHS,
    TEXTS,
    data_statistics,
    load_record,
    published_tables,
    sticker_rows,
)
from glassine.data.codecs import write_sticker
from glassine.data.shards import StickerInfo, StickerShards, cap_fps, fit_size
from glassine.data.sticker import Sticker
from glassine.utils.errors import UserError
from glassine.utils.files import atomic_path

SAMPLES = 24
_NOTES = "README.md"
_LABELS = {
    "entropy": ("Information entropy", "bits", "min_entropy"),
    "aspect": ("Aspect ratio", "longer by shorter side", "max_aspect"),
    "side": ("Shorter side", "pixels", "min_size"),
    "frames": ("Frames", "frames", "max_frames"),
    "visible": ("Largest visible share of a frame", "share", "min_visible"),
    "transparent": ("Mean transparent share", "share", "min_transparent"),
}
_CHARTS = (
    ("VSD2M figure 3: words in descriptions", ["word_cloud.png"]),
    (
        "VSD2M figure 4, TASD figure 3",
        [
            "trigger_words_25.png",
            "frames.png",
            "description_letters.png",
            "description_words.png",
            "trigger_words_15.png",
        ],
    ),
)
_WIDE = ("word_cloud.png", "trigger_words_25.png", "description_words.png", "trigger_words_15.png")
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1080px;margin:2em auto;padding:0 1em;color:#1c1c1e;background:#fafaf9}
table{border-collapse:collapse;margin:.5em 0 1.5em}
td,th{padding:.25em .8em;border-bottom:1px solid #ddd;text-align:left}
th{font-weight:600}h2{margin-top:2em}img{max-width:100%}
.cells{display:grid;grid-template-columns:repeat(auto-fill,minmax(150px,1fr));gap:12px}
.cell{font-size:12px;overflow-wrap:anywhere}.cell img{width:128px;height:128px;object-fit:contain;
background:repeating-conic-gradient(#ddd 0 25%,#fff 0 50%) 0/16px 16px}.small{color:#66666c;font-size:13px}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(440px,100%),1fr));gap:10px}.wide{grid-column:1/-1}
.tables{display:flex;flex-wrap:wrap;gap:0 3.5em;align-items:flex-start}.tables h2{margin-top:1em}
.published{background:#f1efe9;color:#66666c}
"""


def write_report(dataset: Path, to: Path | None = None) -> Path:
    """Make the report of a data set.

    Args:
        dataset: with shards, and what a curation wrote beside them.
        to: the report's folder, made anew; None is `report` in the data set.

    Returns:
        The page.

    Raises:
        UserError: no data set; a folder in the way that holds something else.
    """
    to = to or dataset / "report"
    there = {path.name for path in to.iterdir()} if to.is_dir() else set()
    if there - {_NOTES} and "report.json" not in there:
        raise UserError(f"{to} must be a new folder or hold an earlier report, it has other content")
    record, stats = load_record(dataset), data_statistics(sticker_rows(dataset))
    tables = published_tables(stats)
    beside = to.with_name(f".{to.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    _draw(beside, stats, record)
    samples = _samples(dataset, beside)
    if (dataset / "sheets").is_dir():
        shutil.copytree(dataset / "sheets", beside / "sheets")
    content = {"statistics": stats, "tables": tables, "curation": record}
    with atomic_path(beside / "report.json") as temporary:
        temporary.write_text(json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    page = page_html(dataset.name, stats, tables, record, samples, {path.name for path in beside.glob("*.png")})
    (beside / "index.html").write_text(page, encoding="utf-8")
    if _NOTES in there:  # of `glassine curate demo --check`
        shutil.copyfile(to / _NOTES, beside / _NOTES)
    shutil.rmtree(to, ignore_errors=True)
    beside.rename(to)
    return to / "index.html"


def _draw(folder: Path, stats: dict[str, Any], record: dict[str, Any]) -> None:
    words, described = stats["top_trigger_words"], stats["top_description_words"]
    figures.word_cloud(dict(described)).save(folder / "word_cloud.png")
    if words:
        figures.bars(
            folder / "trigger_words_25.png", words[:25], "Most frequent trigger words (VSD2M fig. 4a)", "stickers"
        )
        figures.bars(
            folder / "trigger_words_15.png", words[:15], "Most frequent trigger words (TASD fig. 3a)", "stickers"
        )
    if described:
        figures.bars(
            folder / "description_words.png", described[:35], "Words in descriptions (VSD2M fig. 4c)", "stickers"
        )
    for name, edges, title, label in (
        ("frames", FRAMES, "Frames of animations (VSD2M fig. 4b, TASD fig. 3b)", "frames"),
        ("description letters", LENGTHS, "Caption length (VSD2M fig. 4d)", "letters"),
        ("text letters", TEXTS, "Letters that OCR found", "letters; a Chinese character is 2"),
    ):
        limits = record.get("settings", {}).get("thresholds", {})
        cut = limits.get("max_text") if name == "text letters" else None
        figures.histogram(folder / f"{name.replace(' ', '_')}.png", edges, stats["histograms"][name], title, label, cut)
    limits = record.get("settings", {}).get("thresholds", {})
    for name, counts in record.get("counts", {}).get("histograms", {}).items():
        title, label, threshold = _LABELS[name]
        cut = limits.get(threshold)
        title = f"{title}, all whole stickers"
        figures.histogram(folder / f"all_{name}.png", EDGES[name], counts, title, label, cut or None)


def _samples(dataset: Path, folder: Path) -> list[tuple[str, StickerInfo]]:
    """Small moving copies of stickers spread evenly over the data set."""
    shards = StickerShards(dataset)
    moving = shards.select(None, stills=False)
    rows = moving if len(moving) >= 8 else shards.select(None)
    chosen = rows[np.linspace(0, len(rows) - 1, min(SAMPLES, len(rows))).round().astype(int)]
    found: list[tuple[str, StickerInfo]] = []
    (folder / "samples").mkdir()
    for row in chosen.tolist():
        durations = shards.durations(row)
        try:
            sticker = Sticker(shards.read(row, list(range(len(durations)))), durations, 0)
            name = f"samples/{len(found):03d}.webp"  # keys of foreign shards may be hostile
            write_sticker(fit_size(cap_fps(sticker, 12), 128), folder / name, quality=70)
            found.append((name, shards.metadata(row)))
        except ValueError:
            continue  # `glassine data info` names damaged ones
    return found


def page_html(
    name: str,
    stats: dict[str, Any],
    tables: dict[str, list[list[str]]],
    record: dict[str, Any],
    samples: Sequence[tuple[str, StickerInfo]],
    pictures: Collection[str],
) -> str:
    """The page; whatever comes from a crawl is escaped, and no address of it is a link."""
    text = html.escape
    counts, n = stats["counts"], stats["counts"]["stickers"]
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'; img-src 'self' file:; "
        "style-src 'unsafe-inline'\">",
        f"<title>{text(name)}: data report</title><style>{_STYLE}</style></head><body>",
        f"<h1>{text(name)}</h1><p>{n:,} stickers in {counts['groups']:,} groups, "
        f"{counts.get('animated', 0):,} animated. Splits: "
        + text(", ".join(f"{split} {count:,}" for split, count in stats["splits"].items()))
        + f". Groups that lie in two splits: {stats['groups_in_two_splits']}.</p>",
    ]
    if record:
        parts += _curation_html(record)
    for title, rows in tables.items():
        parts += [f"<h2>{text(title)}</h2>", _table(rows[0], rows[1:])]
    parts.append(
        "<p class='small'>Tinted numbers are published: from the papers' texts. Nobody here has measured them.</p>"
        "<h2>Samples</h2><div class='cells'>"
    )
    for file, info in samples:
        words = ", ".join(info.trigger_words[:4])
        said = [
            f"<b>{text(info.description[:160])}</b>",
            text(info.description_zh[:80]),
            text(words[:80]),
            text(info.ocr[:60]),
        ]
        facts = f"{info.domain}, {info.split}, {info.num_frames} frames, {info.width}x{info.height}"
        parts.append(
            f"<div class='cell'><img src='{text(file)}' alt=''><br>{'<br>'.join(filter(None, said))}"
            f"<br>{text(facts)}</div>"
        )
    parts.append("</div>")
    filters = sorted(name for name in pictures if name.startswith("all_"))
    for title, names in (*_CHARTS, ("What filters look at, thresholds in red", [*filters, "text_letters.png"])):
        there = [name for name in names if name in pictures]
        if there:
            parts += [f"<h2>{title}</h2><div class='charts'>", *(_chart(name) for name in there), "</div>"]
    parts.append("<div class='tables'>")
    for title in ("licenses", "sources", "domains", "kinds", "motions", "colors", "descriptions_by"):
        rows = [[key or "-", f"{count:,}", f"{count / n:.1%}"] for key, count in stats[title].items()]
        head = ["", "stickers", "share"]
        parts.append(f"<div><h2>{text(title.replace('_', ' ').capitalize())}</h2>{_table(head, rows)}</div>")
    parts.append("</div>")
    return "\n".join([*parts, "</body></html>"]) + "\n"


def _chart(name: str) -> str:
    kind = " class='wide'" if name in _WIDE else ""
    return f"<img{kind} src='{html.escape(name)}' alt='{html.escape(name.removesuffix('.png').replace('_', ' '))}'>"


def _curation_html(record: dict[str, Any]) -> list[str]:
    text, counts = html.escape, record["counts"]
    parts = ["<h2>From files to stickers</h2>"]
    rows = [
        ["files listed", f"{counts['files']:,}"],
        ["broken", f"{sum(counts['broken'].values()):,}"],
        ["equal to another file", f"{counts['repeated']:,}"],
        ["different whole stickers", f"{counts['stickers']:,}"],
        ["groups of near copies", f"{counts['groups']:,}"],
        ["left out", f"{sum(counts['rejected'].values()):,}"],
        ["kept", f"{counts['kept']:,}"],
    ]
    parts.append(f"<div class='tables'><div><h3>Files</h3>{_table(['', 'count'], rows)}</div>")
    for title, found in (("Broken files by cause", counts["broken"]), ("Near copies by kind", counts["pairs"])):
        rows = [[name, f"{count:,}"] for name, count in found.items()] or [["none", "0"]]
        parts.append(f"<div><h3>{title}</h3>{_table(['', 'count'], rows)}</div>")
    parts.append("</div><h3>Left out by reason</h3>")
    limits = record.get("settings", {}).get("thresholds", {})
    for reason, count in counts["rejected"].items():
        parts.append(f"<p><b>{text(reason)}</b>: {count:,} ({text(REASONS.get(reason, ''))})</p>")
        if reason not in ("gone", "crashed"):
            parts.append(f"<img src='sheets/{text(reason.replace(' ', '_'))}.png' alt='{text(reason)}'>")
    parts.append(
        f"<p class='small'>Thresholds: {text(', '.join(f'{name} {value}' for name, value in limits.items()))}</p>"
    )
    return parts


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table; columns and rows whose head says that they are published are tinted."""
    cell: Callable[[str], str] = lambda value: html.escape(str(value))  # noqa: E731
    head = list(head)
    tints = [" class='published'" if "(published)" in one else "" for one in head]
    top = "".join(f"<th{tint}>{cell(one)}</th>" for tint, one in zip(tints, head, strict=True))
    body = ""
    for row in map(list, rows):
        whole = " class='published'" if "(published)" in str(row[0]) else ""
        cells = "".join(f"<td{tint}>{cell(one)}</td>" for tint, one in zip(tints, row, strict=True))
        body += f"<tr{whole}>{cells}</tr>"
    return f"<table><tr>{top}</tr>{body}</table>"
