"""Reading speed of clips: our shards against Pillow, PyAV, decord and webdataset, on the same stickers in one run.

Each reader loads 8 evenly spaced frames of every sticker into memory as uint8 arrays, in one process on one thread.
Readers take turns, and the fastest round of each counts. Speed is in clips per second of CPU time, so that other
programs on the machine hardly affect it; ratios are to Pillow on the original files.
"""

import datetime as dt
import io
import json
import platform
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image

from glassine.data.alpha import composite_frames
from glassine.data.codecs import read_sticker
from glassine.data.shards import ShardFormat, ShardWriter, StickerShards, build_index, decode_frame, index_path
from glassine.data.sources.emoji_art import default_cache
from glassine.data.sources.fluent import FluentStickers
from glassine.data.sticker import Sticker
from glassine.utils.devices import hardware
from glassine.utils.errors import UserError
from glassine.utils.files import atomic_path

NUM_FRAMES = 8
Read = Callable[[], Iterable[np.ndarray]]


@dataclass
class Reader:
    """One way to read all clips.

    Attributes:
        name: row of the table.
        files: the files that it reads, as named in the table.
        alpha: whether it returns RGBA with the true alpha.
        read: yields every sticker's clip once, `f h w c` uint8 each.
        seconds: CPU time of the fastest round over all clips.
    """

    name: str
    files: str
    alpha: bool
    read: Read
    seconds: float = float("inf")


def prepare_readers(originals: Sequence[Path], folder: Path) -> tuple[list[int], list[Reader]]:
    """Convert the stickers and make the readers.

    Args:
        originals: animated WebP files with at least 8 frames.
        folder: empty folder for the converted files.

    Returns:
        The number of frames of each sticker, and the readers; the first is Pillow on the original files.
    """
    counts: list[int] = []
    tar = folder / "original.tar"
    with ShardWriter(folder / "fast", max_bytes=2**40) as writer, tarfile.open(tar, "w", dereference=True) as archive:
        for number, path in enumerate(originals):
            sticker = read_sticker(path)
            counts.append(sticker.num_frames)
            key = f"{number:04d}"
            writer.write(key, sticker, {})
            archive.add(path, f"{key}.webp")
            _write_apng(sticker, folder / f"{key}.png")
            _write_mp4(sticker, folder / f"{key}.mp4")
    chosen = [_evenly(count) for count in counts]
    build_index(tar).save(index_path(tar))
    fast, packed = StickerShards(folder / "fast"), StickerShards(tar)
    apngs, mp4s = (sorted(folder.glob(f"*.{suffix}")) for suffix in ("png", "mp4"))
    readers = [
        Reader("Pillow", "original WebP", True, lambda: map(_pillow, originals, chosen)),
        Reader("PyAV", "APNG", True, lambda: (_pyav(p, c, "rgba") for p, c in zip(apngs, chosen, strict=True))),
        Reader("PyAV", "MP4, opaque", False, lambda: (_pyav(p, c, "rgb24") for p, c in zip(mp4s, chosen, strict=True))),
    ]
    if installed("decord"):
        readers.append(Reader("decord", "MP4, opaque", False, lambda: map(_decord, mp4s, chosen)))
    if installed("webdataset"):
        shard = str(folder / "fast" / "shard-000000.tar")
        readers.append(
            Reader(
                "webdataset + Pillow", "original WebP in tar", True, lambda: _webdataset(str(tar), chosen, _from_webp)
            )
        )
        readers.append(
            Reader("webdataset + our decoder", "our shards", True, lambda: _webdataset(shard, chosen, _from_frames))
        )
    readers.append(
        Reader("glassine", "original WebP in tar", True, lambda: map(packed.read, range(len(chosen)), chosen))
    )
    readers.append(Reader("glassine", "our shards", True, lambda: map(fast.read, range(len(chosen)), chosen)))
    return counts, readers


def _evenly(count: int) -> list[int]:
    return [int((number + 0.5) * count / NUM_FRAMES) for number in range(NUM_FRAMES)]


def _write_apng(sticker: Sticker, path: Path) -> None:
    frames = [Image.fromarray(frame) for frame in sticker.frames]
    frames[0].save(
        path, "PNG", save_all=True, append_images=frames[1:], duration=list(sticker.durations), compress_level=1
    )


def _write_mp4(sticker: Sticker, path: Path) -> None:
    height, width = (side - side % 2 for side in (sticker.height, sticker.width))  # H.264 requires even sides
    opaque = np.ascontiguousarray(composite_frames(sticker.frames, (255, 255, 255))[:, :height, :width])
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"crf": "18", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in opaque:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def _pillow(source: Path | io.BytesIO, chosen: Sequence[int]) -> np.ndarray:
    frames = []
    with Image.open(source) as image:
        for frame in chosen:
            image.seek(frame)
            frames.append(np.asarray(image.convert("RGBA")))
    return np.stack(frames)


def _pyav(path: Path, chosen: Sequence[int], pixels: str) -> np.ndarray:
    frames = []
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for number, frame in enumerate(container.decode(video=0)):
            frames += [frame.to_ndarray(format=pixels)] * chosen.count(number)
            if number == chosen[-1]:
                break
    return np.stack(frames)


def _decord(path: Path, chosen: Sequence[int]) -> np.ndarray:
    import decord

    return decord.VideoReader(str(path), num_threads=1).get_batch(list(chosen)).asnumpy()


def _webdataset(
    url: str, chosen: Sequence[list[int]], decode: Callable[[dict, list[int]], np.ndarray]
) -> Iterable[np.ndarray]:
    import webdataset

    for sample, frames in zip(webdataset.WebDataset(url, shardshuffle=False), chosen, strict=True):
        yield decode(sample, frames)


def _from_webp(sample: dict, chosen: list[int]) -> np.ndarray:
    return _pillow(io.BytesIO(sample["webp"]), chosen)


def _from_frames(sample: dict, chosen: list[int]) -> np.ndarray:
    return np.stack([decode_frame([sample[f"{frame:03d}.jpg"], sample[f"{frame:03d}.alpha.png"]]) for frame in chosen])


def installed(package: str) -> bool:
    """Whether a package is installed."""
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


def measure(originals: Sequence[Path], rounds: int = 3) -> dict[str, object]:
    """Convert the stickers to each reader's format, then time all readers.

    Args:
        originals: animated WebP files with at least 8 frames.
        rounds: how often each reader reads every clip.

    Returns:
        The record: settings, versions, hardware, date, and a row for each reader.

    Raises:
        UserError: `originals` is empty, or a reader did not return 8 frames for every clip.
    """
    if not originals:
        raise UserError("no animated sticker to measure with: run `glassine data fetch fluent` first")
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as folder:
        counts, readers = prepare_readers(originals, Path(folder))
        for reader in readers * rounds:
            start = time.process_time()
            clips = sum(len(clip) == NUM_FRAMES for clip in reader.read())
            reader.seconds = min(reader.seconds, time.process_time() - start)
            if clips != len(originals):
                raise UserError(f"{reader.name} must read {len(originals)} whole clips, got {clips}")
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
        "command": "glassine benchmark data",
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
    """The record as a Markdown table, slowest reader first."""
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


def measure_and_write(folder: Path | None, stickers: int, rounds: int, file: Path) -> None:
    """Measure, print the table, and write the record and the table.

    Args:
        folder: of WebP files; None for the cached Fluent stickers.
        stickers: maximum number of stickers to measure on.
        rounds: how often each reader reads every clip.
        file: of the JSON record; the table gets the same name with `.md`.

    Raises:
        UserError: see `measure`.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    record = measure(_originals(folder, stickers), rounds)
    with atomic_path(file) as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    with atomic_path(file.with_suffix(".md")) as temporary:
        temporary.write_text(table(record), encoding="utf-8")
    print(table(record))


def _originals(folder: Path | None, count: int) -> list[Path]:
    """At most `count` files, evenly spread over the folder: of 48 frames or more, or of 8 or more if none has 48."""
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
