"""Descriptions of stickers: what can be measured, said in words, where no vision-language model is given."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np

from glassine.curation.blocks import Row, digest
from glassine.curation.crawl import Opened
from glassine.curation.ingest import read_again
from glassine.curation.measures import COLORS
from glassine.curation.parts import build_part
from glassine.data.alpha import composite_frames
from glassine.data.shards import resize_frames
from glassine.data.shards.info import has_words
from glassine.data.sticker import Sticker
from glassine.utils.errors import UserError, printable

if TYPE_CHECKING:
    import torch

LONGEST = 256


class Describer(Protocol):
    """Writes descriptions of stickers.

    Attributes:
        identity: JSON values: model, version, prompt; recorded with each description.
        frames: how many frames of a sticker it looks at, at least 1.
    """

    identity: Mapping[str, Any]
    frames: int

    def describe(self, stickers: Sequence[Sticker], rows: Sequence[Row]) -> list[Row]:
        """Of each sticker `description` and perhaps `description_zh`, `parts`.

        Args:
            stickers: the frames that it asked for, of each.
            rows: what is known of them.
        """
        ...


class Measured:
    """Descriptions made of names, text and measures, in English and Chinese; needs no large model.

    A name comes from the crawl where there is one: a description or caption, else the first trigger words. Colors and
    motion are measured. Where there is neither name nor word, the trigger words of other stickers that an image-text
    network finds nearest are named, as such.

    Args:
        network: a bundle with a `StickerCLIP`; None looks for no words.
        nearest: how many words are named.
        vocabulary: how many of the crawl's most frequent words are looked at.
        least: cosine below which a word is not near.
    """

    frames = 1

    def __init__(
        self, network: str | None = "glassine:tiny-clip", nearest: int = 3, vocabulary: int = 2000, least: float = 0.2
    ) -> None:
        self.network, self.nearest, self.vocabulary, self.least = network, nearest, vocabulary, least
        self.identity = {"by": "measured", "version": 1, "network": network}
        self._words: list[str] = []
        self._embedded: torch.Tensor | None = None
        self._clip: Any = None

    def prepare(self, words: Mapping[str, int]) -> None:
        """Take the crawl's words with how many stickers have each."""
        frequent = sorted(words.items(), key=lambda pair: (-pair[1], pair[0]))[: self.vocabulary]
        self._words, self._embedded = [word for word, _ in frequent if has_words(word)], None

    def describe(self, stickers: Sequence[Sticker], rows: Sequence[Row]) -> list[Row]:
        """See `Describer`."""
        near = self._near_words(stickers)
        return [describe_measured(row, words) for row, words in zip(rows, near, strict=True)]

    def _near_words(self, stickers: Sequence[Sticker]) -> list[list[str]]:
        if self.network is None or not self._words:
            return [[] for _ in stickers]
        import torch  # takes seconds, and descriptions of motion and colors do without it

        if self._clip is None:
            torch.set_num_threads(1)
            from glassine.pretrained.weights import load_bundle

            self._clip = load_bundle(self.network, frozen=True)
        with torch.no_grad():
            if self._embedded is None:
                parts = [self._words[n : n + 64] for n in range(0, len(self._words), 64)]
                self._embedded = torch.cat([self._clip.embed_texts(part) for part in parts])
            found = []
            for sticker in stickers:
                square = resize_frames(sticker.frames[:1], 96, 96, keep_shape=True)
                picture = torch.from_numpy(composite_frames(square, (255, 255, 255))).permute(0, 3, 1, 2).float() / 255
                cosines = (self._clip.embed_pictures(picture) @ self._embedded.T)[0]  # w
                best = cosines.topk(min(self.nearest, len(self._words)))
                pairs = zip(best.values.tolist(), best.indices.tolist(), strict=True)
                found.append([self._words[place] for value, place in pairs if value >= self.least])
        return found


def describe_measured(row: Row, near: Sequence[str] = ()) -> Row:
    """English and Chinese descriptions of what is known and measured of a sticker.

    Args:
        row: with `measures`, `motion`, `words`, `ocr`, perhaps `description` and `description_zh`.
        near: words of other stickers that an image-text network finds near.

    Returns:
        `description`, `description_zh`, and `parts`: what they are made of.
    """
    words = list(row.get("words", {}))
    given, given_zh = row.get("description", ""), row.get("description_zh", "")
    if has_words(given):
        name, origin = given.strip().rstrip("."), "crawl"
    elif words:
        name, origin = ", ".join(words[:3]), "trigger words"
    else:
        name, origin = "", "none"
    chinese = given_zh or next((word for word in words if is_chinese(word)), "") or name
    colors, motion, text = row["measures"]["colors"], row["motion"], row.get("ocr", "").strip()
    look = f"{' and '.join(colors[:2])} " if colors else ""
    article = "an" if look[:1] in ("o",) else "a"
    english = [f"{name}: {article} {look}sticker" if name else f"{article.capitalize()} {look}sticker"]
    look_zh = f"以{'和'.join(COLORS[one][0] for one in colors[:2])}为主的" if colors else ""
    said_zh = [f"{chinese}：{look_zh}贴纸" if chinese else f"{look_zh}贴纸"]
    english.append(f" that {motion['en']}")
    said_zh.append(f"，{motion['zh']}")
    if len(text) > 1:  # one letter alone is more often a shape that looks like it
        quoted = text.replace('"', "'")
        english.append(f', with the text "{quoted}"')
        said_zh.append(f"，上有文字“{text}”")
    if near and origin == "none":
        english.append(f", perhaps of {', '.join(near)}")
        said_zh.append(f"，可能是{'、'.join(near)}")
    parts = {"name": name, "name_from": origin, "colors": colors, "motion": motion["kinds"], "near_words": list(near)}
    return {"description": "".join(english) + ".", "description_zh": "".join(said_zh) + "。", "parts": parts}


def is_chinese(text: str) -> bool:
    """Whether a text has a Chinese character."""
    return any("CJK UNIFIED" in unicodedata.name(one, "") for one in text)


class Describe:
    """Stage: adds `description`, `description_zh`, and who made them.

    Args:
        crawl: the folder.
        unpack: where compressed tars were unpacked to.
        describer: a `Describer` by `class_path`.
        words: a JSON file of the crawl's words with their counts.
    """

    name, risky = "describe", False

    def __init__(self, crawl: str, unpack: str, describer: Mapping[str, Any] | str, words: str) -> None:
        self.crawl, self.unpack, self.describer, self.words = Path(crawl), Path(unpack), describer, Path(words)
        self._made: Any = None

    def settings(self) -> Mapping[str, Any]:
        """What results depend on."""
        return {"version": 2, "describer": self.describer, "words": digest(json.loads(self.words.read_text()))}

    def __call__(self, rows: list[Row]) -> list[Row]:
        """Describe what was not rejected."""
        if self._made is None:
            cv2.setNumThreads(0)
            self._made = build_part(self.describer, "describe")
            if hasattr(self._made, "prepare"):
                self._made.prepare(json.loads(self.words.read_text()))
        opened = Opened(self.crawl, self.unpack)
        out, places, stickers = [dict(row) for row in rows], list[int](), list[Sticker]()
        for place, row in enumerate(rows):
            if "rejected" in row or row.get("crashed"):
                continue
            try:
                chosen = spread_frames(row["frames"], self._made.frames)
                stickers.append(read_again(opened, row, LONGEST, chosen))
                places.append(place)
            except (UserError, OSError) as error:
                out[place] |= {"rejected": {"gone": 1.0}, "says": printable(str(error))[:300]}
        for place, said in zip(places, self._made.describe(stickers, [rows[n] for n in places]), strict=True):
            given = {f"given_{name}": rows[place][name] for name in ("description",) if rows[place].get(name)}
            made = {**out[place].get("made", {}), "description": dict(said.pop("made", self._made.identity))}
            out[place] = {**out[place], **given, **said, "made": made}
        return out


def spread_frames(count: int, wanted: int) -> list[int]:
    """So many frames evenly over a sticker, each in the middle of its part; fewer where there are fewer."""
    wanted = min(count, wanted)
    return ((np.arange(wanted) + 0.5) * count / wanted).astype(int).tolist()
