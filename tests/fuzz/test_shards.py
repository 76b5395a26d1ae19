"""Mutated shard sets: every sticker is read or named, nothing else is raised, and memory stays small."""

import io
import json
import random
import resource
import shutil
import tarfile
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.fuzz.mutate_bytes import mutate, rounds

from glassine.data.shards import ShardFormat, ShardWriter, StickerShards, build_index, index_path, rebuild_index
from glassine.data.sticker import Sticker
from glassine.utils.errors import UserError

FEW = 300
MOST_MEMORY = 1 << 30  # beside what the libraries take


def stickers(count: int) -> list[Sticker]:
    chance = np.random.default_rng(0)
    made = []
    for number in range(count):
        frames = np.zeros((number % 3 + 1, 12, 10, 4), np.uint8)
        frames[:, 2:9, 2:8] = chance.integers(0, 255, (len(frames), 7, 6, 4))
        made.append(Sticker(frames, (80,) * len(frames)))
    return made


def fast_form(folder: Path, codec: str) -> None:
    """Shards as `glassine data build` writes them, some stickers each."""
    with ShardWriter(folder, ShardFormat(codec), max_bytes=12_000) as writer:
        for number, sticker in enumerate(stickers(8)):
            writer.write(f"s{number}", sticker, {"description": f"größer {number}", "split": "val"})


def gif_like(folder: Path) -> None:
    """A shard from elsewhere: GIF, WebP and PNG files with a JSON beside, one with a long name."""
    folder.mkdir()
    with tarfile.open(folder / "part.tar", "w") as archive:
        for number, sticker in enumerate(stickers(6)):
            pictures, file = [Image.fromarray(frame) for frame in sticker.frames], io.BytesIO()
            suffix = ("gif", "webp", "png")[number % 3]
            more = {} if suffix == "png" else {"save_all": True, "append_images": pictures[1:], "duration": 80}
            pictures[0].save(file, suffix, **more)
            key = f"k{number}" + "long" * 30 * (number == 4)
            for name, data in ((suffix, file.getvalue()), ("json", json.dumps({"description": key}).encode())):
                member = tarfile.TarInfo(f"{key}.{name}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    build_index(folder / "part.tar").save(index_path(folder / "part.tar"))


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    place = tmp_path_factory.mktemp("sets")
    for codec in ("jpeg+alpha", "png", "webp"):
        fast_form(place / codec, codec)
    gif_like(place / "gif-like")
    return sorted(place.iterdir())


def with_right_sum(tar: bytearray, chance: random.Random) -> bytes:
    """A header changed in one field, with a checksum that fits: what a hand, not an accident, does."""
    headers = [at for at in range(0, len(tar) - 512, 512) if tar[at + 257 : at + 262] == b"ustar"]
    at = chance.choice(headers)
    start, length = chance.choice([(0, 100), (124, 12), (156, 1), (345, 155)])
    tar[at + start : at + start + length] = mutate(bytes(tar[at + start : at + start + length]), chance, 2)[
        :length
    ].ljust(length, b"\0")
    tar[at + 148 : at + 156] = b" " * 8
    tar[at + 148 : at + 156] = b"%06o\0 " % sum(tar[at : at + 512])
    return bytes(tar)


def damage(folder: Path, chance: random.Random) -> str:
    """Change one file of a set; returns how."""
    tar = chance.choice(sorted(folder.glob("*.tar")))
    how = chance.choice(["tar", "tar, indexed again", "header, indexed again", "header", "index"])
    if how == "index":
        index_path(tar).write_bytes(mutate(index_path(tar).read_bytes(), chance))
        return how
    data = tar.read_bytes()
    tar.write_bytes(with_right_sum(bytearray(data), chance) if "header" in how else mutate(data, chance))
    if "again" in how:
        rebuild_index(tar).save(index_path(tar))
    return how


def check(folder: Path, keys: set[str]) -> str:
    """Read all that can be read; AssertionError where a sticker is missing and nothing was said."""
    try:
        shards = StickerShards(folder)
    except UserError:
        return "closed"
    read, failed = set[str](), set[str]()
    for row in range(len(shards)):
        try:
            info = shards.metadata(row)
            assert shards.read(row, range(info.num_frames)).dtype == np.uint8
            read.add(shards.key(row))
        except ValueError:
            failed.add(shards.name(row))
    missing = keys - read
    assert not missing or failed or shards.damaged, f"silently gone: {missing}"
    return "whole" if not (missing or failed or shards.damaged) else "named"


@pytest.mark.full
@pytest.mark.timeout(0)
def test_mutated_sets_are_read_or_named(sets, tmp_path, capsys):
    keys = {folder: {str(key) for key in StickerShards(folder)._keys} for folder in sets}
    outcomes, before = Counter[str](), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with warnings.catch_warnings(action="ignore"):
        for number in rounds(FEW):
            chance = random.Random(number)
            source = chance.choice(sets)
            folder = shutil.copytree(source, tmp_path / "set", dirs_exist_ok=False)
            try:
                how = damage(folder, chance)
                outcomes[f"{how}: {check(folder, keys[source])}"] += 1
            except Exception as error:
                raise AssertionError(f"seed {number}, {source.name}: {type(error).__name__}: {error}") from error
            shutil.rmtree(folder)
    with capsys.disabled():
        print(f"\n{sum(outcomes.values())} sets:", dict(sorted(outcomes.items())))
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MOST_MEMORY
