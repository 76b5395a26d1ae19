"""How well a clip loops: does its last frame go over into its first as its frames go over into each other?"""

from torch import Tensor

from glassine.metrics.base import VideoMetric


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


class LoopGap(VideoMetric):
    """Mean over clips of `loop_gap`; 1 is a loop, true clips tell what else is usual."""

    channels = 4

    def update(self, preds: Tensor, target: Tensor | None = None) -> None:
        """Add premultiplied clips `b f 4 h w` in [0, 1]; a truth is not looked at. Raises as `check_clips` does."""
        super().update(preds, preds)

    def score(self, preds: Tensor, target: Tensor) -> Tensor:
        """Return `loop_gap` of each clip, `b`."""
        return loop_gap(preds)
