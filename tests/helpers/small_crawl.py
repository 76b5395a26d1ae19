"""A small crawl of drawn stickers: every kind of file and of trouble that a curation must tell apart."""

import csv
import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from glassine.data.codecs import write_sticker
from glassine.data.sticker import Sticker


def drawing(seed: int, frames: int = 6, side: int = 72, moves: bool = True) -> np.ndarray:
    """A patterned blob over clear ground, `f side side 4` uint8: every seed another shape and pattern."""
    chance = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side - 0.5
    waves = sum(
        chance.uniform(0.5, 1) * np.sin(2 * np.pi * (chance.integers(-4, 5) * x + chance.integers(-4, 5) * y) + phase)
        for phase in chance.uniform(0, 6, 5)
    )
    angle = np.arctan2(y, x)
    edge = 0.33 + 0.09 * np.sin(chance.integers(2, 7) * angle + chance.uniform(0, 6))
    color = chance.integers(60, 230, 3)
    out = np.zeros((frames, side, side, 4), np.uint8)
    pattern = (color + 60 * (waves[..., None] > 0)).clip(0, 255).astype(np.uint8)
    inside = np.hypot(x, y) < edge
    for number, frame in enumerate(out):
        shift = round(4 * np.sin(2 * np.pi * number / frames)) if moves else 0
        frame[..., :3] = np.roll(pattern, shift, axis=1)
        frame[..., 3] = np.roll(inside, shift, axis=1) * np.uint8(255)
    out[out[..., 3] == 0] = 0
    return out


def sticker(seed: int, frames: int = 6, side: int = 72) -> Sticker:
    """The drawing with 80 ms a frame."""
    return Sticker(drawing(seed, frames, side), (80,) * frames, 0)


def file_bytes(folder: Path, one: Sticker, suffix: str) -> bytes:
    """A sticker as the bytes of a file."""
    path = folder / f"temporary{suffix}"
    write_sticker(one, path, quality=90 if suffix in (".webp", ".webm") else None)
    data = path.read_bytes()
    path.unlink()
    return data


def jpeg(frame: np.ndarray, ground: int = 255, quality: int = 60) -> bytes:
    """A frame flattened onto gray of some level."""
    alpha = frame[..., 3:].astype(np.float64) / 255
    flat = frame[..., :3] * alpha + ground * (1 - alpha)
    data = io.BytesIO()
    Image.fromarray(flat.round().astype(np.uint8)).save(data, "JPEG", quality=quality)
    return data.getvalue()


def small_crawl(root: Path, stickers: int = 6) -> dict[str, list[str]]:
    """Write a crawl: what is in it, by what should become of it.

    Returns:
        `good` (names of files that are kept), `broken`, `rejected`, `copies` (pairs of names: near copies), `same`
        (pairs of names: equal files).
    """
    root.mkdir(parents=True)
    good, broken, rejected, copies, same = [], [], [], [], []
    for number in range(stickers):
        one, suffix = sticker(number), (".webp", ".gif", ".png")[number % 3]
        (root / f"s{number}{suffix}").write_bytes(file_bytes(root, one, suffix))
        good.append(f"s{number}{suffix}")
    (root / "again.webp").write_bytes((root / "s0.webp").read_bytes())
    same.append(("again.webp", "s0.webp"))
    (root / "smaller.webp").write_bytes(file_bytes(root, Sticker(sticker(0).frames[:, ::1, ::1], (80,) * 6), ".gif"))
    copies.append(("smaller.webp", "s0.webp"))
    (root / "frame.jpg").write_bytes(jpeg(drawing(1)[0], 20))
    copies.append(("frame.jpg", "s1.gif"))
    good += ["smaller.webp", "frame.jpg"]
    (root / "cut.webp").write_bytes((root / "s0.webp").read_bytes()[:300])
    (root / "empty.gif").write_bytes(b"")
    (root / "page.gif").write_bytes(b"<html>not found</html>" * 20)
    broken += ["cut.webp", "empty.gif", "page.gif"]
    clear = np.zeros((1, 64, 64, 4), np.uint8)
    wide = np.concatenate([drawing(40, 1, 64)] * 5, axis=2)
    for name, frames in (("clear.png", clear), ("wide.png", wide), ("tiny.png", drawing(41, 1, 24))):
        Image.fromarray(frames[0]).save(root / name)
        rejected.append(name)
    flat = np.full((64, 64, 4), 255, np.uint8)
    Image.fromarray(flat).save(root / "flat.png")
    rejected.append("flat.png")
    with zipfile.ZipFile(root / "more.zip", "w") as archive:
        archive.writestr("cats/z.gif", file_bytes(root, sticker(20), ".gif"))
        archive.writestr("../../escape.png", _png(drawing(21, 1)))
        archive.writestr("notes.txt", "nothing")
    good += ["more.zip/cats/z.gif", "more.zip/../../escape.png"]
    with tarfile.open(root / "00000.tar", "w") as archive:
        note = json.dumps({"caption": "a dancing blob", "url": "http://169.254.169.254/x.gif", "key": "000"}).encode()
        for name, data in (("000.webp", file_bytes(root, sticker(22), ".webp")), ("000.json", note)):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    good.append("00000.tar/000.webp")
    with (root / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file", "word", "url", "license"])
        table.writerow(["s0.webp", "hello", "http://example.org/a", "CC0"])
        table.writerow(["again.webp", "hi", "http://example.org/b", ""])
        table.writerow(["again.webp", "hello", "", ""])
        table.writerow(["s1.gif", "<script>alert(1)</script>;bye", "javascript:alert(1)", "CC BY 4.0"])
        table.writerow(["nowhere.gif", "lost", "", ""])
    return {"good": good, "broken": broken, "rejected": rejected, "copies": copies, "same": same}


def _png(frames: np.ndarray) -> bytes:
    data = io.BytesIO()
    Image.fromarray(frames[0]).save(data, "PNG")
    return data.getvalue()
