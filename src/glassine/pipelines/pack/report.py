"""The report of a pack as a page to read."""

from __future__ import annotations

from typing import Any


def as_markdown(report: dict[str, Any]) -> str:
    """`report.json` as Markdown: a table for each platform."""
    lines = [
        f"# {report['name']}",
        "",
        f"By {report['author']}. Made by glassine {report['glassine']}. Lowered where bytes are short: "
        f"{', '.join(report['order']) or 'nothing'}, in this order, in three rounds.",
        "",
        "PSNR is measured at the size that was written, over black and over white. *In time* counts frames that were "
        "left out. Alpha is the mean error in 1/255.",
    ]
    for key, pack in report["platforms"].items():
        lines += ["", f"## {pack['title']} (`{key}`): {pack['stickers']} {pack['kind']} stickers", ""]
        lines += ["| file | from | KB of | pixels | frames | s | PSNR | in time | alpha | done |", "|---" * 10 + "|"]
        for row in pack["files"]:
            lines.append(
                f"| {row['file']} | {_cell(row['from'])} | {row['bytes'] / 1000:.1f} of {row['most_bytes'] / 1000:g} "
                f"| {row['width']}x{row['height']} | {row['frames']} | {row['ms'] / 1000:g} | {_db(row['psnr'])} "
                f"| {_db(row['psnr_in_time'])} | {255 * row['alpha_error']:.2f} | {_cell('; '.join(row['done']))} |"
            )
        where = "; ".join(
            f"{source['where']} ({source['kind']}, {source['read']})" for source in pack["limits_from"].values()
        )
        lines += ["", f"Limits from: {where}"]
    for key, problems in report["failed"].items():
        lines += ["", f"## `{key}`: left out", "", *(f"- {_cell(problem)}" for problem in problems)]
    return "\n".join(lines) + "\n"


def _db(value: float | None) -> str:
    return "exact" if value is None else f"{value:.1f}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
