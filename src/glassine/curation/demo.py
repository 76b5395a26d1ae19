"""A crawl with known faults, made of real stickers: what `make curate-demo` curates, and what must be found in it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from glassine.curation.blocks import Row, read_rows
from glassine.curation.joining import KEY_LETTERS
from glassine.data.alpha import composite_frames
from glassine.data.codecs import write_sticker
from glassine.data.shards import StickerInfo, StickerShards, cap_fps, fit_size
from glassine.data.sticker import Sticker
from glassine.utils.errors import UserError
from glassine.utils.files import atomic_path

INJECTED = "injected.json"
_SIZE, _FPS = 160, 8.0  # of a demo's stickers, so that it takes minutes
_TEXT = "WHEN YOU FINALLY FINISH THE VERY LONG MEETING AND GO HOME"
_COPIES = ("re-encoded", "resized", "recompressed", "background")
# what is injected -> in which share of the stickers; broken files and what filters find are few fixed ones
SHARES = {
    "same file": 0.06,
    "re-encoded": 0.05,
    "resized": 0.05,
    "recompressed": 0.03,
    "background": 0.04,
    "mirrored": 0.03,
}
BROKEN = ("cut off", "empty", "web page", "noise")
FILTERED = ("long text", "low entropy", "aspect ratio", "nothing visible", "too small")


def make_crawl(sources: Sequence[Path], to: Path, count: int, seed: int = 0) -> int:
    """Throw stickers of shards together as a crawl would, with faults.

    Args:
        sources: folders of shards.
        to: a new folder; `injected.json` beside it says what was done to which file.
        count: stickers before faults.
        seed: of all chance.

    Returns:
        How many files were written.

    Raises:
        UserError: no shards, or a folder with content.
    """
    if to.exists() and any(to.iterdir()):
        raise UserError(f"{to} must be a new or an empty folder")
    if count < 20:
        raise UserError(f"count must be at least 20, so that every fault has its place, got {count}")
    shards = StickerShards(list(sources))
    to.mkdir(parents=True, exist_ok=True)
    crawl = _Crawl(to, np.random.default_rng(seed))
    groups: dict[str, list[int]] = {}
    for row in range(len(shards)):
        groups.setdefault(shards.group(row), []).append(row)
    # one sticker a group: skin tones and other styles of an emoji would be near copies that nobody has counted
    names = sorted(groups)
    chosen = [
        groups[names[place]] for place in np.linspace(0, len(names) - 1, min(count, len(names))).round().astype(int)
    ]
    for number, rows in enumerate(chosen):
        row = rows[int(crawl.chance.integers(len(rows)))]
        durations = shards.durations(row)
        frames = shards.read(row, list(range(len(durations))))
        crawl.add_sticker(number, fit_size(cap_fps(Sticker(frames, durations), _FPS), _SIZE), shards.metadata(row))
    crawl.add_broken(max(2, count // 60))
    crawl.add_filtered(max(2, count // 60))
    crawl.finish()
    return crawl.files


class _Crawl:
    """Files of a crawl that is being made."""

    def __init__(self, folder: Path, chance: np.random.Generator) -> None:
        self.folder, self.chance, self.files = folder, chance, 0
        self.injected: list[dict[str, str]] = []
        self.table: list[tuple[str, str, str, str]] = []
        self.kept: list[tuple[bytes, str, Sticker]] = []

    def add_sticker(self, number: int, sticker: Sticker, info: StickerInfo) -> None:
        """A sticker, and in some cases a copy of it."""
        suffix = ".webp" if sticker.num_frames > 1 else (".png", ".webp")[number % 2]
        data = encoded(self.folder, sticker, suffix)
        name = self.put(data, suffix)
        words = list(info.trigger_words[:2]) or [info.description]
        for word in words:
            self.table.append((name, word, f"https://example.org/{number}", info.license))
        self.kept.append((data, name, sticker))
        draw, past = float(self.chance.random()), 0.0
        for kind, share in SHARES.items():
            past += share
            if draw < past:
                other = self.put(*self._copy(kind, sticker, data, suffix))
                self.injected.append({"kind": kind, "file": other, "of": name})
                self.table.append((other, f"{words[0]} sticker", f"https://example.com/{number}", ""))
                return

    def _copy(self, kind: str, sticker: Sticker, data: bytes, suffix: str) -> tuple[bytes, str]:
        still = sticker.num_frames == 1
        frames = sticker.frames
        if kind == "same file":
            return data, suffix
        if kind == "re-encoded":
            # every color of a GIF is one of 256, and alpha is one bit
            return encoded(self.folder, sticker, ".gif"), ".gif"
        if kind == "resized":
            return encoded(self.folder, fit_size(sticker, 112), suffix), suffix
        if kind == "mirrored":
            turned = Sticker(np.ascontiguousarray(frames[:, :, ::-1]), sticker.durations)
            return encoded(self.folder, turned, suffix), suffix
        ground = (255, 255, 255)
        if kind == "background":
            ground = tuple(int(level) for level in self.chance.integers(0, 256, 3))  # type: ignore[assignment]
        opaque = np.full_like(frames, 255)
        opaque[..., :3] = composite_frames(frames, ground)
        if still and kind == "recompressed":
            out = io.BytesIO()
            Image.fromarray(opaque[0, ..., :3]).save(out, "JPEG", quality=60)
            return out.getvalue(), ".jpg"
        return encoded(self.folder, Sticker(opaque, sticker.durations), ".webp", quality=60), ".webp"

    def add_broken(self, count: int) -> None:
        """Files that cannot be read, of each kind so many."""
        for number in range(count):
            whole, name, _ = self.kept[number]
            # each another content, or they would be one sticker
            mark = f"{number}".encode()
            contents = {
                "cut off": whole[: len(whole) // 2],
                "empty": b"",
                "web page": b"<!doctype html><html><body>404 " + mark + b"</body></html>",
                "noise": self.chance.bytes(2000),
            }
            for kind, data in contents.items():
                suffix = Path(name).suffix if kind == "cut off" else ".gif"
                self.injected.append({"kind": kind, "file": self.put(data, suffix, f"{kind}{number}"), "of": name})

    def add_filtered(self, count: int) -> None:
        """Stickers that filters must find, of each kind so many."""
        for number in range(count):
            _, origin, base = self.kept[(7 * number + 3) % len(self.kept)]
            frame = fit_size(Sticker(base.frames[:1], (1000,)), _SIZE).frames
            flat = np.full((1, 96, 96, 4), 255, np.uint8)
            flat[..., :3] = self.chance.integers(0, 256, 3)
            clear = np.zeros((1, 96 + number, 96, 4), np.uint8)
            wide = np.concatenate([np.roll(frame, 9 * shift, axis=1) for shift in range(5 + number % 2)], axis=2)
            made = {
                "long text": with_text(320 + number, _TEXT),
                "low entropy": flat,
                "aspect ratio": wide,
                "nothing visible": clear,
                "too small": fit_size(Sticker(frame, (1000,)), 32).frames,
            }
            for kind, frames in made.items():
                name = self.put(encoded(self.folder, Sticker(frames, (1000,)), ".png"), ".png")
                # a small one is a near copy of what it was made of
                self.injected.append({"kind": kind, "file": name, "of": origin if kind == "too small" else ""})

    def put(self, data: bytes, suffix: str, more: str = "") -> str:
        """Write a file, named by a hash and by how many there are, as crawlers name them."""
        label = hashlib.sha256(data + f"{more}{self.files}".encode()).hexdigest()[:20]
        name = f"{label[:2]}/{label}{suffix}"
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        self.files += 1
        return name

    def finish(self) -> None:
        """Write the manifest, and what was injected."""
        with (
            atomic_path(self.folder / "manifest.csv") as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            table = csv.writer(file)
            table.writerow(("file", "word", "url", "license"))
            table.writerows(self.table)
        content = {"files": self.files, "stickers": len(self.kept), "injected": self.injected}
        with atomic_path(self.folder.with_name(f"{self.folder.name}.{INJECTED}")) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n")


def encoded(folder: Path, sticker: Sticker, suffix: str, quality: int = 80) -> bytes:
    """A sticker as the bytes of a file."""
    path = folder / f".part{suffix}"
    write_sticker(sticker, path, quality=quality if suffix == ".webp" else None)
    data = path.read_bytes()
    path.unlink()
    return data


def with_text(side: int, text: str) -> np.ndarray:
    """A caption in several lines: `1 side side 4`."""
    picture = Image.new("RGBA", (side, side), (250, 240, 190, 255))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(side // 11)
    words, lines = text.split(), [""]
    for word in words:
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) > 0.9 * side:
            lines.append(word)
        else:
            lines[-1] = longer
    for number, line in enumerate(lines):
        draw.text((side * 0.05, side * 0.08 + number * side * 0.14), line, (30, 30, 40, 255), font)
    return np.asarray(picture)[None].copy()


def check_demo(crawl: Path, dataset: Path) -> tuple[str, int]:
    """Compare what was injected with what was found, and write it as `report/README.md`.

    Args:
        crawl: that `make_crawl` wrote.
        dataset: that was made of it.

    Returns:
        A table, and how many injected faults were missed.
    """
    content = json.loads(crawl.with_name(f"{crawl.name}.{INJECTED}").read_text())
    found = _Found(crawl, dataset)
    made, met, missed = Counter[str](), Counter[str](), list[str]()
    for one in content["injected"]:
        made[one["kind"]] += 1
        if found.has(one):
            met[one["kind"]] += 1
        else:
            missed.append(f"{one['kind']}: {one['file']} (of {one['of'] or 'nothing'}): {found.said(one['file'])}")
    clean = content["stickers"]
    touched = {one["of"] for one in content["injected"]} - {""}
    lost = found.lost({one["file"] for one in content["injected"]})
    lines = ["| injected | files | found |", "|---|---|---|"]
    lines += [f"| {kind} | {made[kind]} | {met[kind]} |" for kind in (*SHARES, *BROKEN, *FILTERED) if made[kind]]
    lines += ["", f"{clean} whole stickers, {len(touched)} of them with a copy or fault made of them."]
    lines += [f"Left out although nothing was done to them: {len(lost)}."]
    lines += [f"- {line}" for line in lost]
    lines += [f"Near copies found between stickers that are none, by how they were made: {found.false_pairs(content)}."]
    lines += ["", f"Missed: {len(missed)}.", *[f"- {line}" for line in missed]]
    text = "\n".join(lines) + "\n"
    (dataset / "report").mkdir(exist_ok=True)
    with atomic_path(dataset / "report" / "README.md") as temporary:
        temporary.write_text(f"# What was injected, and what was found\n\n{text}", encoding="utf-8")
    return text, len(missed)


class _Found:
    """What a data set says of files of its crawl."""

    def __init__(self, crawl: Path, dataset: Path) -> None:
        self.crawl = crawl
        self.broken = {row["at"]: row["cause"] for row in read_rows(dataset / "broken.jsonl")}
        self.rows: dict[str, Row] = {}
        for name in ("rejected.jsonl", "stickers.jsonl"):
            self.rows.update({row["key"]: row for row in read_rows(dataset / name)})
        self.pairs = list(read_rows(dataset / "near_copies.jsonl"))

    def key(self, file: str) -> str:
        """Of a file, by its content."""
        return hashlib.sha256((self.crawl / file).read_bytes()).hexdigest()[:KEY_LETTERS] if file else ""

    def has(self, one: dict[str, Any]) -> bool:
        """Whether an injected fault was found as what it is."""
        if one["kind"] in BROKEN:
            return one["file"] in self.broken
        row = self.rows.get(self.key(one["file"]))
        if row is None:
            return False
        if one["kind"] in FILTERED:
            return one["kind"] in row.get("scores", {})
        other = self.rows.get(self.key(one["of"]))
        return other is not None and row["group"] == other["group"]

    def said(self, file: str) -> str:
        """What became of a file."""
        row = self.rows.get(self.key(file))
        return str(self.broken.get(file) or (row or {}).get("scores") or "kept")

    def lost(self, injected: set[str]) -> list[str]:
        """Rejected or broken files that nothing was injected into."""
        keys = {self.key(file) for file in injected}
        names = [
            f"{row['at']}: {row['scores']}" for key, row in self.rows.items() if "scores" in row and key not in keys
        ]
        return sorted(names + [f"{at}: {cause}" for at, cause in self.broken.items() if at not in injected])

    def false_pairs(self, content: dict[str, Any]) -> int:
        """Near copies of two stickers that are not made of one."""
        root = {self.key(one["file"]): self.key(one["of"] or one["file"]) for one in content["injected"]}
        return sum(root.get(p["one"], p["one"]) != root.get(p["other"], p["other"]) for p in self.pairs)
