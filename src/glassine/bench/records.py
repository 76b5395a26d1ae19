"""Run records: what was measured, with what, on what, and when. Every number in a table comes from one.

A cell is kept for as long as its fingerprint and the names of its metrics say that it would come out the same: the
method, its weights and settings, the clips, and what is asked of them.
"""

import hashlib
import importlib.metadata
import json
import math
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from glassine import __version__
from glassine.utils.devices import hardware
from glassine.utils.errors import UserError
from glassine.utils.files import atomic_path, read_plain

NUMBER = r"(?:-?\d[\d.]*(?:e[+-]?\d+)?|null)"
SHORT_LIST = re.compile(rf"\[\s*({NUMBER}(?:,\s*{NUMBER})*)\s*\]")
PACKAGES = ("glassine", "torch", "torchvision", "diffusers", "timm", "torchmetrics", "kornia", "numpy", "pillow")


@dataclass
class Cell:
    """Scores of one method under one condition.

    Attributes:
        inputs: fingerprint of the method and of the clips, see `fingerprint`.
        stickers: how many.
        scores: name to value, by the names of the metrics; None where nothing could be measured.
        psnr: key of each sticker to its mean alpha PSNR in dB; in records of before `items` alone.
        metrics: names of the scores that were asked for; by default those that the cell holds.
        keys: of each item, that is of each clip: the sticker, and where there are several clips of it their seed.
        groups: of each item.
        items: score to its value for each item; None where it is not defined there.
        draws: score that has no value for single clips, that is a distance, to its values in the draws of
            `glassine.bench.intervals.group_weights`.
    """

    inputs: str
    stickers: int
    scores: dict[str, float | None]
    psnr: dict[str, float] = field(default_factory=dict)
    metrics: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    items: dict[str, list[float | None]] = field(default_factory=dict)
    draws: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.metrics = self.metrics or list(self.scores)

    def is_current(self, inputs: str, metrics: Sequence[str], stickers: int = 0) -> bool:
        """Whether it was measured on the same inputs, by all of `metrics`, for at least so many `stickers`."""
        return self.inputs == inputs and self.stickers >= stickers and set(metrics) <= set(self.metrics)

    @property
    def num_groups(self) -> int | None:
        """How many groups the items are of; None in records that do not say."""
        return len(set(self.groups)) or None

    def per_item(self, score: str) -> dict[str, tuple[str, float]]:
        """Group and value by the items' keys; nothing where only the mean was kept."""
        if score == "psnr_mean" and not self.items:
            return {key: (key, value) for key, value in self.psnr.items()}  # one sticker a group, always
        values = self.items.get(score, [])
        found = zip(self.keys, self.groups, values, strict=bool(values))
        return {key: (group, value) for key, group, value in found if value is not None}


@dataclass
class Record:
    """One method, and one seed of it, on one set of stickers.

    Attributes:
        method: short name.
        title: row of the table; records of one title are seeds of it.
        split: of the stickers.
        size: height and width, pixels.
        num_frames: frames of a clip.
        stickers: keys.
        data: name of the data folder.
        weights: bundle, or run that left the checkpoint.
        config: the YAML it was trained with and what was changed in it, where that is known.
        digest: of the weights.
        seed: of the training, where it is known.
        settings: other arguments of the method.
        missing: why there are no scores.
        costs: `parameters`, `ms_per_frame`, and what else was measured.
        costs_on: the processor or GPU that they were measured on.
        conditions: condition to its cell.
        measured: how.
        versions: of the packages.
        hardware: of the machine.
        date: of the last change, UTC.
    """

    method: str
    title: str
    split: str
    size: int
    num_frames: int
    stickers: list[str]
    data: str = ""
    weights: str = ""
    config: str = ""
    digest: str = ""
    seed: int | None = None
    settings: dict[str, float | int | str] = field(default_factory=dict)
    missing: str = ""
    costs: dict[str, float | None] = field(default_factory=dict)
    costs_on: str = ""
    conditions: dict[str, Cell] = field(default_factory=dict)
    measured: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    hardware: dict[str, str | int] = field(default_factory=dict)
    date: str = ""

    @property
    def setup(self) -> tuple[str, int, int, tuple[str, ...]]:
        """What must be equal for two records to stand in one table."""
        return self.split, self.size, self.num_frames, tuple(self.stickers)

    @property
    def file_name(self) -> str:
        """One file a method and its weights, and a set of stickers."""
        clips = f"{len(self.stickers)}x{self.num_frames}"
        parts = [self.data, self.split, f"{self.size}px", clips, self.method, self.weights]
        return re.sub(r"[^A-Za-z0-9]+", "-", "-".join(filter(None, parts))).strip("-").lower() + ".json"

    def save(self, folder: Path) -> Path:
        """Write the file, with today's versions, hardware and date."""
        self.versions, self.hardware = versions(), hardware()
        self.date = datetime.now(UTC).isoformat(timespec="minutes")
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(folder / self.file_name) as path:
            text = json.dumps(asdict(self), indent=1, ensure_ascii=False, allow_nan=False)
            path.write_text(SHORT_LIST.sub(on_one_line, text) + "\n", "utf-8")
        return folder / self.file_name


def on_one_line(found: re.Match[str]) -> str:
    """A list of plain values without its line breaks: there are thousands of them."""
    return "[" + re.sub(r"\n\s*", " ", found[1]) + "]"


def read_record(path: Path) -> Record:
    """Read one file.

    Raises:
        UserError: it is no record.
    """
    try:
        content = json.loads(read_plain(path))
        cells = {name: Cell(**cell) for name, cell in content.pop("conditions").items()}
        return Record(**content, conditions=cells)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} must be a benchmark record, got {error}: remove it and measure again") from error


def read_records(folder: Path) -> list[Record]:
    """All records of a folder, by file name; none where there is no folder."""
    return [read_record(path) for path in sorted(folder.glob("*.json"))]


def fingerprint(*parts: Any) -> str:
    """Twelve letters that change with the version of the package and with any of `parts`."""
    return hashlib.blake2b(repr((__version__, *parts)).encode(), digest_size=6).hexdigest()


def plain(value: float, digits: int = 5) -> float | None:
    """A number as JSON may hold it: rounded, None for NaN and infinity."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None


def versions() -> dict[str, str]:
    """Of Python and of the packages that scores depend on."""
    found = {"python": platform.python_version()}
    for package in (*PACKAGES, "opencv-python-headless"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found
