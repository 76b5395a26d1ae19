"""What each sticker was asked to show, where the user has a table of it."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from glassine.errors import UserError

NAMES = ("prompts.json", "prompts.csv")


def find_prompts(folders: Iterable[Path]) -> Path | None:
    """The first `prompts.json` or `prompts.csv` in the folders."""
    return next((path for folder in folders for name in NAMES if (path := folder / name).is_file()), None)


def read_prompts(path: Path, items: Iterable[str]) -> dict[str, str]:
    """Prompts of the items; those without one are left out.

    Args:
        path: JSON that maps file names to prompts, or CSV with the columns `file` and `prompt`; file names with or
            without suffix.
        items: names without suffix.

    Raises:
        UserError: unreadable, not of that form, or of other files altogether.
    """
    given = _read(path)
    by_stem = {Path(name).stem: prompt for name, prompt in given.items()} | dict(given)
    prompts = {item: by_stem[item].strip() for item in items if by_stem.get(item, "").strip()}
    if not prompts:
        raise UserError(f"{path} has a prompt for none of the stickers; its names must be those of the files")
    return prompts


def _read(path: Path) -> Mapping[str, str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"prompts {path} cannot be read ({error}); give a UTF-8 .json or .csv file") from error
    if path.suffix.lower() == ".csv":
        rows = csv.DictReader(text.splitlines(keepends=True))
        columns = list(rows.fieldnames or ())
        if not {"file", "prompt"} <= set(columns):
            raise UserError(f"{path} has the columns {', '.join(columns)}; 'file' and 'prompt' are needed")
        return {row["file"] or "": row["prompt"] or "" for row in rows}
    try:
        content = json.loads(text)
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}); write {{file name: prompt}}, or give a .csv file") from error
    if not isinstance(content, dict) or not all(isinstance(prompt, str) for prompt in content.values()):
        raise UserError(f"{path} is no table of prompts; write a JSON object {{file name: prompt}}")
    return content
