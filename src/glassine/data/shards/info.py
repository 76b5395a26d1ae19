"""Metadata of a sticker."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from glassine.data.sticker import SPLITS, Split, split_of

_STYLES_ZH = {"flat": "扁平"}  # the other styles have the same name in Chinese
MOST_LOOPS = 65_535  # the maximum in GIF and WebP

_MOST_LETTERS = 20_000


def clean_text(value: Any) -> str:
    """A value of a third-party JSON as encodable text: unpaired surrogates become question marks."""
    return str(value)[:_MOST_LETTERS].encode("utf-8", "replace").decode("utf-8")


def has_words(text: str) -> bool:
    """Whether a text has at least one letter of any script or one digit."""
    return any(letter.isalnum() for letter in text)


@dataclass(frozen=True)
class StickerInfo:
    """The metadata of one sticker; the fields of `{key}.json` in a shard, plus its key.

    Attributes:
        key: unique in a dataset; letters, digits, ``-`` and ``_``.
        group: near-duplicates share a group, and therefore a split.
        split: ``"train"``, ``"val"`` or ``"test"``.
        description: English description, as in VSD2M.
        description_zh: Chinese description.
        trigger_words: words a person would type to find it.
        domain: ``"cartoon"``, ``"real"``, ...
        ocr: the text visible in it.
        durations: milliseconds of each frame, at least 1.
        loop: number of plays, 0 for forever.
        width: pixels.
        height: pixels.
        source: where it came from.
        style: drawing style if a dataset has several, e.g. ``"3D"``; part of the caption.
        license: license of the image, e.g. ``"CC BY 4.0"``.
        attribution: whom to credit, as required by the license.
    """

    key: str
    group: str
    split: Split
    description: str = ""
    description_zh: str = ""
    trigger_words: tuple[str, ...] = ()
    domain: str = "cartoon"
    ocr: str = ""
    durations: tuple[int, ...] = (100,)
    loop: int = 0
    width: int = 0
    height: int = 0
    source: str = ""
    style: str = ""
    license: str = ""
    attribution: str = ""

    @property
    def num_frames(self) -> int:
        """Number of frames, at least 1."""
        return len(self.durations)

    @property
    def fps(self) -> float:
        """Mean frames per second over one play."""
        return 1000.0 * len(self.durations) / max(1, sum(self.durations))

    @property
    def caption(self) -> str:
        """The text condition of VSD2M, its section "Models": ``[Domain]\\t[Description]``, e.g. ``Cartoon\\ta cat``.

        If the style is known, it is appended: ``Cartoon\\ta cat, 3D``. If the description has no letter or digit, as in
        ``"?!"``, the first trigger words replace it.
        """
        text = self.description if has_words(self.description) else ", ".join(filter(has_words, self.trigger_words[:3]))
        return f"{self.domain.capitalize()}\t{', '.join(filter(None, (text, self.style)))}"

    @property
    def caption_zh(self) -> str:
        """The caption in Chinese, empty if there is no Chinese description: ``Cartoon\\t猫，3D``."""
        if not has_words(self.description_zh):
            return ""
        style = _STYLES_ZH.get(self.style, self.style)
        return f"{self.domain.capitalize()}\t{'，'.join(filter(None, (self.description_zh, style)))}"

    def as_json(self) -> dict[str, Any]:
        """The content of `{key}.json`: every field but the key."""
        fields = asdict(self)
        del fields["key"]
        return {**fields, "trigger_words": list(self.trigger_words), "durations": list(self.durations)}

    @classmethod
    def from_json(
        cls, key: str, content: Mapping[str, Any], durations: tuple[int, ...], width: int, height: int
    ) -> "StickerInfo":
        """Read `{key}.json` leniently: missing fields get a default, and wrong types are corrected.

        Args:
            key: the sample's key.
            content: the JSON object.
            durations: milliseconds of each frame, from the file itself.
            width: pixels.
            height: pixels.
        """
        group = clean_text(content.get("group") or key)
        split = content.get("split")
        words = content.get("trigger_words") or ()
        loop = content.get("loop")
        return cls(
            key=key,
            group=group,
            split=split if split in SPLITS else split_of(group),
            description=clean_text(content.get("description") or ""),
            description_zh=clean_text(content.get("description_zh") or ""),
            trigger_words=tuple(map(clean_text, words)) if isinstance(words, list | tuple) else (clean_text(words),),
            domain=clean_text(content.get("domain") or "cartoon"),
            ocr=clean_text(content.get("ocr") or ""),
            durations=durations,
            loop=loop if isinstance(loop, int) and 0 <= loop <= MOST_LOOPS else 0,
            width=width,
            height=height,
            source=clean_text(content.get("source") or ""),
            style=clean_text(content.get("style") or ""),
            license=clean_text(content.get("license") or ""),
            attribution=clean_text(content.get("attribution") or ""),
        )
