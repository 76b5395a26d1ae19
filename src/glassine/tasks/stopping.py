"""End a training at the next step when the process is asked to, with its state written."""

import signal
import threading
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class StopAtSignal(Callback):
    """On SIGTERM or SIGINT, finish the step, let `LastCheckpoint` write, and return from `fit` as at its end.

    Lightning's own answer to SIGTERM is an exception in the middle of a step, which loses the steps since the last
    checkpoint. A second signal is left to the handler that was there before. Place it before `LastCheckpoint`.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen; only the main thread may."""
        self.asked = False
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
            for number in self._before:
                signal.signal(number, self._ask)

    def _ask(self, number: int, frame: Any) -> None:
        self.asked = True
        self._restore()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *rest: Any) -> None:
        """Stop here if asked to."""
        if self.asked:
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen no more."""
        self._restore()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Listen no more."""
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
