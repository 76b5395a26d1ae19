"""Benchmark records: scores with the method, data, software and hardware they were measured with.

Every number in a table comes from a record. A cell is reused as long as its fingerprint (of the method, its weights and
settings, and the clips) and the names of its metrics are unchanged.
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
        stickers: number of stickers or clips.
        scores: name of the metric -> value; None if it could not be measured.
        psnr: key of the sticker -> its mean alpha PSNR in dB; only used in old records, which have no `items`.
        metrics: names of the requested scores; by default those in `scores`.
        keys: key of each item (clip): the sticker's key, with a number if there are several clips of it.
        groups: group of each item.
        items: score -> its value for each item; None where it is undefined.
        draws: distance, which has no value for single clips -> its values in the bootstrap draws of
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
        """Whether it was measured on the same inputs, with all of `metrics`, and for at least `stickers` stickers."""
        return self.inputs == inputs and self.stickers >= stickers and set(metrics) <= set(self.metrics)

    @property
    def num_groups(self) -> int | None:
        """Number of distinct groups; None if the record has no groups."""
        return len(set(self.groups)) or None

    def per_item(self, score: str) -> dict[str, tuple[str, float]]:
        """Item's key -> group and value of a score; empty if only the mean was recorded."""
        if score == "psnr_mean" and not self.items:
            return {key: (key, value) for key, value in self.psnr.items()}  # always one sticker per group
        values = self.items.get(score, [])
        found = zip(self.keys, self.groups, values, strict=bool(values))
        return {key: (group, value) for key, group, value in found if value is not None}


@dataclass
class Record:
    """One method, and one seed of it, on one set of stickers.

    Attributes:
        method: short name.
        title: of the row; records with the same title are seeds of one row.
        split: of the stickers.
        size: height and width, pixels.
        num_frames: number of frames of a clip.
        stickers: keys of the stickers.
        data: name of the data folder, or of the training set.
        weights: the bundle, or the run of the checkpoint.
        config: the YAMLs it was trained with and their overrides; empty if unknown.
        digest: hash of the weights.
        seed: of the training; None if unknown.
        settings: other arguments of the method.
        missing: why there are no scores; empty if there are.
        costs: name -> value, such as `parameters`, `ms_per_frame` and `steps` (of training).
        costs_on: the processor or GPU on which costs were measured.
        conditions: name of the condition -> its cell.
        measured: description of the measurement.
        versions: of Python and packages.
        hardware: of the machine.
        date: time of the last change, UTC.
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
        """Split, size, number of frames and stickers; these must be equal for records in one table."""
        return self.split, self.size, self.num_frames, tuple(self.stickers)

    @property
    def file_name(self) -> str:
        """Name of the file: one for each method, its weights, and set of stickers."""
        clips = f"{len(self.stickers)}x{self.num_frames}" if self.stickers else f"{self.num_frames}f"
        parts = [self.data, self.split, f"{self.size}px", clips, self.method, self.weights]
        return re.sub(r"[^A-Za-z0-9]+", "-", "-".join(filter(None, parts))).strip("-").lower() + ".json"

    def save(self, folder: Path) -> Path:
        """Set versions, hardware and date to the current ones, write the file, and return its path."""
        self.versions, self.hardware = versions(), hardware()
        self.date = datetime.now(UTC).isoformat(timespec="minutes")
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(folder / self.file_name) as path:
            text = json.dumps(asdict(self), indent=1, ensure_ascii=False, allow_nan=False)
            path.write_text(SHORT_LIST.sub(on_one_line, text) + "\n", "utf-8")
        return folder / self.file_name


def on_one_line(found: re.Match[str]) -> str:
    """A JSON list of numbers without line breaks, since records hold thousands of numbers."""
    return "[" + re.sub(r"\n\s*", " ", found[1]) + "]"


def read_record(path: Path) -> Record:
    """Read a record.

    Raises:
        UserError: the file cannot be read or is no record.
    """
    try:
        content = json.loads(read_plain(path))
        cells = {name: Cell(**cell) for name, cell in content.pop("conditions").items()}
        return Record(**content, conditions=cells)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} must be a benchmark record, got {error}: remove it and measure again") from error


def read_records(folder: Path) -> list[Record]:
    """All records of a folder, sorted by file name; empty if there is no folder."""
    return [read_record(path) for path in sorted(folder.glob("*.json"))]


def fingerprint(*parts: Any) -> str:
    """Hash, twelve hexadecimal digits, of `parts` and the version of the package."""
    return hashlib.blake2b(repr((__version__, *parts)).encode(), digest_size=6).hexdigest()


def plain(value: float, digits: int = 5) -> float | None:
    """A number for JSON: rounded to significant digits; None for NaN and infinity."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None


def versions() -> dict[str, str]:
    """Versions of Python and of the packages on which scores depend."""
    found = {"python": platform.python_version()}
    for package in (*PACKAGES, "opencv-python-headless"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found
