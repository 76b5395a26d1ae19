"""The readers that :mod:`glassine.bench.data_speed` measures, each with the same stickers in files it can read."""

import io
import tarfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import av
import numpy as np
from PIL import Image

from glassine.data.alpha import composite_frames
from glassine.data.codecs import read_sticker
from glassine.data.shards import ShardWriter, StickerShards, build_index, decode_frame, index_path
from glassine.data.sticker import Sticker

NUM_FRAMES = 8
Read = Callable[[], Iterable[np.ndarray]]


@dataclass
class Reader:
    """One way to read all clips.

    Attributes:
        name: row of the table.
        files: what it reads.
        alpha: whether the pixels it gives are RGBA with the true alpha.
        read: reads every sticker's clip once, `f h w c` uint8 each.
        seconds: processor time of the best round for all clips.
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
        folder: empty, for the converted files.

    Returns:
        How many frames each sticker has, and the readers; Pillow on the original files is the first.
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
    height, width = (side - side % 2 for side in (sticker.height, sticker.width))  # H.264 wants even sides
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
    """Whether a package is there to be measured."""
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False
