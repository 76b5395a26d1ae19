"""Read packs back with independent code, and check them against every limit."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import yaml
from PIL import Image, ImageSequence

from glassine.pipelines.pack.containers import BrokenFileError, Facts, facts
from glassine.pipelines.pack.limits import Kind, Limits, Platform, platforms
from glassine.utils.errors import UserError

MEDIA = (".webm", ".webp", ".png", ".gif")
NOT_PACKS = ("contact-sheets",)


@dataclass(frozen=True)
class Checked:
    """Result of checking one platform's folder or zip."""

    platform: str
    place: str
    kind: str
    stickers: int
    problems: tuple[str, ...]


def check_packs(folder: Path) -> list[Checked]:
    """Check every pack in a folder written by `glassine pack`.

    Raises:
        UserError: there is no such folder, or no pack in it.
    """
    if not folder.is_dir():
        raise UserError(f"no folder at {folder}: give one written by glassine pack")
    found = []
    for path in sorted(folder.iterdir()):
        key = path.name.removesuffix(".zip")
        if key in platforms() and (path.is_dir() or path.suffix == ".zip"):
            found.append(check_pack(path, platforms()[key]))
    if not found:
        raise UserError(f"no pack in {folder}: its folders and zips must be named for platforms, such as telegram")
    return found


def check_pack(path: Path, platform: Platform) -> Checked:
    """Check one platform's folder or zip."""
    files, problems = _contents(path)
    if path.suffix == ".zip" and platform.zip_bytes and path.stat().st_size > platform.zip_bytes:
        problems.append(f"zip must have at most {platform.zip_bytes:,} bytes, got {path.stat().st_size:,}")
    known: dict[str, Facts] = {}
    for name, data in files.items():
        if name.endswith(MEDIA):
            try:
                known[name] = facts(data)
            except BrokenFileError as error:
                problems.append(f"{name}: {error}")
    kind: Kind = "animated" if any(_moves(facts) for name, facts in known.items() if _is_sticker(name)) else "static"
    if kind not in platform.kinds:
        kind = "animated" if kind == "static" else "static"
    limits = platform.kinds[kind]
    stickers = [name for name in known if _is_sticker(name)]
    if wrong := platform.count_problem(len(stickers), kind):
        problems.append(wrong)
    for name in stickers:
        own: Kind = "animated" if _moves(known[name]) else "static"
        if own != kind and not platform.mixed:
            problems.append(f"{name}: a pack must be all animated or all static, got both")
        rule = platform.kinds.get(own, limits)
        problems += [f"{name}: {wrong}" for wrong in _file_problems(files[name], known[name], rule)]
        stem = name.rsplit(".", 1)[0]
        if platform.sticker_name and (wrong := platform.sticker_name.problem(_shown_name(stem, platform))):
            problems.append(f"{name}: its name {wrong}")
    for cover in limits.covers:
        if cover.file not in known:
            problems.append(f"{cover.file} is missing")
        else:
            problems += [
                f"{cover.file}: {wrong}" for wrong in _file_problems(files[cover.file], known[cover.file], cover)
            ]
    for part in limits.each:
        for name in stickers:
            twin = f"{part.file}/{name.rsplit('.', 1)[0]}{part.suffix}"
            if twin not in known:
                problems.append(f"{twin} is missing")
            else:
                problems += [f"{twin}: {wrong}" for wrong in _file_problems(files[twin], known[twin], part)]
    problems += _manifest_problems(platform, files, stickers, kind)
    return Checked(platform.key, path.name, kind, len(stickers), tuple(problems))


def _contents(path: Path) -> tuple[dict[str, bytes], list[str]]:
    if path.is_dir():
        parts = sorted(part for part in path.rglob("*") if part.is_file())
        return {part.relative_to(path).as_posix(): part.read_bytes() for part in parts}, []
    try:
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in sorted(archive.namelist()) if not name.endswith("/")}, []
    except (zipfile.BadZipFile, OSError) as error:
        return {}, [f"zip cannot be read ({error})"]


def _is_sticker(name: str) -> bool:
    return "/" not in name and not re.match(r"(cover|tray|main|tab|icon)\.", name)


def _shown_name(stem: str, platform: Platform) -> str:
    return stem.replace("_", " ").strip() if platform.key == "discord" else stem


def _moves(found: Facts) -> bool:
    return len(found.durations) > 1


def _file_problems(data: bytes, found: Facts, limits: Limits) -> list[str]:
    """Every limit that a file violates."""
    problems = []

    def must(holds: bool, rule: str) -> None:
        if not holds:
            problems.append(rule)

    expected = "png" if limits.format == "apng" and not _moves(found) and not limits.min_frames else limits.format
    must(found.format == expected, f"format must be {expected}, got {found.format}")
    must(len(data) <= limits.bytes, f"file must have at most {limits.bytes:,} bytes, got {len(data):,}")
    size, (width, height) = (found.width, found.height), limits.canvas
    got = f"{size[0]}x{size[1]}"
    if limits.shape == "cut":
        fits = size[0] <= width and size[1] <= height and (size[0] == width or size[1] == height)
        must(fits, f"size must be within {width}x{height} and touch one side, got {got}")
    elif limits.shrink_to is not None:
        must(size[0] == size[1] and limits.shrink_to <= size[0] <= width,
             f"size must be a square of {limits.shrink_to} to {width} pixels, got {got}")  # fmt: skip
    else:
        must(size == (width, height), f"size must be {width}x{height}, got {got}")
    must(not limits.even or not (size[0] % 2 or size[1] % 2), f"sides must be even, got {got}")
    if limits.can_move and (_moves(found) or limits.format == "webm"):
        _check_time(found, limits, must)
    if limits.whole_canvas and _moves(found):
        must(all(found.whole), "every frame must cover the whole canvas")
        must(len(set(found.modes)) == 1, f"all frames must have one blend and dispose mode, got {set(found.modes)}")
    if limits.format == "webm":
        must(found.codec == "V_VP9", f"codec must be V_VP9, got {found.codec or 'none'}")
        must(found.has_alpha, "alpha must be announced (AlphaMode 1)")
        must(found.tracks == ["video"], f"tracks must be one video and no sound, got {', '.join(found.tracks)}")
    try:
        frames = decoded(data, found.format)
    except (OSError, ValueError, av.FFmpegError) as error:
        return [*problems, f"it cannot be decoded ({error})"]
    must(all(frame.shape == (found.height, found.width, 4) for frame in frames), "a frame has another size")
    announced = max(1, len(found.durations))
    must(len(frames) == announced, f"it announces {announced} frames, and {len(frames)} are decoded")
    must(bool(frames) and bool(frames[0][..., 3].any()), "first frame must show something")
    if _moves(found):
        must(any(not np.array_equal(frame, frames[0]) for frame in frames[1:]), "frames must not all be alike")
    if limits.transparent:
        must(all((frame[..., 3] == 0).any() for frame in frames), "background must be clear")
    return problems


def _check_time(found: Facts, limits: Limits, must: Callable[[bool, str], None]) -> None:
    count, total = len(found.durations), found.total_ms
    slack = 1.0  # ms, since files have whole milliseconds
    if limits.max_ms is not None:
        must(total <= limits.max_ms, f"length must be at most {limits.max_ms} ms, got {total:g}")
    if limits.max_fps is not None:
        must(count <= limits.max_fps * (total + slack) / 1000 + 1e-6,
             f"rate must be at most {limits.max_fps:g} frames a second, got {1000 * count / total:.2f}")  # fmt: skip
        least = 1000 / limits.max_fps - slack
        must(min(found.durations) >= least, f"frames must be {least:.0f} ms apart, got {min(found.durations):g}")
    if limits.min_frame_ms is not None:
        must(min(found.durations) >= limits.min_frame_ms,
             f"frames must last at least {limits.min_frame_ms} ms, got {min(found.durations):g}")  # fmt: skip
    low, high = limits.min_frames or 1, limits.max_frames or 1 << 31
    must(low <= count <= high, f"frames must be {low} to {high}, got {count}")
    must(not limits.whole_seconds or total % 1000 == 0, f"length must be whole seconds, got {total:g} ms")
    if found.format == "webm":
        return  # there is no loop count: players repeat it
    if limits.max_loops:
        must(1 <= found.plays <= limits.max_loops, f"it must play 1 to {limits.max_loops} times, got {found.plays}")
    else:
        must(found.plays == 0, f"it must play for ever, got {found.plays} times")
    if limits.loops_ms is not None:
        whole = total * found.plays
        must(whole <= limits.loops_ms, f"all plays must last at most {limits.loops_ms} ms, got {whole:g}")


def decoded(data: bytes, format: str) -> list[np.ndarray]:
    """All frames `h w 4` uint8, straight, by Pillow or, for WebM, by FFmpeg's libvpx."""
    if format != "webm":
        with Image.open(io.BytesIO(data)) as image:
            return [np.asarray(frame.convert("RGBA")) for frame in ImageSequence.Iterator(image)]
    with av.open(io.BytesIO(data), "r") as container:
        stream = container.streams.video[0]
        context = av.CodecContext.create("libvpx-vp9", "r")  # FFmpeg's own decoder ignores alpha
        context.extradata = stream.codec_context.extradata
        packets = [packet for packet in container.demux(stream) if packet.size]
        pictures = [frame for packet in [*packets, None] for frame in context.decode(packet)]
        return [frame.to_ndarray(format="rgba") for frame in pictures]


def _manifest_problems(platform: Platform, files: Mapping[str, bytes], stickers: list[str], kind: Kind) -> list[str]:
    """Problems of the manifest; LINE, WeChat and the emoji have none."""
    names = {"telegram": "sticker_set.json", "telegram-emoji": "sticker_set.json", "whatsapp": "contents.json",
             "discord": "stickers.json", "signal": "config.yaml"}  # fmt: skip
    if platform.key not in names:
        return []
    name = names[platform.key]
    if name not in files:
        return [f"{name} is missing"]
    try:
        text = files[name].decode()
        data = yaml.safe_load(text) if name.endswith(".yaml") else json.loads(text)
        listed, more = _listed(platform.key, data, kind)
    except (UnicodeDecodeError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        return [f"{name}: cannot be read ({error})"]
    problems = [f"{name}: {wrong}" for wrong in more]
    if sorted(listed) != sorted(stickers):
        problems.append(f"{name}: its stickers are not those of the folder")
    low, high = platform.emoji
    problems += [
        f"{name}: {file} must have {low} to {high} emoji, got {len(emoji)}"
        for file, emoji in listed.items()
        if not low <= len(emoji) <= high
    ]
    return problems


def _listed(key: str, data: dict, kind: Kind) -> tuple[dict[str, list[str]], list[str]]:
    """Emoji by file, and other problems."""
    wrong = []
    if key == "whatsapp":
        (pack,) = data["sticker_packs"]
        if pack["animated_sticker_pack"] != (kind == "animated"):
            wrong.append("animated_sticker_pack does not say what the stickers are")
        wrong += [
            f"{name} must have 1 to 128 characters, got {len(pack[name])}"
            for name in ("identifier", "name", "publisher")
            if not 1 <= len(pack[name]) <= 128
        ]
        if not re.fullmatch(r"[\w\-.,'\s]+", pack["identifier"], re.ASCII) or ".." in pack["identifier"]:
            wrong.append(f"identifier must be letters, digits and _ - . , ' got {pack['identifier']!r}")
        most = 255 if kind == "animated" else 125
        wrong += [f"text of {entry['image_file']} must have at most {most} characters"
                  for entry in pack["stickers"] if len(entry.get("accessibility_text", "")) > most]  # fmt: skip
        return {entry["image_file"]: entry["emojis"] for entry in pack["stickers"]}, wrong
    if key in ("telegram", "telegram-emoji"):
        if not 1 <= len(data["title"]) <= 64:
            wrong.append(f"title must have 1 to 64 characters, got {len(data['title'])}")
        for entry in data["stickers"]:
            expected = "video" if entry["sticker"].endswith(".webm") else "static"
            if entry["format"] != expected:
                wrong.append(f"format of {entry['sticker']} must be {expected}, got {entry['format']}")
        return {entry["sticker"]: entry["emoji_list"] for entry in data["stickers"]}, wrong
    if key == "discord":
        return {entry["file"]: [entry["tags"]] for entry in data}, wrong
    return {file: [emoji] for file, emoji in data["stickers"].items()}, wrong
