"""How well a clip loops: the change from the last to the first frame, compared with that between neighboring frames."""

from torch import Tensor

from glassine.metrics.base import VideoMetric


def loop_gap(clips: Tensor) -> Tensor:
    """The change from the last frame to the first, divided by the mean change between neighboring frames.

    It is 1 for a perfect loop, f - 1 for a steady change in one direction that jumps back, and 0 if the last frame
    repeats the first. The mean change between neighbors is at least 0.001, for clips that hardly move.

    Args:
        clips: `b f c h w` in [0, 1]: premultiplied RGBA, so that invisible colors do not count, or any other channels.

    Returns:
        `b`, at least 0; NaN for clips of a single frame.
    """
    between = clips.diff(dim=1).abs().mean(dim=(1, 2, 3, 4))  # b
    ends = (clips[:, 0] - clips[:, -1]).abs().mean(dim=(1, 2, 3))  # b
    return ends / between.clamp(min=1e-3)


class LoopGap(VideoMetric):
    """Mean over clips of `loop_gap`; 1 is a perfect loop, real clips show which values are usual."""

    channels = 4

    def update(self, preds: Tensor, target: Tensor | None = None) -> None:
        """Add premultiplied clips `b f 4 h w` in [0, 1]; `target` is ignored. Raises as `check_clips` does."""
        super().update(preds, preds)

    def score(self, preds: Tensor, target: Tensor) -> Tensor:
        """Return `loop_gap` of each clip, `b`."""
        return loop_gap(preds)
