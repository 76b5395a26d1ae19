"""A seeded renderer of diverse stickers with exact alpha and captions in English and Chinese.

Does not use the network. `glassine.procedural` imports nothing from the rest of the package;
`glassine.data.sources.procedural` wraps this renderer as a data source.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glassine.procedural.scene import FAMILIES, Scene, make_scene


class StickerRenderer:
    """A series of rendered stickers; the content of number ``i`` only depends on ``(seed, i)`` and its family.

    Alpha is exact: every image is composited from coverage masks, so semi-transparent glass, shadows, glows and fades
    have the opacity with which they were drawn. Positions and sizes are fractions of the image size, so a sticker has
    the same content at every size.

    Args:
        seed: seed of the whole series.
        size: width and height in pixels, 16 to 2048.
        num_frames: frames per sticker, or a range ``(least, most)`` to sample from.
        length: number of stickers in the series.
        families: families to sample from, with equal probability; None for all (see :data:`FAMILIES`).

    Raises:
        ValueError: an unknown family, a size, a length or a number of frames out of range.
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
            raise ValueError(f"families must be some of {', '.join(FAMILIES)}, got {unknown or 'none'}")
        least, most = (num_frames, num_frames) if isinstance(num_frames, int) else num_frames
        if not 1 <= least <= most:
            raise ValueError(f"num_frames must be at least 1, or a range (least, most), got {num_frames}")
        if not 16 <= size <= 2048:
            raise ValueError(f"size must be in [16, 2048] pixels, got {size}")
        if length < 0 or seed < 0:
            raise ValueError(f"length and seed must be 0 or more, got {length} and {seed}")
        self.seed, self.size, self.families = seed, size, chosen
        self._frames, self._length = (least, most), length

    def __len__(self) -> int:
        return self._length

    def durations(self, index: int) -> tuple[int, ...]:
        """Duration of each frame in milliseconds.

        Raises:
            IndexError: ``index`` is outside 0..len-1.
        """
        return self._plan(index)[1]

    def render(self, index: int, frames: Sequence[int], size: int | None = None) -> NDArray[np.uint8]:
        """Render some frames of a sticker.

        Args:
            index: index of the sticker.
            frames: frame indices, in any order and with repeats.
            size: width and height in pixels; None uses the renderer's.

        Returns:
            Straight RGBA, ``f h w 4`` uint8; invisible pixels are black.

        Raises:
            IndexError: ``index`` or a frame index is out of range.
        """
        scene, durations = self._plan(index)
        total = len(durations)
        if any(not 0 <= f < total for f in frames):
            raise IndexError(f"frames must be below {total}, got {list(frames)}")
        return np.stack([scene.frame(f / total, size or self.size) for f in frames])

    def info(self, index: int) -> dict[str, Any]:
        """Captions and tags of the sticker; its ``key``, ``family``, ``durations`` and ``num_frames``."""
        scene, durations = self._plan(index)
        return {
            "description": scene.title,
            "description_zh": scene.title_zh,
            "trigger_words": list(scene.tags),
            "domain": scene.domain,
            "ocr": scene.ocr,
            "key": f"procedural-{self.seed}-{index}-{scene.family}",
            "family": scene.family,
            "durations": list(durations),
            "num_frames": len(durations),
        }

    def _plan(self, index: int) -> tuple[Scene, tuple[int, ...]]:
        if not 0 <= index < self._length:
            raise IndexError(f"index must be below {self._length}, got {index}")
        return _plan(self.seed, index, self.families, self._frames)


@lru_cache(maxsize=64)
def _plan(seed: int, index: int, families: tuple[str, ...], frames: tuple[int, int]) -> tuple[Scene, tuple[int, ...]]:
    """The scene and its durations; cached, since frames of a sticker are usually rendered in sequence."""
    rng = np.random.default_rng((seed, index))
    family = families[int(rng.random() * len(families))]
    tempo = int(rng.choice([40, 42, 50, 67, 80, 100, 120]))
    count = int(rng.integers(frames[0], frames[1] + 1))
    scene = make_scene(family, np.random.default_rng((seed, index, list(FAMILIES).index(family))))
    return scene, (tempo,) * count
