"""What becomes of alpha in a clip that is made around a base image: does it agree, and does it move?

Layer-Animate has no metric of transparency and asks people instead. Where the truth is known, as for true clips that go
through the codec, `MAD`, `MSE` and `Flicker` say more; these need the base image alone, or nothing.
"""

from torch import Tensor

from glassine.metrics.clip_metric import ClipMetric


def alpha_overlap(pred: Tensor, base: Tensor) -> Tensor:
    """How far the shapes coincide: sum of min(p, b) divided by sum of max(p, b) over a clip.

    Args:
        pred: alpha `b f 1 h w` in [0, 1].
        base: alpha of the base image in every frame, the same shape.

    Returns:
        `b`, 0 to 1; lower for what moves, too. NaN where both are clear everywhere.
    """
    both, either = pred.minimum(base), pred.maximum(base)
    return both.sum(dim=(1, 2, 3, 4)) / either.sum(dim=(1, 2, 3, 4))


def alpha_levels(pred: Tensor, base: Tensor) -> Tensor:
    """How far the levels of alpha are from those of the base image, wherever they lie, x1000.

    The mean over frames of the earth mover's distance between the values of both, which is the mean absolute difference
    of the sorted pixels. A thing that moves as it is changes nothing; one that grows, fills its holes, turns
    see-through or drags a veil behind it does.

    Args:
        pred: alpha `b f 1 h w` in [0, 1].
        base: alpha of the base image in every frame, the same shape.

    Returns:
        `b`, 0 to 1000.
    """
    values, wanted = (alpha.flatten(2).sort(dim=-1).values for alpha in (pred, base))  # b f (h w)
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
    """Mean of what comes and goes within one frame, over all pixels and inner frames, x1000.

    Of two successive changes of a pixel in opposite directions it is the smaller one, else 0. Unlike `flicker` it needs
    no truth; a thing that passes a pixel within one frame counts, too, so true clips tell what is little.

    Args:
        alpha: `b f 1 h w` in [0, 1].

    Returns:
        `b`, 0 to 1000; NaN for clips of less than three frames.
    """
    before, after = alpha.diff(dim=1)[:, :-1], alpha.diff(dim=1)[:, 1:]  # b f-2 1 h w
    turns = before.sign() * after.sign() < 0
    return 1000 * (before.abs().minimum(after.abs()) * turns).mean(dim=(1, 2, 3, 4))


class OfBaseImage(ClipMetric):
    """A score of a clip against its base image."""

    def update(self, pred: Tensor, true: Tensor) -> None:
        """Add clips `b f 1 h w` and the alpha of their base images `b 1 1 h w` (or of a clip), in [0, 1].

        Raises as `check_clips` does.
        """
        super().update(pred, true.expand_as(pred) if true.ndim == 5 and true.shape[1] == 1 else true)


class AlphaOverlap(OfBaseImage):
    """Mean over clips of `alpha_overlap`."""

    higher_is_better = True

    def score(self, pred: Tensor, true: Tensor) -> Tensor:
        """Return `alpha_overlap` of each clip, `b`."""
        return alpha_overlap(pred, true)


class AlphaLevels(OfBaseImage):
    """Mean over clips of `alpha_levels`."""

    def score(self, pred: Tensor, true: Tensor) -> Tensor:
        """Return `alpha_levels` of each clip, `b`."""
        return alpha_levels(pred, true)


class AlphaMotion(ClipMetric):
    """Mean over clips of `alpha_motion`; neither more nor less is better, true clips tell what is right."""

    higher_is_better = None  # type: ignore[assignment]

    def update(self, pred: Tensor, true: Tensor | None = None) -> None:
        """Add clips `b f 1 h w` in [0, 1]; a truth is not looked at. Raises as `check_clips` does."""
        super().update(pred, pred)

    def score(self, pred: Tensor, true: Tensor) -> Tensor:
        """Return `alpha_motion` of each clip, `b`."""
        return alpha_motion(pred)
