"""The page's stickers: animated WebP under names that tell nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from glassine.data.codecs import create_sticker, open_sticker
from glassine.study.folders import Item


def write_clip(source: Path, target: Path) -> None:
    """Write `source` again as WebP that plays for ever, each visible pixel as it was.

    All stickers are written again, also those that a browser could show: a format, a comment in the file or the colours
    of invisible pixels may tell which method it came from.

    Raises:
        UserError: damaged or unreadable.
    """
    with open_sticker(source) as reader, create_sticker(target, reader.width, reader.height) as writer:
        for frame, duration in reader:
            frame[frame[..., 3] == 0] = 0
            writer.append(frame, duration)


def clip_names(items: Iterable[Item], seed: int) -> dict[tuple[str, str], str]:
    """Method and item to a name of sixteen letters.

    The names come from the bytes of all source files, which raters do not have, so that nobody can work them out from
    guessed names; the same files and seed give the same names.
    """
    items = list(items)
    secret = hashlib.blake2b(str(seed).encode())
    for item in items:
        for method, path in item.files.items():
            secret.update(f"\0{method}\0{item.name}\0".encode())
            for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                if file.is_file():
                    with file.open("rb") as stream:
                        secret.update(hashlib.file_digest(stream, "blake2b").digest())
    key = secret.digest()
    return {
        (method, item.name): hashlib.blake2b(f"{method}\0{item.name}".encode(), key=key, digest_size=8).hexdigest()
        for item in items
        for method in item.files
    }
