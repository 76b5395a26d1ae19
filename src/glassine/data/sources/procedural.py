"""Rendered stickers as a source: unlimited, reproducible, with exact alpha and no network access."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from glassine.data.sources import SourceItem
from glassine.data.sticker import Sticker, split_of
from glassine.procedural.stickers import StickerRenderer
from glassine.utils.errors import UserError


class ProceduralStickers(StickerRenderer):
    """The renderer's series as stickers with groups and splits.

    Args:
        seed: seed of the whole series.
        size: width and height in pixels, 16 to 2048.
        num_frames: frames of each sticker, or a range ``(min, max)`` to sample from.
        length: number of stickers in the source.
        families: families to sample from, with equal probability; None for all (see
            :data:`glassine.procedural.scene.FAMILIES`).

    Raises:
        UserError: an unknown family, a size, a length or a number of frames out of range.
    """

    def __init__(
        self,
        seed: int = 0,
        size: int = 256,
        num_frames: int | tuple[int, int] = (8, 24),
        length: int = 1000,
        families: Sequence[str] | None = None,
    ) -> None:
        try:
            super().__init__(seed, size, num_frames, length, families)
        except ValueError as error:
            raise UserError(f"procedural stickers: {error}") from error

    def __getitem__(self, index: int) -> Sticker:
        """The full sticker.

        Raises:
            IndexError: ``index`` is outside 0..len-1.
        """
        durations = self.durations(index)
        return Sticker(self.render(index, range(len(durations))), durations)

    def info(self, index: int) -> dict[str, Any]:
        """The sticker's metadata as for source items, plus ``family``, ``durations`` and ``num_frames``."""
        info = super().info(index)
        group = info.pop("key")
        drawn = {name: info.pop(name) for name in ("family", "durations", "num_frames")}
        return {**info, "group": group, "split": split_of(group), "source": "procedural", **drawn}

    def items(self) -> Iterator[SourceItem]:
        """All stickers as source items; nothing is rendered until an item is loaded."""
        for index in range(len(self)):
            info = self.info(index)
            yield SourceItem(key=info["group"], path=None, info=info, loader=partial(self.__getitem__, index))
