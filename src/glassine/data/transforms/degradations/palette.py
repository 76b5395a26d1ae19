"""The palette of a GIF."""

import numpy as np
from PIL import Image

from ..base import Bytes, Degradation


class GifPalette(Degradation):
    """Few colours, chosen for the clip, with or without Floyd-Steinberg dithering.

    Args:
        colours: Fewest and most palette entries, 2 to 256; one number is drawn per clip, evenly on a log scale.
        dither: How often the clip is dithered.
        shared: How often one palette serves all frames; else each frame has its own.
        probability: How often a clip gets it.
    """

    name = "gif_palette"

    def __init__(
        self,
        colours: tuple[int, int] = (16, 256),
        dither: float = 0.5,
        shared: float = 0.7,
        probability: float = 1.0,
    ) -> None:
        super().__init__(probability)
        if not 2 <= colours[0] <= colours[1] <= 256:
            raise ValueError(f"the number of palette colours is {colours}; it must be low, high within 2 to 256")
        self.colours = colours
        self.dither = dither
        self.shared = shared

    def __call__(self, clip: Bytes, rng: np.random.Generator) -> Bytes:
        """Reduce the colours."""
        colours = round(float(np.exp(rng.uniform(*np.log(self.colours)))))
        dither = Image.Dither.FLOYDSTEINBERG if rng.random() < self.dither else Image.Dither.NONE
        if rng.random() < self.shared:
            return self._reduced(clip.reshape(-1, *clip.shape[2:]), colours, dither).reshape(clip.shape)
        return np.stack([self._reduced(frame, colours, dither) for frame in clip])

    @staticmethod
    def _reduced(picture: Bytes, colours: int, dither: Image.Dither) -> Bytes:
        image = Image.fromarray(picture)
        palette = image.quantize(colours, method=Image.Quantize.MEDIANCUT)
        # Pillow dithers only against a palette handed in
        reduced = palette if dither == Image.Dither.NONE else image.quantize(palette=palette, dither=dither)
        return np.asarray(reduced.convert("RGB"))
