"""Stills and what they are to do, for `glassine teach`: from shards, from a list, or drawn."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from glassine.data.clips import spread_rows
from glassine.data.shards import StickerShards
from glassine.data.sources.procedural import ProceduralStickers
from glassine.pipelines.stills import check_still, is_opaque, read_still
from glassine.review.build import without_domain
from glassine.review.clips import checked_clip, clip_row
from glassine.utils.errors import UserError

LONGEST_KEY = 40  # letters of a sticker's key in an id, which stands in file names


@dataclass(frozen=True)
class Prompt:
    """One still and what it is to do.

    Attributes:
        id: unique; 1 to 80 letters, digits, `-` and `_`.
        caption: the motion, or what the sticker shows, without a domain.
        caption_zh: in Chinese; None if there is none.
        still: `h w 4` uint8, straight RGBA.
        group: near-duplicates of the still share a group, and therefore a split.
        split: `train`, `val` or `test`.
        source: where the still is from.
        licence: of the still.
    """

    id: str
    caption: str
    caption_zh: str | None
    still: np.ndarray
    group: str
    split: str
    source: str
    licence: str

    def __post_init__(self) -> None:
        checked_clip(clip_row(self.id, "any", 0, self.about), f"prompt {self.id[:80]!r}")
        check_still(self.still, f"the still of {self.id}")

    @property
    def about(self) -> dict[str, Any]:
        """What the manifest says of each of its clips, beside teacher, seed and files."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name not in ("id", "still")}


def prompts_of_shards(
    root: Path, split: str = "train", limit: int | None = None, stills: bool = False
) -> Iterator[Prompt]:
    """The middle frames of the animated stickers of a split, or its still ones; evenly spaced if more than `limit`."""
    shards = StickerShards(root)
    for row in map(int, spread_rows(shards.select(split, "only" if stills else False), limit)):  # type: ignore[arg-type]
        info = shards.metadata(row)
        still = shards.read(row, [info.num_frames // 2])[0]
        if not visible(still):
            continue
        text, chinese = without_domain(info.caption), without_domain(info.caption_zh)
        about = (info.group, info.split, info.source, info.license)
        yield Prompt(prompt_id(info.key), text, chinese or None, still, *about)


def prompt_id(key: str) -> str:
    """The id of a sticker's prompt; a long key is cut and told from others by its digest."""
    name = re.sub(r"[^A-Za-z0-9_]+", "_", key)
    return (
        name
        if len(name) <= LONGEST_KEY
        else f"{name[: LONGEST_KEY - 9]}_{hashlib.sha256(key.encode()).hexdigest()[:8]}"
    )


def prompts_of_procedural(count: int, split: str = "train", seed: int = 0) -> Iterator[Prompt]:
    """The middle frames of rendered stickers of a split."""
    found, number = 0, 0
    stickers = ProceduralStickers(seed=seed, length=20 * count + 20, size=128)
    while found < count and number < len(stickers):
        info, still = stickers.info(number), None
        if info["split"] == split:
            frames = len(info["durations"])
            still = stickers.render(number, [frames // 2])[0]
        if still is not None and visible(still):
            found += 1
            about = (info["group"], split, "procedural", str(info.get("license") or ""))
            yield Prompt(f"drawn_{number}", str(info.get("description") or "a sticker"), None, still, *about)
        number += 1


def prompts_of_file(path: Path) -> Iterator[Prompt]:
    """The prompts of a JSON list with the attributes of `Prompt`; `still` is a path relative to the file.

    Raises:
        UserError: no such list, attributes that are missing, or stills that cannot be read.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        kept = [{name: entry.get(name) for name in Prompt.__dataclass_fields__} for entry in entries]
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise UserError(f"{path} must be a JSON list of prompts, got {error}") from error
    for entry in kept:
        if missing := [name for name in ("id", "caption", "still", "group") if not isinstance(entry[name], str)]:
            raise UserError(f"every prompt of {path} must have {', '.join(missing)}, got {entry}")
        rest = {"split": entry["split"] or "train", "source": entry["source"] or "", "licence": entry["licence"] or ""}
        yield Prompt(**{**entry, **rest, "still": read_still(path.parent / entry["still"])[0]})


def visible(still: np.ndarray) -> bool:
    """Whether a still can be animated: it shows something, and not everywhere."""
    return bool(still[..., 3].any()) and not is_opaque(still)
