"""Packs as jobs: stickers of uploads and results in an order, fitted to platforms, checked and zipped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field

from glassine.app.errors import AppError
from glassine.app.files import safe_name
from glassine.app.jobs import Context
from glassine.utils.errors import UserError

FOLDER = "packs"


class PackSticker(BaseModel):
    """One sticker of a pack."""

    source: str = Field(max_length=300, description="a file's id, or JOB/NAME of a result")
    emoji: str = Field(default="", max_length=200, description="one or several, most fitting first")
    text: str = Field(default="", max_length=1000, description="for those who do not see it")


class PackRequest(BaseModel):
    """Body of `POST /v1/pack`."""

    stickers: list[PackSticker] = Field(min_length=1, max_length=1000)
    platforms: list[str] = Field(min_length=1, max_length=50)
    name: str = Field(default="Stickers", max_length=300)
    author: str = Field(default="glassine", max_length=300)
    cover: int = Field(default=0, ge=0, description="number of the sticker that stands for the pack")
    too_long: Literal["refuse", "trim", "speed-up"] = "refuse"
    mixed: Literal["refuse", "still"] = "refuse"
    crop: bool = True
    outline: float = Field(default=0, ge=0, le=256, description="pixels of a 512-pixel canvas")
    outline_color: str = Field(default="white", max_length=80)
    shadow: float = Field(default=0, ge=0, le=1)


def emoji_of(text: str) -> tuple[str, ...]:
    """Emoji with spaces between them, or none.

    Raises:
        UserError: something else stands there.
    """
    from glassine.pipelines.pack.manifests import is_emoji

    for one in text.split():
        if not is_emoji(one):
            raise UserError(f"emoji must be emoji with spaces between them, got {one[:40]!r}")
    return tuple(text.split())


def check_request(request: PackRequest) -> None:
    """What is wrong at first sight.

    Raises:
        UserError: an unknown platform, no emoji where one is expected, or a cover that is none of the stickers.
    """
    from glassine.pipelines.pack.limits import platform

    for key in request.platforms:
        platform(key)
    for sticker in request.stickers:
        emoji_of(sticker.emoji)
    if request.cover >= len(request.stickers):
        raise UserError(f"cover must be below {len(request.stickers)}, got {request.cover}")


def make_pack(
    context: Context, request: PackRequest, find: Callable[[str], tuple[Path, str]], color: tuple[int, int, int]
) -> None:
    """Write a zip, a contact sheet and a report for each platform.

    Args:
        context: of the job.
        request: what is packed, and how.
        find: from a sticker's source to its file and its name.
        color: of the outline, red, green, blue.

    Raises:
        PackError: limits that cannot be met; nothing is written.
        UserError: a file that cannot be read.
    """
    from glassine.pipelines.outline import Surround
    from glassine.pipelines.pack.canvas import Placing
    from glassine.pipelines.pack.check import check_packs
    from glassine.pipelines.pack.fitting import FitSettings
    from glassine.pipelines.pack.manifests import Labels, PackName
    from glassine.pipelines.pack.writing import Item, PackSettings, make_packs

    count = len(request.stickers)
    context.progress(0, count * len(request.platforms), "reading")
    inputs, folder = context.path("in"), context.path(FOLDER)
    inputs.mkdir()
    items = []
    for number, sticker in enumerate(request.stickers, 1):
        source, name = find(sticker.source)
        path = inputs / f"{number:03d}" / safe_name(name)
        path.parent.mkdir()
        _link(source, path)
        items.append(Item(path, Labels(emoji_of(sticker.emoji), sticker.text)))
    fit = FitSettings(
        Placing(request.crop, Surround(request.outline, color, request.shadow)), too_long=request.too_long
    )
    settings = PackSettings(fit, PackName(request.name, request.author), request.mixed, request.cover, zipped=True)
    try:
        report = make_packs(items, request.platforms, folder, settings, context.progress)
    finally:
        shutil.rmtree(inputs, ignore_errors=True)
    context.progress(1, 2, "checking every written file")
    wrong = [f"{found.platform}: {problem}" for found in check_packs(folder) for problem in found.problems]
    if wrong:
        raise AppError(500, f"{len(wrong)} limits are not met ({wrong[0]}): please report this")
    for key, problems in report["failed"].items():
        context.job.problems += [f"{key}: {problem}" for problem in problems]
    for key, pack in report["platforms"].items():
        about: dict[str, Any] = {"platform": key, "title": pack["title"], "kind": pack["kind"], "rows": pack["files"]}
        context.add(folder / f"{key}.zip", f"{key}.zip", **about)
        context.add(folder / "contact-sheets" / f"{key}.png", f"{key}-contact-sheet.png", sheet=key)
    for name in ("report.md", "report.json"):
        context.add(folder / name, name)


def _link(source: Path, path: Path) -> None:
    """The same file under another name; a copy where the file system cannot link."""
    try:
        os.link(source, path)
    except OSError:
        shutil.copyfile(source, path)
