"""Degradations by files themselves: ordered dithering, video compression, enlarging, screenshots."""

import io
from fractions import Fraction
from typing import Any

import cv2
import numpy as np

from glassine.data.transforms.base import Bytes, Degradation

_BAYER = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]], np.float32) / 16 - 0.5


class OrderedDither(Degradation):
    """Few levels a channel with the pattern of a Bayer matrix, as many GIF encoders have it.

    Args:
        levels: Fewest and most levels of each channel, one number per clip; 6 is the palette of the old web.
        probability: How often a clip gets it.
    """

    name = "ordered_dither"

    def __init__(self, levels: tuple[int, int] = (5, 9), probability: float = 1.0) -> None:
        super().__init__(probability)
        if not 2 <= levels[0] <= levels[1] <= 256:
            raise ValueError(f"levels must be low, high within [2, 256], got {levels}")
        self.levels = levels

    def __call__(self, clip: Bytes, rng: np.random.Generator) -> Bytes:
        """Dither every frame of `f h w 3`."""
        step = 255 / (int(rng.integers(self.levels[0], self.levels[1] + 1)) - 1)
        height, width = clip.shape[1:3]
        pattern = np.tile(_BAYER, (-(-height // 4), -(-width // 4)))[:height, :width, None] * step
        return (np.round((clip + pattern) / step).clip(0, np.floor(255 / step + 0.01)) * step).round().astype(np.uint8)


class VideoCompression(Degradation):
    """VP8 or H.264 over the whole clip, so that errors move with it; sides are even inside the codec.

    Args:
        codecs: Names of encoders to choose from; those that this machine lacks are left out.
        rate: Lowest and highest constant rate factor; more is worse.
        probability: How often a clip gets it.
    """

    name = "video"

    def __init__(
        self,
        codecs: tuple[str, ...] = ("libvpx", "libx264"),
        rate: tuple[int, int] = (18, 40),
        probability: float = 1.0,
    ) -> None:
        super().__init__(probability)
        if not 0 <= rate[0] <= rate[1] <= 63:
            raise ValueError(f"rate must be low, high within [0, 63], got {rate}")
        self.codecs, self.rate = tuple(codecs), rate

    def __call__(self, clip: Bytes, rng: np.random.Generator) -> Bytes:
        """Encode and decode `f h w 3`; a clip that no encoder takes comes back unchanged."""
        import av

        known = [name for name in self.codecs if name in av.codecs_available]
        rate = int(rng.integers(self.rate[0], self.rate[1] + 1))
        if not known:
            return clip
        name = str(known[int(rng.integers(len(known)))])
        height, width = clip.shape[1:3]
        padded = np.pad(clip, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        file = io.BytesIO()
        options = {"crf": str(rate), "b": "0", "deadline": "realtime", "cpu-used": "8", "preset": "ultrafast"}
        with av.open(file, "w", format="matroska") as container:
            stream: Any = container.add_stream(name, 25, options=options)
            stream.width, stream.height, stream.pix_fmt = padded.shape[2], padded.shape[1], "yuv420p"
            stream.time_base = Fraction(1, 25)
            for number, frame in enumerate(padded):
                shown = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24").reformat(format="yuv420p")
                shown.pts, shown.time_base = number, Fraction(1, 25)
                container.mux(stream.encode(shown))
            container.mux(stream.encode(None))
        file.seek(0)
        with av.open(file, "r") as written:
            decoded = [frame.to_ndarray(format="rgb24") for frame in written.decode(video=0)]
        if len(decoded) != len(clip):
            return clip
        return np.stack(decoded).astype(np.uint8, copy=False)[:, :height, :width]


class Enlarged(Degradation):
    """A small original that was enlarged, by whole pixels or smoothly, to any scale: as in screenshots.

    Args:
        scale: Smallest and largest factor of enlarging.
        probability: How often a clip gets it.
    """

    name = "enlarged"

    def __init__(self, scale: tuple[float, float] = (1.2, 3.0), probability: float = 1.0) -> None:
        super().__init__(probability)
        if not 1 <= scale[0] <= scale[1]:
            raise ValueError(f"scale must be low, high of at least 1, got {scale}")
        self.scale = scale

    def __call__(self, clip: Bytes, rng: np.random.Generator) -> Bytes:
        """Shrink by area and enlarge again."""
        height, width = clip.shape[1:3]
        scale = float(rng.uniform(*self.scale))
        small = max(1, round(width / scale)), max(1, round(height / scale))
        up = int(rng.choice([cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC], p=(0.2, 0.5, 0.3)))
        shrunk = (cv2.resize(frame, small, interpolation=cv2.INTER_AREA) for frame in clip)
        return np.stack([cv2.resize(frame, (width, height), interpolation=up) for frame in shrunk])
