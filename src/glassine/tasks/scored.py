"""What tasks share whose results are scored as mattes: validation and test."""

from typing import Any

from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable

from glassine.metrics.matting_scores import MattingScores
from glassine.tasks.base import StickerTask


class ScoredTask(StickerTask):
    """A task that logs `MattingScores` of whole clips; subclasses update `scores` in `evaluation_step`.

    Args:
        optimizer: see `StickerTask`.
        lr_scheduler: see `StickerTask`.
        init_from: see `StickerTask`.
    """

    def __init__(
        self,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None = None,
        init_from: str | None = None,
    ) -> None:
        super().__init__(optimizer, lr_scheduler, init_from)
        self.scores = MattingScores()

    def evaluation_step(self, batch: dict[str, Any]) -> None:
        """Score a batch of whole clips."""
        raise NotImplementedError(f"{type(self).__name__} scores nothing")

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Score a batch."""
        self.evaluation_step(batch)

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Score a batch."""
        self.evaluation_step(batch)

    def log_scores(self, stage: str) -> None:
        """Log all scores of the pass that ends, and start afresh."""
        self.log_dict({f"{stage}/{name}": float(value) for name, value in self.scores.compute().items()})
        self.scores.reset()

    def on_validation_epoch_end(self) -> None:
        """Log the scores."""
        self.log_scores("val")

    def on_test_epoch_end(self) -> None:
        """Log the scores."""
        self.log_scores("test")
