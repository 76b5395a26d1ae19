"""Degradations of the opaque clip, as files take them on their way to a user.

Compression (JPEG, WebP), noise, GIF palettes, resampling and blur, and a generator's VAE.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from einops import rearrange
from PIL import Image
from torch import Tensor, nn

from glassine.data.transforms.base import Bytes, Degradation


class Noise(Degradation):
    """Gaussian noise, new in each frame; fine, or as coarse as the errors of a VAE's decoder.

    Args:
        deviation: Smallest and largest standard deviation, in parts of the full range.
        coarse: How often the grain is two to four pixels wide rather than one.
        probability: How often a clip gets it.
    """

    name = "noise"

    def __init__(
        self, deviation: tuple[float, float] = (0.003, 0.03), coarse: float = 0.4, probability: float = 1.0
    ) -> None:
        super().__init__(probability)
        self.deviation = deviation
        self.coarse = coarse

    def __call__(self, clip: Bytes, rng: np.random.Generator) -> Bytes:
        """Add the noise, rounded and clipped to 8 bits."""
        frames, height, width, _ = clip.shape
        deviation = rng.uniform(*self.deviation) * 255
        grain = int(rng.integers(2, 5)) if rng.random() < self.coarse else 1
        shape = (frames, -(-height // grain), -(-width // grain), 3)
        noise = rng.standard_normal(shape, np.float32) * deviation
        if grain > 1:
            noise = np.stack([cv2.resize(one, (width, height), interpolation=cv2.INTER_CUBIC) for one in noise])
        return np.clip(clip + noise + 0.5, 0, 255).astype(np.uint8)


class _Compression(Degradation):
    """Encode and decode each frame at one quality drawn per clip from [low, high] of 100."""

    suffix: str

    def __init__(self, quality: tuple[int, int], probability: float) -> None:
        super().__init__(probability)
        if not 1 <= quality[0] <= quality[1] <= 100:
            raise ValueError(f"quality must be low, high within [1, 100], got {quality}")
        self.quality = quality

    @abstractmethod
    def settings(self, quality: int, rng: np.random.Generator) -> Sequence[int]:
        """Return OpenCV's flags for one clip."""

    def __call__(self, clip: Bytes, rng: np.random.Generator) -> Bytes:
        flags = self.settings(int(rng.integers(self.quality[0], self.quality[1] + 1)), rng)
        return np.stack([self._recoded(frame, flags) for frame in clip])

    def _recoded(self, frame: Bytes, flags: Sequence[int]) -> np.ndarray:
        _, encoded = cv2.imencode(self.suffix, frame[..., ::-1], flags)  # OpenCV's order is blue, green, red
        return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))[..., ::-1]


class Jpeg(_Compression):
    """JPEG compression of each frame.

    Args:
        quality: Lowest and highest quality of 100, one drawn per clip.
        full_color: How often color keeps its full resolution (4:4:4); else it is halved (4:2:0), as files mostly are.
        probability: How often a clip gets it.
    """

    name = "jpeg"
    suffix = ".jpg"

    def __init__(self, quality: tuple[int, int] = (40, 95), full_color: float = 0.25, probability: float = 1.0) -> None:
        super().__init__(quality, probability)
        self.full_color = full_color

    def settings(self, quality: int, rng: np.random.Generator) -> Sequence[int]:
        """Return the quality and the color resolution."""
        full = rng.random() < self.full_color
        sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444 if full else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420
        return (cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling)


class Webp(_Compression):
    """Lossy WebP compression of each frame; args as `Jpeg`."""

    name = "webp"
    suffix = ".webp"

    def __init__(self, quality: tuple[int, int] = (40, 95), probability: float = 1.0) -> None:
        super().__init__(quality, probability)

    def settings(self, quality: int, rng: np.random.Generator) -> Sequence[int]:
        """Return the quality."""
        return (cv2.IMWRITE_WEBP_QUALITY, quality)


class GifPalette(Degradation):
    """Few colors, chosen for the clip, with or without Floyd-Steinberg dithering.

    Args:
        colors: Fewest and most palette entries, 2 to 256; one number is drawn per clip, evenly on a log scale.
        dither: How often the clip is dithered.
        shared: How often one palette serves all frames; else each frame has its own.
        probability: How often a clip gets it.
    """

    name = "gif_palette"

    def __init__(
        self,
        colors: tuple[int, int] = (16, 256),
        dither: float = 0.5,
        shared: float = 0.7,
        probability: float = 1.0,
    ) -> None:
        super().__init__(probability)
        if not 2 <= colors[0] <= colors[1] <= 256:
            raise ValueError(f"colors must be low, high within [2, 256], got {colors}")
        self.colors = colors
        self.dither = dither
        self.shared = shared

    def __call__(self, clip: Bytes, rng: np.random.Generator) -> Bytes:
        """Reduce the colors."""
        colors = round(float(np.exp(rng.uniform(*np.log(self.colors)))))
        dither = Image.Dither.FLOYDSTEINBERG if rng.random() < self.dither else Image.Dither.NONE
        if rng.random() < self.shared:
            return self._reduced(clip.reshape(-1, *clip.shape[2:]), colors, dither).reshape(clip.shape)
        return np.stack([self._reduced(frame, colors, dither) for frame in clip])

    @staticmethod
    def _reduced(picture: Bytes, colors: int, dither: Image.Dither) -> Bytes:
        image = Image.fromarray(picture)
        palette = image.quantize(colors, method=Image.Quantize.MEDIANCUT)
        # Pillow dithers only against a palette handed in
        reduced = palette if dither == Image.Dither.NONE else image.quantize(palette=palette, dither=dither)
        return np.asarray(reduced.convert("RGB"))


_SHRINK = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC)
_ENLARGE = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)


class Resize(Degradation):
    """Down to a part of the size and up again, by filters drawn per clip.

    Args:
        scale: Smallest and largest part of the size, in (0, 1].
        probability: How often a clip gets it.
    """

    name = "resize"

    def __init__(self, scale: tuple[float, float] = (0.4, 0.95), probability: float = 1.0) -> None:
        super().__init__(probability)
        if not 0 < scale[0] <= scale[1] <= 1:
            raise ValueError(f"scale must be low, high within (0, 1], got {scale}")
        self.scale = scale

    def __call__(self, clip: Bytes, rng: np.random.Generator) -> Bytes:
        """Shrink and enlarge every frame."""
        height, width = clip.shape[1:3]
        scale = rng.uniform(*self.scale)
        small = (max(1, round(width * scale)), max(1, round(height * scale)))
        down, up = int(rng.choice(_SHRINK)), int(rng.choice(_ENLARGE, p=(0.1, 0.4, 0.3, 0.2)))
        return np.stack(
            [
                cv2.resize(cv2.resize(frame, small, interpolation=down), (width, height), interpolation=up)
                for frame in clip
            ]
        )


class Blur(Degradation):
    """Gaussian blur.

    Args:
        sigma: Smallest and largest standard deviation in parts of the frame's height (0.004 is half a pixel at 128).
        probability: How often a clip gets it.
    """

    name = "blur"

    def __init__(self, sigma: tuple[float, float] = (0.002, 0.008), probability: float = 1.0) -> None:
        super().__init__(probability)
        self.sigma = sigma

    def __call__(self, clip: Bytes, rng: np.random.Generator) -> Bytes:
        """Blur every frame."""
        sigma = max(rng.uniform(*self.sigma) * clip.shape[1], 0.1)
        return np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in clip])


class VaeRoundTrip(Degradation):
    """Encode to latents and decode again, by a callable handed in.

    Args:
        round_trip: For instance `models.vae.RoundTrip`: from `f 3 h w` in [0, 1] to the decoded clip of the same shape
            and range.
        probability: How often a clip gets it.
    """

    name = "vae_decoded"

    def __init__(self, round_trip: nn.Module | Callable[[Tensor], Tensor], probability: float = 1.0) -> None:
        super().__init__(probability)
        self.round_trip = round_trip

    @torch.no_grad()
    def __call__(self, clip: Bytes, rng: np.random.Generator) -> Bytes:
        """Encode and decode the clip, rounded and clipped to 8 bits; raises ValueError where its shape changes."""
        pixels = rearrange(torch.from_numpy(clip), "f h w c -> f c h w").float() / 255
        decoded = self.round_trip(pixels)
        if decoded.shape != pixels.shape:
            raise ValueError(f"the round trip made {tuple(decoded.shape)} of {tuple(pixels.shape)}; shapes must agree")
        levels = (decoded.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
        return rearrange(levels, "f c h w -> f h w c").contiguous().numpy()
