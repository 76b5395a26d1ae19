"""What the ONNX file computes: an opaque clip in, alpha and un-mixed colours out."""

import torch
from einops import rearrange
from torch import Tensor, nn

from glassine.errors import UserError
from glassine.models.ildiff import ILDiff
from glassine.models.layout_hint import LayoutHint
from glassine.pipelines.alpha_levels import INVISIBLE_TO
from glassine.pipelines.onnx_export.background import background_of
from glassine.pipelines.onnx_export.layout_hint import ExportableHint

FIND = -1.0  # as the background: find it


class CutoutGraph(nn.Module):
    """An ILDiff with everything around it that a clip of its own size needs.

    Args:
        ildiff: the network; its hint, if any, a `LayoutHint`.

    Raises:
        UserError: it has another hint, or candidates in it that ONNX cannot have.
    """

    def __init__(self, ildiff: ILDiff) -> None:
        super().__init__()
        self.ildiff = ildiff
        if ildiff.hint is not None and not isinstance(ildiff.hint, LayoutHint):
            raise UserError(f"a network with a {type(ildiff.hint).__name__} came; ONNX knows LayoutHint, or no hint")
        self.hint = ExportableHint(ildiff.hint) if ildiff.hint is not None else None

    def forward(self, clip: Tensor, background: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cut out one clip.

        Args:
            clip: `1 f 3 h w` in [0, 1], opaque.
            background: `1 3` in [0, 1], or `FIND`.

        Returns:
            Alpha `1 f 1 h w` and straight colour `1 f 3 h w`, both in [0, 1], and the background that was used, `1 3`.
        """
        background = torch.where((background < 0).any(), background_of(clip), background)
        latents = self.ildiff.adjusted_latents(clip)
        pixel = clip
        if self.ildiff.pixel_source == "reconstruction":
            pixel = (self.ildiff.reconstruct(latents) / 2 + 0.5).clamp(0, 1)
        inputs = [pixel, latents, *(self.hint(clip, background) if self.hint is not None else ())]
        rgba = self.ildiff.read(*(rearrange(x, "b f c h w -> (b f) c h w") for x in inputs))  # f 4 h w
        alpha = rearrange(rgba[:, :1], "f c h w -> 1 f c h w").clamp(0, 1)
        return alpha, unmixed(clip, alpha, background), background


def unmixed(clip: Tensor, alpha: Tensor, background: Tensor) -> Tensor:
    """The straight colour F of C = aF + (1 - a)B, clipped to [0, 1]: what `unmix.unmix` does, without its rounding.

    Where alpha is so small that `cutout` takes it as 0, its smallest other value stands for it.
    """
    behind = rearrange(background, "1 c -> 1 1 c 1 1")
    share = alpha.clamp(min=(INVISIBLE_TO + 0.5) / 255)
    return ((clip - behind) / share + behind).clamp(0, 1)
