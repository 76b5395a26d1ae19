"""One row of the score table: from an opaque clip to alpha, by whatever means."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from glassine.utils.errors import UserError

AlphaFunction = Callable[[Tensor, Tensor | None, Tensor | None], Tensor]
Setting = float | int | str
CPU = torch.device("cpu")
TITLES = {
    "threshold": "threshold",
    "flood_fill": "flood fill, soft edge",
    "color_projection": "flood fill, color projection",
    "color_projection_calm": "flood fill, color projection, for damaged files",
    "grab_cut": "GrabCut, true box",
    "matting_anything": "Matting Anything, true point and box",
    "sam": "SAM, true point and box",
    "sam2": "SAM-2, true point and box of one frame",
    "layer_diffuse": "LayerDiffuse",
    "ildiff_paper": "ILDiff, the paper's network, short training",
    "ildiff_no_layout": "the same without distilled layout",
    "ildiff_no_time": "the same without time",
    "ildiff_explicit_masks": "the same with explicit masks",
    "ildiff_own": "ILDiff, its decoder alone",
    "ildiff": "ILDiff",
    "cutout": "ILDiff in `glassine cutout`",
}
# trained for few steps: they stand in their paper's table and the details, not in the overview
BRIEF = frozenset(["ildiff_paper", "ildiff_no_layout", "ildiff_no_time", "ildiff_explicit_masks"])


@dataclass(frozen=True)
class Method:
    """One row.

    Attributes:
        name: key of `TITLES`, or another that the caller chose.
        title: the row's name; rows of the same title are seeds of one method.
        function: clip, background, true alpha to alpha; None where its weights are missing.
        settings: the constructor's arguments.
        weights: bundle, or run that left the checkpoint.
        config: the YAML it was trained with and what was changed in it, where that is known.
        digest: changes with the weights.
        seed: of the training, where it is known.
        parameters: number of them.
        size_multiple: what height and width must be multiples of.
        missing: why there is no function.
        device: where it runs.
        conditions: those that it is scored under; None for all.
    """

    name: str
    title: str
    function: AlphaFunction | None = None
    settings: dict[str, Setting] = field(default_factory=dict)
    weights: str = ""
    config: str = ""
    digest: str = ""
    seed: int | None = None
    parameters: int = 0
    size_multiple: int = 1
    missing: str = ""
    device: torch.device = CPU
    conditions: tuple[str, ...] | None = None

    def is_scored(self, condition: str) -> bool:
        """Whether its row has a cell there, given weights."""
        return self.function is not None and (self.conditions is None or condition in self.conditions)

    @torch.no_grad()
    def alpha(self, clip: Tensor, background: Tensor | None = None, true_alpha: Tensor | None = None) -> Tensor:
        """Alpha `b f 1 h w` in [0, 1], on the CPU.

        Args:
            clip: `b f 3 h w` in [0, 1], opaque.
            background: `b 3`; None lets the method estimate it, as it must for a user's file.
            true_alpha: `b f 1 h w`, read by methods that are told where the sticker is, and by no other.

        Raises:
            UserError: the method's weights are missing.
        """
        if self.function is None:
            raise UserError(f"{self.title}: {self.missing}")
        return self.function(clip, background, true_alpha).float().cpu()


def settings_of(network: nn.Module) -> dict[str, Setting]:
    """The plain numbers that a small module keeps of its constructor."""
    kept = {n: v for n, v in vars(network).items() if n[0] != "_" and n != "training"}
    plain = {n: v for n, v in kept.items() if isinstance(v, int | float)}
    return plain | {n: str(v) for n, v in kept.items() if isinstance(v, tuple)}
