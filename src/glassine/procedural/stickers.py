"""Procedural stickers: as many as wanted, each the same for ever, with exact alpha and no network.

TODO-DOC
Our own seeded sticker renderer: wide variety, exact alpha, captions in English and Chinese.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glassine.data.sources import SourceItem
from glassine.data.sticker import Sticker, split_of
from glassine.procedural.scene import FAMILIES, Scene, make_scene
from glassine.utils.errors import UserError


class ProceduralStickers:
    """A source of rendered stickers; what number ``i`` shows depends on ``(seed, i)`` and its family alone.

    Alpha is exact: every picture is composited from coverage masks, so half-transparent glass, shadows, glows and
    fades carry the opacity they were drawn with. Content is placed in shares of the picture, so one sticker rendered
    at two sizes shows the same thing.

    Args:
        seed: chooses the whole series.
        size: width and height in pixels, 16 to 2048.
        num_frames: frames of each sticker, or a range ``(least, most)`` to draw from.
        length: how many stickers the source has.
        families: which families to draw from, with equal chance; None for all (see :data:`FAMILIES`).

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
        chosen = tuple(FAMILIES) if families is None else tuple(families)
        unknown = [f for f in chosen if f not in FAMILIES]
        if unknown or not chosen:
            raise UserError(f"procedural families {unknown or 'none'} asked for; there are {', '.join(FAMILIES)}")
        least, most = (num_frames, num_frames) if isinstance(num_frames, int) else num_frames
        if not 1 <= least <= most:
            raise UserError(f"num_frames is {num_frames}; give a number from 1 or a range (least, most)")
        if not 16 <= size <= 2048:
            raise UserError(f"size is {size}; give 16 to 2048 pixels")
        if length < 0 or seed < 0:
            raise UserError(f"length is {length} and seed is {seed}; neither may be negative")
        self.seed, self.size, self.families = seed, size, chosen
        self._frames, self._length = (least, most), length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Sticker:
        """The whole sticker.

        Raises:
            IndexError: ``index`` is outside 0..len-1.
        """
        _, durations = self._plan(index)
        return Sticker(self.render(index, range(len(durations))), durations)

    def render(self, index: int, frames: Sequence[int], size: int | None = None) -> NDArray[np.uint8]:
        """Some frames only, which costs only those.

        Args:
            index: which sticker.
            frames: frame numbers, in any order, repeats allowed.
            size: another size than the source's.

        Returns:
            Straight RGBA, ``f h w 4`` uint8; invisible pixels are black.
        """
        scene, durations = self._plan(index)
        total = len(durations)
        if any(not 0 <= f < total for f in frames):
            raise IndexError(f"frames {list(frames)} of a sticker that has {total}")
        return np.stack([scene.frame(f / total, size or self.size) for f in frames])

    def info(self, index: int) -> dict[str, Any]:
        """A source item's metadata of the sticker, plus ``family``, ``durations`` and ``num_frames``."""
        scene, durations = self._plan(index)
        group = f"procedural-{self.seed}-{index}-{scene.family}"
        return {
            "description": scene.title,
            "description_zh": scene.title_zh,
            "trigger_words": list(scene.tags),
            "domain": scene.domain,
            "ocr": scene.ocr,
            "group": group,
            "split": split_of(group),
            "source": "procedural",
            "family": scene.family,
            "durations": list(durations),
            "num_frames": len(durations),
        }

    def items(self) -> Iterator[SourceItem]:
        """All stickers as source items; nothing is rendered until one is loaded."""
        for index in range(self._length):
            info = self.info(index)
            yield SourceItem(key=info["group"], path=None, info=info, loader=partial(self.__getitem__, index))

    def _plan(self, index: int) -> tuple[Scene, tuple[int, ...]]:
        if not 0 <= index < self._length:
            raise IndexError(f"sticker {index} of a source that has {self._length}")
        return _plan(self.seed, index, self.families, self._frames)


@lru_cache(maxsize=64)
def _plan(seed: int, index: int, families: tuple[str, ...], frames: tuple[int, int]) -> tuple[Scene, tuple[int, ...]]:
    """The scene and its timing; frames of one sticker are usually asked for one after the other."""
    rng = np.random.default_rng((seed, index))
    family = families[int(rng.random() * len(families))]
    tempo = int(rng.choice([40, 42, 50, 67, 80, 100, 120]))
    count = int(rng.integers(frames[0], frames[1] + 1))
    scene = make_scene(family, np.random.default_rng((seed, index, list(FAMILIES).index(family))))
    return scene, (tempo,) * count
