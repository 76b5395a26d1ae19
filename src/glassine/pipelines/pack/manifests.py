"""Names, emoji, and the manifest read by each platform or its tools."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from glassine.pipelines.pack.limits import Kind, Platform
from glassine.utils.errors import UserError, printable

STAND_IN = "🙂"
"""Default emoji for platforms that require one."""


@dataclass(frozen=True)
class Labels:
    """Labels of a sticker: emoji, best match first, and a text for people who cannot see it."""

    emoji: tuple[str, ...] = ()
    text: str = ""


NO_LABELS = Labels()


@dataclass(frozen=True)
class PackName:
    """Name and author of the pack."""

    name: str = "Stickers"
    author: str = "glassine"


def read_labels(path: Path) -> dict[str, Labels]:
    """Read a CSV of file, emoji (separated by spaces) and an optional text.

    The file is a name with or without its suffix. A header line is skipped.

    Raises:
        UserError: the file does not exist, is not UTF-8, or has an invalid line.
    """
    if not path.is_file():
        raise UserError(f"no file at {path}: give a CSV with the columns file, emoji and optionally text")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} must be UTF-8 text, byte {error.start} is not: save it as UTF-8") from error
    labels: dict[str, Labels] = {}
    try:
        rows = list(csv.reader(io.StringIO(text), strict=True))
    except csv.Error as error:
        raise UserError(f"{path} must be a CSV ({error})") from error
    for number, row in enumerate(rows, 1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or (number == 1 and cells[0].lower() in ("file", "sticker")):
            continue
        if not 2 <= len(cells) <= 3 or not cells[0]:
            raise UserError(
                f"{path} line {number}: a line must be file,emoji or file,emoji,text, "
                f"got {printable(','.join(row))[:80]!r}"
            )
        emoji = tuple(cells[1].split())
        for one in emoji:
            if not is_emoji(one):
                raise UserError(f"{path} line {number}: emoji must be separated by spaces, got {printable(one)[:40]!r}")
        if cells[0] in labels:
            raise UserError(f"{path} line {number}: {printable(cells[0])} occurs twice")
        labels[cells[0]] = Labels(emoji, cells[2] if len(cells) == 3 else "")
    return labels


def is_emoji(text: str) -> bool:
    """Whether this is one emoji: a symbol with its joiners and colors, a keycap or a flag."""
    if re.fullmatch("[0-9#*]\ufe0f?\u20e3", text) or re.fullmatch("[\U0001f1e6-\U0001f1ff]{2}", text):
        return True
    parts = text.split("\u200d")
    one = re.compile("(?P<base>.)\ufe0f?[\U0001f3fb-\U0001f3ff]?[\U000e0020-\U000e007f]*", re.DOTALL)
    return all(
        (match := one.fullmatch(part)) is not None and unicodedata.category(match["base"]) in ("So", "Sm", "Po", "Cn")
        and not match["base"].isascii()
        for part in parts
    )  # fmt: skip


def file_stems(stems: Sequence[str], platform: Platform) -> list[str]:
    """Unique file names without suffix: numbers, or names that the platform accepts."""
    if platform.file_names == "number":
        digits = max(2, len(str(len(stems))))
        return [f"{number:0{digits}d}" for number in range(1, len(stems) + 1)]
    names: list[str] = []
    for stem in stems:
        wanted = slug(stem, platform)
        name, copy = wanted, 1
        while name in names:
            copy += 1
            longest = platform.sticker_name.max if platform.sticker_name else 100
            name = f"{wanted[: longest - len(str(copy))]}{copy}"
        names.append(name)
    return names


def slug(text: str, platform: Platform) -> str:
    """A name in plain letters that the platform accepts."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain) or ["sticker"]
    rule = platform.sticker_name
    joined = "_".join(words)
    if rule is not None and rule.pattern and not re.fullmatch(rule.pattern, joined):
        joined = words[0] + "".join(word.capitalize() for word in words[1:])
    low, high = (rule.min, rule.max) if rule is not None else (1, 100)
    return joined[:high].rstrip("_").ljust(low, "x")


def identifier(name: str) -> str:
    """A name in letters, digits, dots and dashes, as required by WhatsApp for a pack's identifier."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    joined = "-".join(re.findall(r"[A-Za-z0-9]+", plain))[:100]
    return joined or "pack-" + "-".join(f"{ord(letter):x}" for letter in name[:12])


def manifest(
    platform: Platform, kind: Kind, pack: PackName, files: Sequence[str], labels: Sequence[Labels], cover: str
) -> tuple[str, str] | None:
    """File name and content of the platform's manifest, or None if it has none.

    Args:
        platform: target platform.
        kind: kind of the pack.
        pack: name of the pack.
        files: names of the sticker files, in order.
        labels: labels of each sticker.
        cover: name of the cover sticker.
    """
    match platform.key:
        case "whatsapp":
            return "contents.json", _json(_whatsapp(kind, pack, files, labels))
        case "telegram" | "telegram-emoji":
            return "sticker_set.json", _json(_telegram(platform, pack, files, labels))
        case "discord":
            entries = [
                {"file": file, "name": file.rsplit(".", 1)[0].replace("_", " ").strip(), "tags": label.emoji[0],
                 "description": label.text[:100]}
                for file, label in zip(files, labels, strict=True)
            ]  # fmt: skip
            return "stickers.json", _json(entries)
        case "signal":
            data = {
                "pack": {"title": pack.name, "author": pack.author, "cover": cover},
                "stickers": {file: label.emoji[0] for file, label in zip(files, labels, strict=True)},
            }
            return "config.yaml", yaml.safe_dump(data, allow_unicode=True, sort_keys=False)
    return None


def _whatsapp(kind: Kind, pack: PackName, files: Sequence[str], labels: Sequence[Labels]) -> dict[str, Any]:
    stickers = []
    for file, label in zip(files, labels, strict=True):
        entry: dict[str, Any] = {"image_file": file, "emojis": list(label.emoji)}
        if label.text:
            entry["accessibility_text"] = label.text
        stickers.append(entry)
    return {
        "android_play_store_link": "",
        "ios_app_store_link": "",
        "sticker_packs": [
            {
                "identifier": identifier(pack.name),
                "name": pack.name,
                "publisher": pack.author,
                "tray_image_file": "tray.png",
                "image_data_version": "1",
                "avoid_cache": False,
                "publisher_email": "",
                "publisher_website": "",
                "privacy_policy_website": "",
                "license_agreement_website": "",
                "animated_sticker_pack": kind == "animated",
                "stickers": stickers,
            }
        ],
    }


def _telegram(platform: Platform, pack: PackName, files: Sequence[str], labels: Sequence[Labels]) -> dict[str, Any]:
    """The arguments of the Bot API's createNewStickerSet, with file names in place of uploaded files."""
    return {
        "name": re.sub(r"_+", "_", re.sub(r"[^A-Za-z0-9]", "_", identifier(pack.name)))[:40].strip("_"),
        "title": pack.name,
        "sticker_type": "custom_emoji" if platform.key == "telegram-emoji" else "regular",
        "stickers": [
            {
                "sticker": file,
                "format": "video" if file.endswith(".webm") else "static",
                "emoji_list": list(label.emoji),
            }
            for file, label in zip(files, labels, strict=True)
        ],
    }


def _json(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, indent=2) + "\n"
