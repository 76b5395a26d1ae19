"""A study's report as Markdown."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from glassine.study.report import OVERALL

NOTHING = "–"


def to_markdown(report: Mapping[str, Any]) -> str:
    """Tables of `make_report`'s values."""
    raters = report["raters"]
    counted = [rater for rater in raters if rater["counted"] and rater["answers"]]
    parts = [f"# {escaped(report['title'])}", _about(report, len(counted))]
    for name, section in report["questions"].items():
        parts += _section(name, section, report)
    rows = [
        (
            rater["name"],
            f"{rater['answers']} of {rater['asked']}",
            f"{percent(rater['consistency'])} of {rater['checks']}" if rater["checks"] else NOTHING,
            percent(rater["first_share"]),
            NOTHING if rater["seconds"] is None else f"{rater['seconds']:.1f} s",
            "yes" if rater["counted"] else "no",
        )
        for rater in raters
    ]
    heads = ("rater", "answers", "checks that agree", "chose the first one", "median time", "counted")
    parts += ["## Raters", table(heads, rows)]
    broken = [f"{rater['name']}: {rater['unusable']}" for rater in raters if rater["unusable"]]
    if broken:
        parts.append(f"Lines that are truncated or not answers, skipped: {', '.join(map(escaped, broken))}.")
    if report["skipped"]:
        named = "\n".join(f"- {escaped(item)}: {escaped(reason)}" for item, reason in report["skipped"].items())
        parts += [f"## Skipped\n\n{len(report['skipped'])} items with a corrupt sticker:", named]
    return "\n\n".join(parts) + "\n"


def _about(report: Mapping[str, Any], counted: int) -> str:
    shown = "two at a time" if report["show"] == "pairs" else "all at once, choosing the best"
    text = (
        f"{counted} raters, {report['items']} items, {len(report['methods'])} methods, {shown}: {report['trials']} "
        f"comparisons. Study `{report['study']}`, built {report['built']}, reported {report['date']}."
    )
    excluded = [escaped(rater["name"]) for rater in report["raters"] if not rater["counted"]]
    if excluded:
        text += f" Excluded for failed checks: {', '.join(excluded)}."
    text += (
        " A tie counts as an equal share of a win for each sticker shown. Intervals: 95%, bootstrap over raters and "
        f"items, {report['resamples']:,} resamples."
    )
    if counted == 1:
        text += " With one rater they do not generalize to other raters."
    return text


def _section(name: str, section: Mapping[str, Any], report: Mapping[str, Any]) -> list[str]:
    heads = ("method", "win rate", "95% interval", "wins", "ties", "losses")
    methods = sorted(section["methods"].items(), key=lambda pair: -(pair[1]["rate"] or 0))
    parts = ["## Overall" if name == OVERALL else f"## {escaped(name)}"]
    parts.append("All questions together." if name == OVERALL else f"*{escaped(section['text'])}*")
    parts.append(table(heads, [(method, *_numbers(counts)) for method, counts in methods]))
    if section["pairs"]:
        rows = [(f"{pair['first']} against {pair['second']}", *_numbers(pair)) for pair in section["pairs"]]
        parts.append(table(("pair", *heads[1:]), rows))
    alpha = NOTHING if section["alpha"] is None else f"{section['alpha']:.2f}"
    chances = {counts["chance"] for counts in section["methods"].values() if counts["chance"] is not None}
    coin = f" Chance is {percent(chances.pop())}." if len(chances) == 1 else ""
    agreement = (
        "no comparison has two raters yet"
        if section["agreement"] is None
        else (f"{percent(section['agreement'])} of rater pairs agree, Krippendorff's alpha {alpha}")
    )
    parts.append(f"{section['answers']:,} answers; {agreement}.{coin}")
    return parts


def _numbers(counts: Mapping[str, Any]) -> tuple[str, ...]:
    interval = NOTHING if counts["low"] is None else f"{percent(counts['low'])} to {percent(counts['high'])}"
    return percent(counts["rate"]), interval, *(str(counts[name]) for name in ("wins", "ties", "losses"))


def percent(share: float | None) -> str:
    """A share in percent, or a dash if it is unknown."""
    return NOTHING if share is None else f"{100 * share:.1f}%"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown, its cells escaped; the first column is set to the left, the others to the right."""
    cells = [[escaped(cell) for cell in row] for row in (heads, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]

    def line(row: Sequence[str]) -> str:
        name, *numbers = row
        padded = [name.ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(numbers, widths[1:], strict=True))]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * width if place == 0 else "-" * (width - 1) + ":" for place, width in enumerate(widths)]
    return "\n".join([line(cells[0]), line(rule), *map(line, cells[1:])])


def escaped(text: str) -> str:
    """Text escaped for Markdown: no markup, no HTML, no control characters."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))
    for mark in "\\`[]|*":
        shown = shown.replace(mark, f"\\{mark}")
    return html.escape(shown, quote=False)
