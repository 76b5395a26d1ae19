"""The whole curation: files -> stickers -> text, domain, description -> splits -> shards."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from glassine.curation.blocks import ROWS_A_BLOCK, Block, Row, read_rows, write_blocks, write_rows
from glassine.curation.crawl import Listing, find_manifests, list_crawl
from glassine.curation.describe import Describe
from glassine.curation.domain import Domain
from glassine.curation.duplicates import Limits
from glassine.curation.encode import Encode
from glassine.curation.filters import Thresholds
from glassine.curation.ingest import Ingest
from glassine.curation.joining import Joined, join, rejection
from glassine.curation.manifest import Manifest
from glassine.curation.ocr import Ocr
from glassine.curation.runners import Runner, StageFactory
from glassine.curation.sheets import write_sheets
from glassine.curation.splits import TEST_SETS, Splits, TestSet, check_sides, choose_candidates, load_frozen
from glassine.data.shards import ShardFormat
from glassine.utils.errors import UserError
from glassine.utils.files import atomic_path, sole_writer

WORK = ".work"
RECORD = "dataset.json"
Say = Callable[[str], None]
Progress = Callable[[str, int], Callable[[], None]]
"""Asked for each pass with its name and its number of blocks; gives what is called after each block."""


@dataclass(frozen=True)
class Settings:
    """What a curation does; a YAML holds the same names.

    Attributes:
        thresholds: of filters.
        near: what counts as a near copy.
        shards: codec, quality, frames per second, size.
        ocr: an engine by `class_path`; None reads no text.
        domain: a classifier by `class_path`; None takes what manifests say, else `default_domain`.
        describe: a describer by `class_path`.
        default_domain: of stickers that nobody knows the domain of.
        tests: test sets that candidates are chosen for.
        frozen: files of `glassine curate freeze`; their groups are the test split.
        folder_words: folders' names are crawled words.
        rows_a_block: files of a block.
    """

    thresholds: Thresholds = field(default_factory=Thresholds)
    near: Limits = field(default_factory=Limits)
    shards: ShardFormat = field(default_factory=ShardFormat)
    ocr: Mapping[str, Any] | str | None = "glassine.curation.ocr.RapidOcr"
    domain: Mapping[str, Any] | str | None = None
    describe: Mapping[str, Any] | str = "glassine.curation.describe.Measured"
    default_domain: str = "cartoon"
    tests: Sequence[TestSet] = TEST_SETS
    frozen: Sequence[str] = ()
    folder_words: bool = False
    rows_a_block: int = ROWS_A_BLOCK


def curate(
    crawl: Path,
    to: Path,
    runner: Runner,
    settings: Settings | None = None,
    manifests: Sequence[Path] = (),
    say: Say = lambda line: None,
    progress: Progress = lambda name, count: lambda: None,
) -> dict[str, Any]:
    """Make a data set of a crawl; a stopped run goes on after its last finished block.

    Args:
        crawl: the folder of files.
        to: the data set's folder, made when missing.
        runner: where stages run.
        settings: what is done.
        manifests: tables; those at the top of the crawl are found by themselves.
        say: told what happens, a line at a time.
        progress: see `Progress`.

    Returns:
        The content of `dataset.json`: counts and settings.

    Raises:
        UserError: no crawl, not one sticker in it, or what stages raise.
    """
    settings = settings or Settings()
    crawl, to = crawl.resolve(), to.resolve()
    if not crawl.is_dir():
        raise UserError(f"there is no folder {crawl}: give the folder that holds the crawled files")
    if to == crawl or crawl in to.parents:
        raise UserError(f"the data set must lie outside of the crawl, got {to} inside of {crawl}")
    work = to / WORK
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{to} cannot be made ({(error.strerror or 'error').lower()}): choose another folder"
        ) from error
    with sole_writer(to, "this data set"):
        return _Curation(crawl, to, work, runner, settings, say, progress).run(list(manifests))


@dataclass
class _Curation:
    crawl: Path
    to: Path
    work: Path
    runner: Runner
    settings: Settings
    say: Say
    progress: Progress

    def run(self, manifests: list[Path]) -> dict[str, Any]:
        frozen = [load_frozen(Path(path)) for path in self.settings.frozen]
        listing, listed = self._list(manifests)
        files = self._pass("reading files", [self._ingest()], listed, "files")
        joined, stickers = self._join(files)
        annotated = self._pass("text, domain, description", self._annotators(), stickers, "stickers")
        rejected, split, missing = self._split(annotated, frozen)
        stored = self._pass("writing shards", [self._encode()], split, "split")
        return self._finish(listing, joined, rejected, stored, missing)

    @property
    def _places(self) -> tuple[str, str]:
        return str(self.crawl), str(self.work / "unpacked")

    def _ingest(self) -> StageFactory:
        return partial(Ingest, *self._places)

    def _annotators(self) -> list[StageFactory]:
        how = self.settings
        words = str(self.work / "words.json")
        return [
            partial(Ocr, *self._places, how.thresholds, how.ocr),
            partial(Domain, *self._places, how.domain, how.default_domain),
            partial(Describe, *self._places, how.describe, words),
        ]

    def _encode(self) -> StageFactory:
        return partial(Encode, *self._places, str(self.to), self.settings.shards)

    def _pass(self, name: str, stages: Sequence[StageFactory], blocks: list[Block], what: str) -> list[Block]:
        advance = self.progress(name, len(blocks))
        return self.runner.run(stages, blocks, self.work / "results", advance)

    def _list(self, manifests: list[Path]) -> tuple[Listing, list[Block]]:
        tables = [*manifests, *(path for path in find_manifests(self.crawl) if path not in manifests)]
        manifest, listing = Manifest(self.work / "manifest.sqlite", tables), Listing()
        rows = list_crawl(self.crawl, manifest, listing, self.work / "unpacked", self.settings.folder_words)
        blocks = write_blocks(self.work / "listing", rows, self.settings.rows_a_block)
        unused, names = manifest.unused()
        manifest.close()
        if unused:
            self.say(f"{unused} rows of manifests name no file of the crawl, such as {', '.join(names[:3])}")
        if not blocks:
            raise UserError(f"{self.crawl} holds no media file: give the folder that holds the crawled files")
        self.say(f"{listing.files} files listed in {len(blocks)} blocks")
        return listing, blocks

    def _join(self, files: list[Block]) -> tuple[Joined, list[Block]]:
        joined, rows = join(files, self.to, self.work, self.settings.thresholds, self.settings.near)
        words: Counter[str] = Counter()

        def counted() -> Iterator[Row]:
            for row in rows:
                words.update(row["words"].keys())
                yield row

        blocks = write_blocks(self.work / "stickers", counted(), self.settings.rows_a_block)
        (self.work / "words.json").write_text(json.dumps(dict(sorted(words.items())), ensure_ascii=False))
        if not blocks:
            first = f", most of them {joined.rejected.most_common(1)[0][0]}" if joined.rejected else ""
            raise UserError(
                f"not one of {joined.files} files is kept: {joined.broken.total()} are broken, "
                f"{joined.rejected.total()} left out{first}; see {self.to}/rejected.jsonl and broken.jsonl"
            )
        self.say(
            f"{joined.stickers} stickers in {joined.groups} groups; {joined.broken.total()} files broken, "
            f"{joined.repeated} repeated, {joined.rejected.total()} left out so far"
        )
        return joined, blocks

    def _split(
        self, annotated: list[Block], frozen: list[dict[str, Any]]
    ) -> tuple[Counter[str], list[Block], list[str]]:
        """Leave out what was rejected since, and give each sticker its split."""
        splits, late = Splits(frozen), list[Row]()
        for block in annotated:
            for row in read_rows(block.path):
                splits.meet(row)
                if row.get("crashed"):
                    row["rejected"] = {"crashed": 1.0}
                if "rejected" in row:
                    late.append(rejection(row, row["rejected"]) | {n: row[n] for n in ("ocr", "says") if n in row})
        earlier = [row for row in read_rows(self.to / "rejected.jsonl") if row["reason"] not in _LATE]
        write_rows(self.to / "rejected.jsonl", sorted([*earlier, *late], key=lambda row: str(row["sha"])))

        def kept() -> Iterator[Row]:
            count = 0
            for block in annotated:
                for row in read_rows(block.path):
                    if "rejected" in row or row.get("crashed"):
                        continue
                    row["split"], sets = splits.of(row)
                    if sets:
                        row["tests"] = sets
                    row["block"] = count // self.settings.rows_a_block
                    count += 1
                    yield row

        blocks = write_blocks(self.work / "split", kept(), self.settings.rows_a_block)
        if not blocks:
            raise UserError(f"not one sticker is left after text was looked for; see {self.to}/rejected.jsonl")
        return Counter(row["reason"] for row in late), blocks, splits.missing

    def _finish(
        self, listing: Listing, joined: Joined, late: Counter[str], stored: list[Block], missing: list[str]
    ) -> dict[str, Any]:
        wanted = {f"{block.number:06d}" for block in stored}
        for folder in (self.to / "shards").iterdir():
            if folder.name not in wanted:
                shutil.rmtree(folder, ignore_errors=True)

        def rows() -> Iterator[Row]:
            for block in stored:
                yield from (row for row in read_rows(block.path) if "rejected" not in row)

        count = write_rows(self.to / "stickers.jsonl", rows())
        straddling = check_sides(rows(), read_rows(self.to / "near_copies.jsonl"))
        if straddling:
            raise UserError(f"{len(straddling)} near copies lie in different splits, first {straddling[0]}")
        (self.to / "tests").mkdir(exist_ok=True)
        for test in self.settings.tests:
            write_rows(self.to / "tests" / f"{test.name}.candidates.jsonl", choose_candidates(rows(), test))
        write_sheets(self.to, self.crawl, self.work / "unpacked")
        joined.rejected.update(late)
        joined.kept = count
        record = {
            "listing": {"files": listing.files, "passed": listing.passed, "damaged": listing.damaged},
            "counts": joined.as_json(),
            "splits": dict(sorted(Counter(row["split"] for row in rows()).items())),
            "settings": plain(asdict(self.settings)),
            "near_copies_across_splits": len(straddling),
            "test_stickers_missing": missing,
        }
        with atomic_path(self.to / RECORD) as temporary:
            temporary.write_text(json.dumps(record, ensure_ascii=False, indent=1, sort_keys=True) + "\n", "utf-8")
        return record


_LATE = ("long text", "gone", "crashed")


def plain(value: Any) -> Any:
    """JSON values of settings."""
    return json.loads(json.dumps(value, default=dict))
