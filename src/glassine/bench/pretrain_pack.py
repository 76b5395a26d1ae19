"""Run the pretraining queue on a borrowed machine, minutes at a time: `glassine pretrain pack`, `run-pack`, `unpack`.

A pack holds the cached frames as lossy WebP, small enough for the transfer (64 MiB); latents are computed again on the
remote machine in seconds. The results are weights in half precision, split into parts below the transfer limit.

    glassine pretrain pack                            local: pack data/frames into data/pack
    glassine pretrain run-pack --minutes 9 --out OUT  remote: unpack, run the queue, write weights to OUT
    glassine pretrain unpack OUT                      local: join the parts into weights of the queue

A second `run-pack` on the same machine resumes the first. On a fresh machine, trainings start over, except those whose
weights are in the pack: `pack` includes the finished weights of the queue.
"""

import io
import json
import multiprocessing
import os
import tarfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from glassine.bench.pretrain import STATE, STEPS, Queue, read_steps
from glassine.data.cache_files import CacheFiles, write_cache
from glassine.data.clips import spread_rows
from glassine.data.codecs.io import decode_bytes, write_sticker
from glassine.data.frame_cache import FRAMES, IDENTITY, padded
from glassine.data.sticker import Sticker
from glassine.utils.errors import UserError
from glassine.utils.files import atomic_path

FRAMES_FOLDER, PACK = Path("data/frames"), Path("data/pack")
PART_BYTES = 15 * 2**20  # files of at most 16 MiB can be fetched from the machine
PACK_BYTES = 64 * 2**20  # limit of an upload
ABOUT = "about.json"


def pack_frames(source: Path, target: Path, quality: int = 75, variants: int = 2) -> int:
    """Write a cache of frames as one tar of WebP files.

    Args:
        source: folder of the cache.
        target: the tar file.
        quality: of the lossy colors, 0 to 100; alpha is lossless.
        variants: maximum number of stickers (skin tones, genders) of each group, evenly spread.

    Returns:
        Size of the tar in bytes.

    Raises:
        UserError: the cache does not exist.
    """
    cache = CacheFiles(FRAMES, source)
    about = list(chain.from_iterable(json.loads(header["about"]) for header in cache.headers))
    groups = defaultdict[str, list[int]](list)
    for row, known in enumerate(about):
        groups[known["group"]].append(row)
    rows = sorted(int(row) for members in groups.values() for row in spread_rows(np.array(members), variants))
    with atomic_path(target) as temporary, tarfile.open(temporary, "w") as tar:
        content = {"settings": cache.settings, "about": [about[row] for row in rows]}
        add(tar, ABOUT, json.dumps(content, ensure_ascii=False).encode())
        for number, row in enumerate(rows):
            file, place = cache.find(row)
            frames = cache.file(file).get_slice("frames")[place].numpy()
            add(tar, f"{number:06d}.webp", to_webp(frames, quality))
    return target.stat().st_size


def to_webp(frames: np.ndarray, quality: int) -> bytes:
    """Encode frames `f h w 4` uint8 as one WebP with lossy colors; the color of clear pixels is discarded."""
    shown = np.where(frames[..., 3:] > 0, frames, 0)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "frames.webp"
        write_sticker(Sticker(shown, (100,) * len(shown)), file, quality=quality)
        return file.read_bytes()


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Add a member without a timestamp, so that equal content gives equal files."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def unpack_frames(source: Path, target: Path, workers: int | None = None) -> int:
    """Restore a cache of frames from a pack. A stopped call resumes.

    Args:
        source: tar from `pack_frames`.
        target: folder of the cache.
        workers: number of processes; None for one per core.

    Returns:
        Number of files written.

    Raises:
        UserError: the pack does not exist or is damaged.
    """
    try:
        with tarfile.open(source) as tar:
            content = json.loads(read_member(tar, ABOUT))
            blobs = [read_member(tar, f"{number:06d}.webp") for number in range(len(content["about"]))]
    except (OSError, tarfile.TarError, ValueError, KeyError) as error:
        raise UserError(f"{source} must be a pack of frames, got {error}: pack it again") from error
    count = int(content["settings"]["num_frames"])

    with multiprocessing.get_context("spawn").Pool(workers or os.cpu_count()) as pool:

        def make(part: Sequence[tuple[int, int]], tell: Any) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
            places = [place for _, place in part]
            clips = pool.starmap(from_webp, [(blobs[place], count) for place in places], chunksize=8)
            frames = torch.stack([torch.from_numpy(clip) for clip in clips])
            return {"frames": frames}, {"about": json.dumps([content["about"][place] for place in places])}

        settings = {name: value for name, value in content["settings"].items() if name != "samples"}
        samples = [(0, place) for place in range(len(blobs))]
        return write_cache(FRAMES, target, {**IDENTITY, "packed": "WebP"}, settings, samples, make, 128)


def read_member(tar: tarfile.TarFile, name: str) -> bytes:
    """The bytes of a member of a tar file.

    Raises:
        KeyError: there is no such file in it.
    """
    file = tar.extractfile(name)
    if file is None:
        raise KeyError(name)
    return file.read()


def from_webp(data: bytes, count: int) -> np.ndarray:
    """Decode a packed sticker to color-padded frames `f h w 4` uint8.

    Raises:
        UserError: it does not have `count` frames.
    """
    torch.set_num_threads(1)
    frames = decode_bytes(data, "webp").frames
    if len(frames) != count:
        raise UserError(f"a packed sticker must have {count} frames, got {len(frames)}: pack it again")
    return padded(frames).numpy()


def pack(frames: Path, target: Path, state: Path, quality: int, variants: int) -> None:
    """Pack all caches of frames and the queue's finished weights.

    Args:
        frames: folder of the caches.
        target: folder for the tar files.
        state: folder of the queue.
        quality: see `pack_frames`.
        variants: see `pack_frames`.

    Raises:
        UserError: there is no cache, or the pack is larger than `PACK_BYTES`.
    """
    folders = sorted({file.parent for file in frames.glob("*/frames-*.safetensors")})
    if not folders:
        raise UserError(f"{frames} must hold caches of frames, got none: run the first steps of `make pretrain`")
    target.mkdir(parents=True, exist_ok=True)
    total = 0
    for folder in folders:
        size = pack_frames(folder, target / f"{folder.name}.tar", quality, variants)
        print(f"{target / folder.name}.tar: {size / 2**20:.1f} MiB", flush=True)
        total += size
    weights = target / "weights.tar"
    with atomic_path(weights) as temporary, tarfile.open(temporary, "w") as tar:
        if (state / "weights").is_dir():
            tar.add(state / "weights", "weights")
    total += weights.stat().st_size
    if total > PACK_BYTES:
        raise UserError(
            f"a pack must be at most {PACK_BYTES >> 20} MiB, got {total / 2**20:.1f}: lower --quality or --variants"
        )
    print(f"{target}: {total / 2**20:.1f} MiB in all")


def run_pack(
    source: Path, frames: Path, out: Path, minutes: float, accelerator: str, only: Sequence[str] | None
) -> None:
    """Unpack missing frames, run the queue for some minutes, and write finished and unfinished weights.

    Args:
        source: folder of the pack.
        frames: folder of the caches of frames.
        out: folder for the parts of the weights.
        minutes: time limit of the queue.
        accelerator: see `Queue`.
        only: names of the steps to run; None for all.
    """
    for file in sorted(source.glob("*.tar")):
        if file.stem != "weights":
            unpack_frames(file, frames / file.stem)
    weights = source / "weights.tar"
    if weights.is_file() and not (STATE / "weights").is_dir():
        with tarfile.open(weights) as tar:
            tar.extractall(STATE, filter="data")
    steps = read_steps(STEPS)
    queue = Queue(steps, accelerator=accelerator)
    for step in steps:
        packed = step.weights is not None and (STATE / "weights" / step.weights / "config.yaml").is_file()
        if step.name.startswith("frames-") or (packed and not queue.record(step).begun):
            queue.mark_done(step)
    queue.work(only, minutes=minutes)
    queue.export_unfinished()
    parts = list(split(STATE / "weights", out))
    print(f"{len(parts)} parts in {out}\n{queue.status()}")


def split(weights: Path, out: Path, part_bytes: int = PART_BYTES) -> Iterator[Path]:
    """Write a tar of all weights in parts `weights.tar.000`, `.001`, ...; yields the path of each."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(weights, "weights")
    data = buffer.getvalue()
    out.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, len(data), part_bytes)):
        path = out / f"weights.tar.{number:03d}"
        path.write_bytes(data[start : start + part_bytes])
        yield path


def join(parts: Path, state: Path) -> list[str]:
    """Join the parts from `split` and extract them into the queue's weights.

    Args:
        parts: folder of the parts.
        state: folder of the queue.

    Returns:
        Names of all bundles in the queue's weights.

    Raises:
        UserError: there are no parts, one is missing, or they are damaged.
    """
    files = sorted(parts.glob("weights.tar.*"))
    if [file.suffix for file in files] != [f".{number:03d}" for number in range(len(files))] or not files:
        raise UserError(f"{parts} must hold weights.tar.000 and so on without a gap, got {len(files)} files")
    try:
        with tarfile.open(fileobj=io.BytesIO(b"".join(file.read_bytes() for file in files))) as tar:
            state.mkdir(parents=True, exist_ok=True)
            tar.extractall(state, filter="data")
    except (tarfile.TarError, OSError) as error:
        raise UserError(f"the parts in {parts} must make one tar file, got {error}: fetch them again") from error
    found = sorted(file.parent for file in (state / "weights").glob("*/model.safetensors"))
    for folder in found:
        load_file(folder / "model.safetensors")  # raises if the file is truncated
    return [folder.name for folder in found]
