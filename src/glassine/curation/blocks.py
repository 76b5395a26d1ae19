"""Blocks of rows on disk: the unit of work, of resuming, and of what every stage of a curation reads and writes.

A block is a JSONL file of rows (plain JSON objects). The name of a result says what it was made from: it holds a
digest of the stage, its settings and the block that went in. So a result that exists is a result that is right:
a stopped run goes on after the last finished block, and a changed setting repeats only what depends on it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from glassine.utils.errors import UserError
from glassine.utils.files import atomic_path

Row = dict[str, Any]
ROWS_A_BLOCK = 256
_MOST_CRASHES = 3  # of a worker on one row, after which it is given up; one may be the system, out of memory
_NEWEST_FORM = 1  # counted up when rows change their form


class Stage(Protocol):
    """One step for the rows of a block; an instance lives in each worker and may hold a network.

    Attributes:
        name: of its folder of results.
        risky: whether foreign bytes are decoded, so that a row may crash its worker; it is then called row by row.
    """

    name: str
    risky: bool

    def settings(self) -> Mapping[str, Any]:
        """JSON values that its results depend on, besides the rows."""
        ...

    def __call__(self, rows: list[Row]) -> list[Row]:
        """The rows with what the stage adds. Must depend on nothing but the rows and the settings."""
        ...


def dump_row(row: Mapping[str, Any]) -> str:
    """One line of JSON, the same for equal rows on every machine."""
    return json.dumps(row, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def digest(*parts: Any) -> str:
    """Twelve letters that change with any of the JSON values."""
    text = json.dumps([_NEWEST_FORM, *parts], ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


@dataclass(frozen=True)
class Block:
    """A file of rows.

    Attributes:
        path: the JSONL file.
        number: its place in its folder, from 0.
        identity: changes with its content, without reading it.
    """

    path: Path
    number: int
    identity: str

    def rows(self) -> list[Row]:
        """All of its rows."""
        return list(read_rows(self.path))


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a JSONL file, one at a time.

    Raises:
        UserError: the file was damaged after it was written.
    """
    with path.open(encoding="utf-8", errors="surrogateescape") as file:
        for number, line in enumerate(file, 1):
            try:
                yield json.loads(line)
            except ValueError as error:
                raise UserError(f"{path} line {number} is damaged ({error}): remove the file and run again") from error


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write a JSONL file, beside and renamed; how many rows it has."""
    count = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", errors="surrogateescape") as file:
        for row in rows:
            file.write(dump_row(row) + "\n")
            count += 1
    return count


def write_blocks(folder: Path, rows: Iterable[Mapping[str, Any]], size: int = ROWS_A_BLOCK) -> list[Block]:
    """Cut rows into blocks of `size`; a block whose content is there already is not written again.

    Args:
        folder: made when missing; blocks of an earlier, longer list are removed.
        rows: in an order that does not depend on chance.
        size: rows a block; part of what results depend on, so keep it.

    Raises:
        UserError: a size below 1, or no place to write.
    """
    if size < 1:
        raise UserError(f"rows a block must be at least 1, got {size}")
    folder.mkdir(parents=True, exist_ok=True)
    blocks: list[Block] = []
    part: list[str] = []

    def flush() -> None:
        text = "".join(part)
        name = hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=6).hexdigest()
        block = Block(folder / f"{len(blocks):06d}-{name}.jsonl", len(blocks), name)
        if not block.path.is_file():
            with atomic_path(block.path) as temporary:
                temporary.write_text(text, encoding="utf-8", errors="surrogateescape")
        blocks.append(block)
        part.clear()

    for row in rows:
        part.append(dump_row(row) + "\n")
        if len(part) == size:
            flush()
    if part:
        flush()
    keep = {block.path.name for block in blocks}
    for path in folder.glob("*.jsonl"):
        if path.name not in keep:
            path.unlink(missing_ok=True)
    return blocks


def result_of(stage: Stage, block: Block, folder: Path) -> Block:
    """Where the result of a stage for a block lies, or will lie."""
    name = digest(stage.name, dict(stage.settings()), block.identity)
    return Block(folder / stage.name / f"{block.number:06d}-{name}.jsonl", block.number, name)


def run_block(stages: Sequence[Stage], block: Block, folder: Path) -> Block:
    """Take a block through stages; what exists is kept, what an earlier worker died of is given up.

    Args:
        stages: one after the other.
        block: the rows that go in.
        folder: of the results, a subfolder a stage.

    Returns:
        The block of the last stage.
    """
    for stage in stages:
        result = result_of(stage, block, folder)
        if not result.path.is_file():
            result.path.parent.mkdir(parents=True, exist_ok=True)
            rows = block.rows()
            done = _one_by_one(stage, rows, result.path) if stage.risky else stage(rows)
            write_rows(result.path, done)
            result.path.with_suffix(".trying").unlink(missing_ok=True)
        block = result
    return block


def _one_by_one(stage: Stage, rows: list[Row], target: Path) -> list[Row]:
    """Row by row with a journal: a row that killed its worker three times gets `crashed` instead of another try."""
    journal = target.with_suffix(".trying")
    tried = _read_journal(journal)
    done: list[Row] = []
    with journal.open("a", encoding="ascii") as file:
        for number, row in enumerate(rows):
            if tried.get(number, 0) >= _MOST_CRASHES:
                done.append({**row, "crashed": True})
                continue
            file.write(f"{number}\n")
            file.flush()
            done += stage([row])
            file.write(f"{number} ok\n")
        file.flush()
    return done


def _read_journal(journal: Path) -> dict[int, int]:
    """How often each row was begun and not ended."""
    open_rows: dict[int, int] = {}
    if journal.is_file():
        for line in journal.read_text(encoding="ascii", errors="replace").splitlines():
            number, _, said = line.partition(" ")
            if number.isdecimal():
                open_rows[int(number)] = open_rows.get(int(number), 0) + (-1 if said == "ok" else 1)
    return open_rows


Advance = Callable[[], None]
