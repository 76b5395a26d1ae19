"""How well a clip loops: does its last frame go over into its first as its frames go over into each other?"""

from torch import Tensor


def loop_gap(clips: Tensor) -> Tensor:
    """The change from the last frame to the first, as a multiple of the mean change between neighboring frames.

    1 where the end goes over into the start as evenly as everything else; `f-1` for a thing that drifts in one
    direction and jumps back; 0 where the last frame repeats the first. For a clip that hardly moves, the change between
    neighbors counts as a thousandth.

    Args:
        clips: premultiplied RGBA, so that invisible colors do not count, or any channels in [0, 1], `b f c h w`.

    Returns:
        `b`, at least 0; NaN for clips of a single frame.
    """
    between = clips.diff(dim=1).abs().mean(dim=(1, 2, 3, 4))  # b
    ends = (clips[:, 0] - clips[:, -1]).abs().mean(dim=(1, 2, 3))  # b
    return ends / between.clamp(min=1e-3)
