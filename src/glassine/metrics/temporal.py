"""Temporal scores of alpha: agreement of its changes with a target, and amount of motion.

`DtSSD` and `Flicker` need a target clip. Layer-Animate evaluates transparency by a user study only, so for clips
generated around a base image we use scores that only need this image (`AlphaOverlap`, `AlphaLevels`) or no reference
(`AlphaMotion`, `alpha_flicker`); real clips show which values are realistic.
"""

from torch import Tensor

from glassine.metrics.base import VideoMetric


def temporal_error(preds: Tensor, target: Tensor) -> Tensor:
    """Squared difference of the changes between neighboring frames, `b f c h w` to `b f-1 c h w`."""
    return (preds.diff(dim=1) - target.diff(dim=1)).square()


def dtssd(preds: Tensor, target: Tensor, skip_first: bool = True) -> Tensor:
    """Mean over frames of sqrt(mean over pixels of ((p_t - p_t-1) - (t_t - t_t-1))^2), x100.

    Args:
        preds: alpha `b f 1 h w` in [0, 1].
        target: the same shape.
        skip_first: average over the f-1 frames that have a predecessor. False also counts frame 0, with an error of 0,
            as in published evaluations; a clip of 8 frames then scores 7/8 of its actual value.

    Returns:
        `b`, 0 to 200; NaN for clips of a single frame if `skip_first`, else 0.
    """
    error = 100 * temporal_error(preds, target).mean(dim=(2, 3, 4)).sqrt()  # b f-1
    frames = error.shape[1] if skip_first else error.shape[1] + 1
    return error.sum(dim=1) / frames  # b; 0 / 0 is NaN


class DtSSD(VideoMetric):
    """dtSSD of alpha x100 (Erofeev et al. 2015; Robust Video Matting, Lin et al. 2022, section 5).

    Args:
        skip_first: exclude frame 0, which has no predecessor, instead of counting it with an error of 0.
    """

    def __init__(self, skip_first: bool = True) -> None:
        super().__init__()
        self.skip_first = skip_first

    def score(self, preds: Tensor, target: Tensor) -> Tensor:
        """Return `dtssd` of each clip, `b`."""
        return dtssd(preds, target, self.skip_first)


STILL_THRESHOLD = 0.01


def flicker(preds: Tensor, target: Tensor, threshold: float = STILL_THRESHOLD) -> Tensor:
    """DtSSD x100 over the pixels whose target alpha is constant.

    For each frame with a predecessor: the root of the mean of ((p_t - p_t-1) - (t_t - t_t-1))^2 over the pixels with
    |t_t - t_t-1| < threshold; then the mean over the frames that have such a pixel.

    Args:
        preds: alpha `b f 1 h w` in [0, 1].
        target: the same shape.
        threshold: change below which the target counts as constant; the default allows two 8-bit steps.

    Returns:
        `b`, 0 to 100 x (1 + threshold); NaN for a clip without a still pixel or with a single frame.
    """
    still = target.diff(dim=1).abs() < threshold  # b f-1 1 h w
    squared = (temporal_error(preds, target) * still).sum(dim=(2, 3, 4))  # b f-1
    error = (squared / still.sum(dim=(2, 3, 4))).sqrt()  # b f-1; NaN without a still pixel
    return 100 * error.nanmean(dim=1)  # b


class Flicker(VideoMetric):
    """DtSSD x100 where the target alpha is constant.

    Args:
        threshold: change of the target alpha between two frames below which a pixel counts as constant.
    """

    def __init__(self, threshold: float = STILL_THRESHOLD) -> None:
        super().__init__()
        self.threshold = threshold

    def score(self, preds: Tensor, target: Tensor) -> Tensor:
        """Return `flicker` of each clip, `b`."""
        return flicker(preds, target, self.threshold)


def alpha_overlap(preds: Tensor, base: Tensor) -> Tensor:
    """Soft IoU of a clip's alpha with its base image: sum of min(p, b) divided by sum of max(p, b).

    Args:
        preds: alpha `b f 1 h w` in [0, 1].
        base: alpha of the base image in every frame, the same shape.

    Returns:
        `b`, 0 to 1; motion also lowers it. NaN if both are fully transparent.
    """
    both, either = preds.minimum(base), preds.maximum(base)
    return both.sum(dim=(1, 2, 3, 4)) / either.sum(dim=(1, 2, 3, 4))


def alpha_levels(preds: Tensor, base: Tensor) -> Tensor:
    """Distance between the histograms of alpha of a clip and its base image, x1000, regardless of positions.

    Mean over frames of the earth mover's distance between both distributions of values, i.e. the mean absolute
    difference of the sorted pixels. Rigid motion does not change it; growth, filled holes, a loss of opacity and
    semi-transparent trails do.

    Args:
        preds: alpha `b f 1 h w` in [0, 1].
        base: alpha of the base image in every frame, the same shape.

    Returns:
        `b`, 0 to 1000.
    """
    values, wanted = (alpha.flatten(2).sort(dim=-1).values for alpha in (preds, base))  # b f (h w)
    return 1000 * (values - wanted).abs().mean(dim=(1, 2))


def alpha_motion(alpha: Tensor) -> Tensor:
    """Mean absolute change of alpha from frame to frame, over all pixels, x1000.

    Args:
        alpha: `b f 1 h w` in [0, 1].

    Returns:
        `b`, 0 to 1000; NaN for clips of a single frame.
    """
    return 1000 * alpha.diff(dim=1).abs().mean(dim=(1, 2, 3, 4))


def alpha_flicker(alpha: Tensor) -> Tensor:
    """Changes of alpha that are reversed in the next frame, averaged over all pixels and inner frames, x1000.

    If two successive changes of a pixel have opposite signs, the smaller one counts, else 0. Unlike `flicker`, it needs
    no target. An object that passes a pixel within one frame also counts, so compare with the values of real clips.

    Args:
        alpha: `b f 1 h w` in [0, 1].

    Returns:
        `b`, 0 to 1000; NaN for clips of fewer than three frames.
    """
    before, after = alpha.diff(dim=1)[:, :-1], alpha.diff(dim=1)[:, 1:]  # b f-2 1 h w
    turns = before.sign() * after.sign() < 0
    return 1000 * (before.abs().minimum(after.abs()) * turns).mean(dim=(1, 2, 3, 4))


class OfBaseImage(VideoMetric):
    """A score of a clip against its base image."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add clips `b f 1 h w` and the alpha of their base images `b 1 1 h w` (or of a clip), in [0, 1].

        Raises as `check_clips` does.
        """
        super().update(preds, target.expand_as(preds) if target.ndim == 5 and target.shape[1] == 1 else target)


class AlphaOverlap(OfBaseImage):
    """Mean over clips of `alpha_overlap`."""

    higher_is_better = True

    def score(self, preds: Tensor, target: Tensor) -> Tensor:
        """Return `alpha_overlap` of each clip, `b`."""
        return alpha_overlap(preds, target)


class AlphaLevels(OfBaseImage):
    """Mean over clips of `alpha_levels`."""

    def score(self, preds: Tensor, target: Tensor) -> Tensor:
        """Return `alpha_levels` of each clip, `b`."""
        return alpha_levels(preds, target)


class AlphaMotion(VideoMetric):
    """Mean over clips of `alpha_motion`; neither higher nor lower is better, compare with real clips."""

    higher_is_better = None  # type: ignore[assignment]

    def update(self, preds: Tensor, target: Tensor | None = None) -> None:
        """Add clips `b f 1 h w` in [0, 1]; `target` is ignored. Raises as `check_clips` does."""
        super().update(preds, preds)

    def score(self, preds: Tensor, target: Tensor) -> Tensor:
        """Return `alpha_motion` of each clip, `b`."""
        return alpha_motion(preds)
