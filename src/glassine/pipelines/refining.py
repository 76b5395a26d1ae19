"""Closed-form cut-outs corrected by a network (`glassine.models.alpha_refiner`), at the size that it was trained at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from glassine.pipelines.background_track import BackgroundTrack
from glassine.pipelines.closed_cutout import ClosedCutter, FrameCut, Levels
from glassine.pipelines.insets import Picture
from glassine.utils.errors import UserError

if TYPE_CHECKING:
    import torch

    from glassine.models.alpha_refiner import AlphaRefiner

BATCH = 8  # frames a forward pass


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


class Refiner:
    """The network with its weights, loaded when it is first used.

    Args:
        source: a folder of `glassine export weights`; none ships.
        device: where it runs.
    """

    def __init__(self, source: str, device: torch.device | str = "cpu") -> None:
        self.source, self.device = source, device
        self._network: AlphaRefiner | None = None

    @property
    def network(self) -> AlphaRefiner:
        """The network.

        Raises:
            UserError: there are no weights, or they are of another network.
        """
        if self._network is None:
            import torch

            from glassine.models.alpha_refiner import AlphaRefiner
            from glassine.pretrained.weights import load_bundle

            network = load_bundle(self.source)
            if not isinstance(network, AlphaRefiner):
                raise UserError(f"{self.source} must hold an AlphaRefiner, got a {type(network).__name__}")
            network = network.to(self.device).eval()
            self._network = network.to(memory_format=torch.channels_last)
        return self._network

    def __call__(self, cuts: Sequence[FrameCut], pictures: Sequence[Picture], longest: int) -> list[Levels]:
        """Corrected alpha of frames, `h w` uint8 each; frames that repeat the one before cost nothing.

        Args:
            cuts: their closed forms, `decide`d.
            pictures: `h w 3` uint8, all of one size.
            longest: pixels of the longer side that the network sees; larger pictures are reduced for it, and its
                correction is enlarged.
        """
        new = [number for number, cut in enumerate(cuts) if not number or cut is not cuts[number - 1]]
        found: list[Levels] = []
        for start in range(0, len(new), BATCH):
            some = new[start : start + BATCH]
            found += self._batch([cuts[number] for number in some], [pictures[number] for number in some], longest)
        places = np.cumsum([number in set(new) for number in range(len(cuts))]) - 1
        return [found[place] for place in places]

    def _batch(self, cuts: Sequence[FrameCut], pictures: Sequence[Picture], longest: int) -> list[Levels]:
        import torch

        from glassine.models.alpha_refiner import refiner_inputs
        from glassine.utils.devices import fast_autocast

        height, width = pictures[0].shape[:2]
        scale = min(1.0, longest / max(height, width))
        small = (max(1, round(width * scale)), max(1, round(height * scale)))  # OpenCV's order
        planes = [np.dstack([picture, planes_of(cut, picture)]) for cut, picture in zip(cuts, pictures, strict=True)]
        if scale < 1:
            planes = [np.asarray(cv2.resize(p, small, interpolation=cv2.INTER_AREA), np.uint8) for p in planes]
        multiple = self.network.size_multiple
        pad = (0, -small[1] % multiple), (0, -small[0] % multiple), (0, 0)
        stack = np.stack([np.pad(plane, pad, mode="edge") for plane in planes])
        with torch.inference_mode(), fast_autocast(self.device):
            clip = torch.from_numpy(stack).to(self.device).permute(0, 3, 1, 2).float() / 255  # n 8 h w
            picture, behind, closed, opened = clip.split((3, 3, 1, 1), dim=1)
            noise = torch.tensor([cut.noise for cut in cuts], device=self.device)
            refined = self.network(refiner_inputs(picture, behind, closed, opened, noise), closed)
            correction = (refined - closed).float()[:, 0, : small[1], : small[0]].cpu().numpy()
        return [_corrected(cut.decided(), change) for cut, change in zip(cuts, correction, strict=True)]


def _corrected(levels: Levels, change: NDArray[np.float32]) -> Levels:
    """Alpha levels with a change in [-1, 1] of any size added."""
    if change.shape != levels.shape:
        change = np.asarray(cv2.resize(change, levels.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
    return (levels + 255 * change + 0.5).clip(0, 255).astype(np.uint8)
