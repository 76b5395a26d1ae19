"""Read a file whose pixels were saved premultiplied as straight pixels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from glassine.data.codecs.reader import StickerReader


class UnpremultipliedReader(StickerReader):
    """Another reader's frames with the colours divided by alpha. What 8 bits lost at small alpha stays lost."""

    def __init__(self, reader: StickerReader) -> None:
        self._reader = reader
        self.width, self.height, self.num_frames = reader.width, reader.height, reader.num_frames
        self.durations, self.loop, self.opaque = reader.durations, reader.loop, reader.opaque
        self.notes = reader.notes

    def __iter__(self) -> Iterator[tuple[np.ndarray, int]]:
        from glassine.data.alpha import unpremultiply  # imported late: it takes torch along

        for frame, duration in self._reader:
            yield unpremultiply(frame), duration

    def frames_at(self, indices: list[int]) -> np.ndarray:
        """As in `StickerReader`."""
        from glassine.data.alpha import unpremultiply

        return unpremultiply(self._reader.frames_at(indices))

    def close(self) -> None:
        """Let go of the file."""
        self._reader.close()
