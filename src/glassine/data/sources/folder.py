"""Any folder of media files, with an optional table of descriptions."""

import csv
import hashlib
import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from glassine.data.codecs import read_sticker
from glassine.data.codecs.sequence import TIMING_NAME
from glassine.data.sources import SourceItem
from glassine.data.sticker import SPLITS, Split, split_of
from glassine.utils.errors import UserError
from glassine.utils.files import open_plain, read_plain_text

MEDIA_SUFFIXES = (
    ".apng",
    ".avif",
    ".bmp",
    ".gif",
    ".heic",
    ".heif",
    ".jpeg",
    ".jpg",
    ".lottie",
    ".mkv",
    ".mov",
    ".mp4",
    ".png",
    ".svg",
    ".svgz",
    ".tgs",
    ".webm",
    ".webp",
    ".zip",
)
COLUMNS = ("file", "description", "description_zh", "trigger_words", "ocr", "domain", "group", "split")
_LONGEST_KEY = 60  # what makes it unique comes behind it
_TABLE_NAMES = ("stickers.csv", "stickers.jsonl", "metadata.csv", "metadata.jsonl")


class FolderStickers:
    """The media files of a folder and its subfolders as a source; a folder of PNGs with its timing is one sticker.

    The table has the columns (CSV header or JSONL keys) ``file`` (a path inside the folder), ``description``,
    ``description_zh``, ``trigger_words`` (separated by ``;``, or a JSON list), ``ocr``, ``domain``, ``group`` and
    ``split`` (``train``, ``val`` or ``test``); all but ``file`` may be left out. Files it does not name are read
    without a description, named after their stem. The group of a file, which decides its split, is its stem unless the
    table gives one: give near copies one group. A split that the table gives comes first, for test sets that others
    have chosen (TASD-T, VSD-R, VSD-C): all files of that group then have it.

    Args:
        folder: folder with the files.
        table: the CSV or JSONL file; if None, ``stickers.csv``, ``stickers.jsonl``, ``metadata.csv`` or
            ``metadata.jsonl`` in the folder is used if there is one.
        domain: domain of files for which the table gives none.
        size: longer side in pixels for rendering Lottie and SVG; None for their own size.
        fps: maximum frames per second rendered from a Lottie; None for all.
        listed: only the files that the table names.

    Raises:
        UserError: no such folder, no media files in it, `listed` without a table, an unreadable table, an unknown
            column or split, one group in two splits, or files in the table that do not exist.
    """

    def __init__(
        self,
        folder: Path | str,
        table: Path | str | None = None,
        domain: str = "cartoon",
        size: int | None = None,
        fps: float | None = None,
        listed: bool = False,
    ) -> None:
        self._folder, self._domain = Path(folder), domain
        self._read = partial(read_sticker, size=size, fps=fps)
        if not self._folder.is_dir():
            raise UserError(f"{folder} is not a folder; give the folder with the sticker files")
        found = {path for path in self._folder.rglob("*") if not path.name.startswith(".")}
        folders = {
            path.parent for path in found if path.name == TIMING_NAME and path.is_file()
        }  # each a sticker, frame by frame
        files = {path for path in found if path.suffix.lower() in MEDIA_SUFFIXES and path.is_file()}
        files |= {path for path in found if path.suffix.lower() == ".json" and _is_lottie(path)}
        self._paths = sorted(folders | {path for path in files if path.parent not in folders})
        if not self._paths:
            raise UserError(f"{folder} contains no media files; known suffixes are {', '.join(MEDIA_SUFFIXES)}")
        rows = Path(table) if table is not None else _find_table(self._folder)
        self._rows = {} if rows is None else self._match(rows)
        self._splits = {} if rows is None else self._given_splits(rows)
        if listed:
            if rows is None:
                raise UserError(f"listed needs a table of files, got none in {folder}: name one with --table")
            self._paths = [path for path in self._paths if path in self._rows]

    def __len__(self) -> int:
        return len(self._paths)

    def items(self) -> Iterator[SourceItem]:
        """The files in path order; the key is the path with ``/`` and other characters replaced by ``-``."""
        used: set[str] = set()
        for path in self._paths:
            inside = path.relative_to(self._folder)
            row = self._rows.get(path, {})
            group = row.get("group") or path.stem
            info: dict[str, Any] = {
                "description": row.get("description", ""),
                "description_zh": row.get("description_zh", ""),
                "trigger_words": row.get("trigger_words", []),
                "domain": row.get("domain") or self._domain,
                "ocr": row.get("ocr", ""),
                "group": group,
                "split": self._splits.get(group) or split_of(group),
                "source": "folder",
            }
            load = partial(self._read, path)
            yield SourceItem(key=_unique_key(inside, used), path=path, info=info, loader=load)

    def _given_splits(self, table: Path) -> dict[str, Split]:
        """Group -> split, where the table gives one."""
        splits: dict[str, Split] = {}
        for path, row in self._rows.items():
            given = str(row.get("split") or "").strip()
            split = next((split for split in SPLITS if split == given), None)
            if given and split is None:
                raise UserError(f"{table}: split must be one of {', '.join(SPLITS)} or empty, got {given!r}")
            group = row.get("group") or path.stem
            if split and splits.setdefault(group, split) != split:
                raise UserError(
                    f"{table} gives the group {group!r} to {splits[group]} and {split}; near copies must have one split"
                )
        return splits

    def _match(self, table: Path) -> dict[Path, dict[str, Any]]:
        """The rows by file."""
        by_path: dict[Path, dict[str, Any]] = {}
        known, missing = set(self._paths), []
        for number, row in _read_table(table):
            name = str(row.get("file") or "")
            if not name:
                raise UserError(f"{table} line {number} names no file; fill the column 'file'")
            path = self._folder / name
            if path in known:
                by_path[path] = {**row, "trigger_words": _words(row.get("trigger_words"))}
            else:
                missing.append(name)
        if missing:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise UserError(
                f"{table} names {', '.join(missing[:3])}{more}, which are not media files in {self._folder}; "
                "correct the paths (relative to the folder) or remove the rows"
            )
        return by_path


def _is_lottie(path: Path) -> bool:
    """Whether a JSON file looks like an animation; tables, timing notes and the like are JSON, too."""
    try:
        with open_plain(path) as file:
            head = file.read(2**16)
    except OSError:
        return False
    return head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"{") and all(key in head for key in (b'"op"', b'"fr"'))


def _find_table(folder: Path) -> Path | None:
    return next((folder / name for name in _TABLE_NAMES if (folder / name).is_file()), None)


def _read_table(table: Path) -> list[tuple[int, dict[str, Any]]]:
    """The rows with their line numbers, after checking the columns."""
    if table.suffix.lower() not in (".csv", ".jsonl"):
        raise UserError(f"{table} is not a table of stickers; give a .csv or a .jsonl file")
    try:
        text = read_plain_text(table, "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{table} cannot be read ({error}); it must be a UTF-8 text file") from error
    rows: list[tuple[int, dict[str, Any]]] = []
    if table.suffix.lower() == ".csv":
        reader = csv.DictReader(text.splitlines(keepends=True), restkey="(more cells than columns)")
        _check_columns(table, list(reader.fieldnames or []))
        rows += [(reader.line_num, {k: v for k, v in row.items() if v is not None}) for row in reader]
    else:
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                rows.append((number, _parse_line(table, number, line)))
    for number, row in rows:
        _check_columns(table, ["file", *row], f" line {number}")
    return rows


def _parse_line(table: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise UserError(f"{table} line {number} is not JSON ({error}); each line is one JSON object") from error
    if not isinstance(row, dict):
        raise UserError(f'{table} line {number} is not a JSON object; write {{"file": ..., "description": ...}}')
    return row


def _check_columns(table: Path, columns: list[str], where: str = "") -> None:
    unknown = [c for c in columns if c not in COLUMNS]
    if unknown or "file" not in columns:
        problem = f"has the unknown column {unknown[0]!r}" if unknown else "has no column 'file'"
        raise UserError(f"{table}{where} {problem}; allowed are {', '.join(COLUMNS)}")


def _words(cell: Any) -> list[str]:
    """Trigger words from a list, a JSON list in a cell, or words separated by ``;``."""
    if isinstance(cell, str) and cell.strip().startswith("["):
        try:
            cell = json.loads(cell)
        except ValueError:
            cell = cell.strip().strip("[]")
    if isinstance(cell, str):
        cell = cell.split(";")
    return [str(word).strip() for word in cell or [] if str(word).strip()]


def _unique_key(inside: Path, used: set[str]) -> str:
    """A shard-safe key, unique even if files only differ in suffix, special characters or the end of a long name."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", str(inside.with_suffix(""))).strip("-") or "sticker"
    if len(plain) > _LONGEST_KEY:
        plain = f"{plain[:_LONGEST_KEY]}-{hashlib.sha256(str(inside).encode()).hexdigest()[:8]}"
    key, count = plain, 1
    while key in used:
        count += 1
        key = f"{plain}-{count}"
    used.add(key)
    return key
