"""Paints one can see through: glass and haze."""

from dataclasses import dataclass

import numpy as np

from glassine.data.sources.procedural.canvas import Colour, Plane
from glassine.data.sources.procedural.paint import RGB, Spot, blend


@dataclass(frozen=True)
class Glass:
    """A see-through body: thin in the middle, denser and brighter towards its rim.

    Attributes:
        tint: its colour.
        body: opacity in the middle, 0..1.
        rim: opacity on the edge, 0..1.
        softness: width of the rim in object units.
        shine: how far the rim turns from the tint to white, 0..1.
    """

    tint: RGB
    body: float = 0.25
    rim: float = 0.85
    softness: float = 0.12
    shine: float = 0.5

    def __call__(self, spot: Spot) -> tuple[Colour, Plane]:
        """The tint turning white, alpha times the glass's opacity."""
        edge = np.clip((1 - spot.depth(self.softness)) * 2, 0, 1)
        edge *= edge
        colour = blend(self.tint, (1.0, 1.0, 1.0), edge * np.float32(self.shine))
        return colour, spot.mask.alpha * (np.float32(self.body) + np.float32(self.rim - self.body) * edge)


@dataclass(frozen=True)
class Haze:
    """A soft light or cloud: opacity falls from the middle to nothing at the edge of the unit circle around it."""

    inner: RGB
    outer: RGB
    opacity: float = 0.8
    power: float = 1.5

    def __call__(self, spot: Spot) -> tuple[Colour, Plane]:
        """Colours from inner to outer, alpha falling outwards."""
        x, y = spot.xy()
        r = np.minimum(np.sqrt(x * x + y * y), 1)
        return blend(self.inner, self.outer, r), spot.mask.alpha * ((1 - r) ** np.float32(self.power) * self.opacity)
