"""What a crawl's tables say of its files: the crawled word, where a file came from, its licence."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from glassine.data.shards.info import clean_text
from glassine.utils.errors import UserError, printable

# what a column may be called -> what it is here
COLUMNS = {
    "file": "file",
    "path": "file",
    "filename": "file",
    "file_name": "file",
    "key": "file",
    "word": "word",
    "words": "word",
    "query": "word",
    "keyword": "word",
    "trigger_word": "word",
    "trigger_words": "word",
    "url": "url",
    "source_url": "url",
    "license": "license",
    "licence": "license",
    "attribution": "attribution",
    "author": "attribution",
    "source": "source",
    "description": "description",
    "caption": "description",
    "text": "description",
    "description_zh": "description_zh",
    "domain": "domain",
    "ocr": "ocr",
}
SUFFIXES = (".csv", ".jsonl", ".parquet")
TEXTS = ("url", "license", "attribution", "source", "description", "description_zh", "domain", "ocr")
_ROWS_AT_ONCE = 10_000
csv.field_size_limit(2**20)


def known(row: dict[str, Any]) -> dict[str, Any]:
    """The columns of a foreign row that mean something here: text of bounded length, and `words` as a list."""
    out: dict[str, Any] = {}
    for name, value in row.items():
        column = COLUMNS.get(str(name).strip().lower())
        if column is None or value is None or value == "" or (isinstance(value, float) and value != value):
            continue
        if column == "word":
            out.setdefault("words", []).extend(split_words(value))
        else:
            out.setdefault(column, clean_text(value).strip())
    return out


def split_words(cell: Any) -> list[str]:
    """Words out of a list, a JSON list in a cell, or text separated by `;`."""
    if isinstance(cell, str) and cell.lstrip().startswith("["):
        try:
            cell = json.loads(cell)
        except (ValueError, RecursionError):
            cell = cell.strip().strip("[]")
    if isinstance(cell, str):
        cell = cell.split(";")
    if not isinstance(cell, list | tuple):
        cell = [cell]
    words = (" ".join(clean_text(word).split())[:200] for word in cell if word is not None)
    return [word for word in words if word]


def read_table(table: Path) -> Iterator[dict[str, Any]]:
    """The rows of a CSV, JSONL or Parquet file, as far as they mean something here; one at a time.

    Raises:
        UserError: another kind of file, one that cannot be read, or no column that names the file.
    """
    rows = {".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}.get(table.suffix.lower())
    if rows is None:
        raise UserError(f"a manifest must be one of {', '.join(SUFFIXES)}, got {printable(str(table))}")
    named = False
    try:
        for row in rows(table):
            found = known(row)
            named |= "file" in found
            if "file" in found:
                yield found
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"the manifest {printable(str(table))} cannot be read ({error})") from error
    if not named:
        raise UserError(f"the manifest {printable(str(table))} must have a column `file`, got none in any row")


def _csv(table: Path) -> Iterator[dict[str, Any]]:
    with table.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        for row in csv.DictReader(file):
            yield {name: value for name, value in row.items() if name is not None}


def _jsonl(table: Path) -> Iterator[dict[str, Any]]:
    with table.open(encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except RecursionError as error:
                raise ValueError(f"line {number} is nested too deep") from error
            if not isinstance(row, dict):
                raise ValueError(f"line {number} must be a JSON object")
            yield row


def _parquet(table: Path) -> Iterator[dict[str, Any]]:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise UserError("a Parquet manifest needs pyarrow: pip install 'glassine[curation]'") from error
    try:
        file = pyarrow.parquet.ParquetFile(table)
        wanted = [name for name in file.schema_arrow.names if name.strip().lower() in COLUMNS]
        for batch in file.iter_batches(_ROWS_AT_ONCE, columns=wanted):
            yield from batch.to_pylist()
    except pyarrow.ArrowException as error:
        raise ValueError(str(error)) from error


class Manifest:
    """Rows of manifests by the file that they name, on disk: a table of millions takes no memory.

    A row belongs to a file by its path inside the crawl (`a/b.gif`, `a.zip/b.gif`), its name alone (`b.gif`), or its
    stem (`b`), as far as these are unique among the manifests' rows in that the longest form that matches counts.

    Args:
        database: a file for the index, made anew.
        tables: manifests, in order.

    Raises:
        UserError: see `read_table`.
    """

    def __init__(self, database: Path, tables: list[Path]) -> None:
        database.unlink(missing_ok=True)
        self._base = sqlite3.connect(database)
        self._base.execute("PRAGMA synchronous=OFF")
        self._base.execute("PRAGMA journal_mode=OFF")
        self._base.execute("CREATE TABLE rows (file TEXT, place INTEGER, content TEXT, used INTEGER DEFAULT 0)")
        self.count = 0
        for table in tables:
            batch = []
            for row in read_table(table):
                name = row.pop("file").replace("\\", "/").removeprefix("./")
                batch.append((name, self.count, json.dumps(row, ensure_ascii=False, sort_keys=True)))
                self.count += 1
                if len(batch) == _ROWS_AT_ONCE:
                    self._insert(batch)
            self._insert(batch)
        self._base.execute("CREATE INDEX by_file ON rows (file)")
        self._base.commit()

    def _insert(self, batch: list[tuple[str, int, str]]) -> None:
        self._base.executemany("INSERT INTO rows (file, place, content) VALUES (?, ?, ?)", batch)
        batch.clear()

    def of(self, path: str) -> dict[str, Any]:
        """What the rows of a file say together: all words, and of each other column the first value.

        Args:
            path: inside the crawl, with `/`.
        """
        if not self.count:
            return {}
        name = path.rpartition("/")[2]
        for form in dict.fromkeys((path, name, name.partition(".")[0])):
            form = form.encode("utf-8", "replace").decode()
            rows = self._base.execute(
                "SELECT content, rowid FROM rows WHERE file = ? ORDER BY place", (form,)
            ).fetchall()
            if rows:
                self._base.executemany("UPDATE rows SET used = 1 WHERE rowid = ?", [(row[1],) for row in rows])
                return merged([json.loads(row[0]) for row in rows])
        return {}

    def unused(self, most: int = 20) -> tuple[int, list[str]]:
        """How many rows name no file of the crawl, and the first of those names."""
        count = self._base.execute("SELECT COUNT(*) FROM rows WHERE used = 0").fetchone()[0]
        rows = self._base.execute("SELECT file FROM rows WHERE used = 0 ORDER BY place LIMIT ?", (most,)).fetchall()
        return int(count), [str(row[0]) for row in rows]

    def close(self) -> None:
        """Let go of the database."""
        self._base.close()


def merged(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Several rows about one file: words one after the other, of each other column the first that is not empty."""
    out: dict[str, Any] = {}
    words: list[str] = []
    for part in parts:
        words += part.get("words", [])
        for name in TEXTS:
            if part.get(name):
                out.setdefault(name, part[name])
    return {**out, "words": words} if words else out
