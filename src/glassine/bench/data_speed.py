"""How fast clips are read: our shards against Pillow, PyAV, decord and webdataset, on the same stickers in one run.

Run with `python -m glassine.bench.data_speed`. Each reader brings 8 evenly spaced frames of every sticker into memory
as uint8 arrays, in one process on one thread; readers take turns, and the best round of each counts. Speed is clips
per second of processor time, so other programs on the machine disturb it little; ratios are to Pillow on the original
files.
"""

import argparse
import datetime as dt
import json
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from glassine.bench.data_readers import NUM_FRAMES, installed, prepare_readers
from glassine.data.shards import ShardFormat
from glassine.data.sources.emoji_art import default_cache
from glassine.data.sources.fluent import FluentStickers
from glassine.utils.devices import hardware
from glassine.utils.errors import UserError, exit_code
from glassine.utils.files import atomic_path


def measure(originals: Sequence[Path], rounds: int = 3) -> dict[str, object]:
    """Convert the stickers to what each reader can read, then time all readers.

    Args:
        originals: animated WebP files with at least 8 frames.
        rounds: how often each reader reads every clip.

    Returns:
        The record: settings, versions, hardware, date, and a row for each reader.

    Raises:
        UserError: no file, or a reader that gave something else than 8 frames.
    """
    if not originals:
        raise UserError("no animated sticker to measure with; run `glassine data fetch fluent` first")
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as folder:
        counts, readers = prepare_readers(originals, Path(folder))
        for reader in readers * rounds:
            start = time.process_time()
            clips = sum(len(clip) == NUM_FRAMES for clip in reader.read())
            reader.seconds = min(reader.seconds, time.process_time() - start)
            if clips != len(originals):
                raise UserError(f"{reader.name} read {clips} whole clips of {len(originals)}; the files do not fit it")
    base = readers[0].seconds
    rows = [
        {
            "reader": reader.name,
            "files": reader.files,
            "alpha": reader.alpha,
            "clips_per_second": round(len(originals) / reader.seconds, 2),
            "ratio_to_pillow": round(base / reader.seconds, 2),
        }
        for reader in readers
    ]
    return {
        "benchmark": "data_speed",
        "command": "python -m glassine.bench.data_speed",
        "date": dt.date.today().isoformat(),
        "settings": {
            "stickers": len(originals),
            "frames_per_clip": NUM_FRAMES,
            "median_frames_per_sticker": float(np.median(counts)),
            "rounds": rounds,
            "shard_format": asdict(ShardFormat()),
        },
        "hardware": hardware(),
        "versions": {"python": platform.python_version(), **_versions()},
        "rows": rows,
    }


def _versions() -> dict[str, str]:
    names = ("glassine", "pillow", "opencv-python-headless", "av", "decord", "webdataset", "numpy")
    return {name: version(name) for name in names if installed(name)}


def table(record: dict) -> str:
    """The record as a Markdown table, in the order of speed."""
    lines = ["| reader | files | true alpha | clips/s on one core | against Pillow |", "|---|---|---|--:|--:|"]
    for row in sorted(record["rows"], key=lambda row: row["clips_per_second"]):
        alpha = "yes" if row["alpha"] else "no"
        speed = f"{row['clips_per_second']:.1f} | {row['ratio_to_pillow']:.2f}x"
        lines.append(f"| {row['reader']} | {row['files']} | {alpha} | {speed} |")
    settings, machine = record["settings"], record["hardware"]
    lines.append(
        f"\n{settings['frames_per_clip']} of {settings['median_frames_per_sticker']:.0f} frames (median) of "
        f"{settings['stickers']} stickers; {machine['cpu']}, {record['date']}."
    )
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns its exit code."""
    parser = argparse.ArgumentParser(description="Clips per second of our reader and others")
    parser.add_argument(
        "--originals", type=Path, default=None, help="folder of animated WebP (default: fetched Fluent)"
    )
    parser.add_argument("--stickers", type=int, default=40, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument(
        "--record", type=Path, default=Path("benchmarks/results/data_speed.json"), help="default: %(default)s"
    )
    args = parser.parse_args(arguments)
    return exit_code(lambda: measure_and_write(args.originals, args.stickers, args.rounds, args.record))


def measure_and_write(folder: Path | None, stickers: int, rounds: int, file: Path) -> None:
    """Measure on `stickers` of `folder`, print the table, and write it beside the record in `file`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    record = measure(_originals(folder, stickers), rounds)
    with atomic_path(file) as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    with atomic_path(file.with_suffix(".md")) as temporary:
        temporary.write_text(table(record), encoding="utf-8")
    print(table(record))


def _originals(folder: Path | None, count: int) -> list[Path]:
    """Files of 48 frames and more where a folder has enough of them, evenly spread over it."""
    if folder is None:
        paths = [item.path for item in FluentStickers(default_cache()).items() if item.path is not None]
    else:
        paths = sorted(folder.glob("*.webp"))
    long = []
    for path in paths:
        with Image.open(path) as image:
            frames = int(getattr(image, "n_frames", 1))
        if frames >= NUM_FRAMES:
            long.append((frames, path))
    usual = [path for frames, path in long if frames >= 48] or [path for _, path in long]
    places = np.linspace(0, len(usual) - 1, min(count, len(usual))).round().astype(int)
    return [usual[place] for place in places]


if __name__ == "__main__":
    sys.exit(main())
