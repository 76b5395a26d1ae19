"""Sources of stickers: each iterates over items with metadata that are decoded on demand."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from glassine.data.codecs import read_sticker
from glassine.data.sticker import Sticker
from glassine.utils.errors import UserError

__all__ = ["SourceItem", "StickerSource"]


@dataclass(frozen=True)
class SourceItem:
    """One sticker of a source, not decoded yet.

    Attributes:
        key: unique within the source; letters, digits, ``-`` and ``_`` only, so that it can name a shard member.
        path: the media file, or None if the sticker is rendered rather than read.
        info: the metadata the source knows: ``description``, ``description_zh``, ``trigger_words`` (list of str),
            ``domain``, ``ocr``, ``group``, ``split``, ``source`` (all str but the list).
        loader: renders the sticker if there is no file. Picklable, so that items can be sent to other processes.
    """

    key: str
    path: Path | None
    info: dict[str, Any] = field(default_factory=dict)
    loader: Callable[[], Sticker] | None = None

    def load(self) -> Sticker:
        """Decode (or render) the sticker.

        Raises:
            UserError: the file is not a readable sticker.
        """
        if self.loader is not None:
            return self.loader()
        if self.path is None:
            raise UserError(f"source item {self.key!r} has neither a file nor a loader; give it one of the two")
        return read_sticker(self.path)


class StickerSource(Protocol):
    """Anything that can list stickers: it has a known length and decodes nothing while iterating."""

    def __len__(self) -> int:
        """Number of items that :meth:`items` yields."""
        ...

    def items(self) -> Iterator[SourceItem]:
        """The items, in the same order in every run."""
        ...
