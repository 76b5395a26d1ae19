"""What the alpha refiner is trained on: pictures in closed form, as planes (`glassine.models.alpha_refiner`)."""

import numpy as np
from numpy.typing import NDArray

from glassine.pipelines.background_track import BackgroundTrack
from glassine.pipelines.closed_cutout import ClosedCutter, FrameCut
from glassine.pipelines.insets import Picture


def cut_planes(picture: Picture) -> tuple[NDArray[np.uint8], float]:
    """One picture `h w 3` uint8 in closed form: background and two alphas `h w 5` uint8, and its noise in 255ths."""
    cutter = ClosedCutter(BackgroundTrack([picture], None))
    cut = cutter.cut(picture)
    cutter.decide([cut])
    return planes_of(cut, picture), float(cut.noise)


def planes_of(cut: FrameCut, picture: Picture) -> NDArray[np.uint8]:
    """Background (3), alpha with closed areas as decided, alpha with them clear: `h w 5` uint8."""
    behind = np.broadcast_to(cut.behind.spread(picture), picture.shape)
    behind = behind.round().clip(0, 255).astype(np.uint8)
    decided = cut.decided()
    return np.dstack([behind, decided, np.minimum(decided, cut.opened)])
