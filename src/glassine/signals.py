"""SIGTERM, as job schedulers and `kill` send it: stop at once, clean up, and do not wait for others for ever."""

import os
import signal
import threading
from types import FrameType
from typing import Any

GRACE = 30.0
"""Seconds for cleaning up; a process that then still waits, for instance for one that is gone, is ended."""
TERMINATED = 128 + signal.SIGTERM


class Terminated(KeyboardInterrupt):
    """Raised by SIGTERM wherever the main thread is, so that all that Ctrl-C cleans up is cleaned up."""


def stop_on_sigterm() -> None:
    """Let SIGTERM raise `Terminated` in this process, which must be in its main thread."""
    signal.signal(signal.SIGTERM, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    last_word = threading.Timer(GRACE, os._exit, (TERMINATED,))
    last_word.daemon = True
    last_word.start()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: the second would break off cleaning up
    raise Terminated


def forward_sigterm(trainer: Any) -> None:
    """Let a `Trainer` hand SIGTERM to the processes that it started, and no more.

    Lightning's own handler lets all processes wait for each other inside of the handler, between two batches or in the
    middle of one: half an hour if one of them is elsewhere.
    """
    connector = trainer._signal_connector

    def forward(number: int, frame: FrameType | None) -> None:
        launcher = trainer.strategy.launcher
        if launcher is not None and not connector.received_sigterm:
            launcher.kill(number)
        connector.received_sigterm = True

    connector._sigterm_notifier_fn = forward
