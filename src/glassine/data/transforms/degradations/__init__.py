"""Damage to the opaque clip, as files take it on their way to a user."""

from .lossy import Jpeg, Webp
from .noise import Noise
from .palette import GifPalette
from .resampling import Blur, Resize
from .round_trip import VaeRoundTrip

__all__ = ["Blur", "GifPalette", "Jpeg", "Noise", "Resize", "VaeRoundTrip", "Webp"]
