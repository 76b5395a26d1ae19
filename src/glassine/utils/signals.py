"""SIGTERM, as job schedulers and `kill` send it: stop at once, clean up, and do not wait for others for ever."""

import contextlib
import os
import signal
import threading
import time
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
    if os.name == "nt":
        return
    # the main thread may be inside of a library that waits for another process, where no Python code is run
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=_forget_wakeup)
    threading.Thread(target=_have_the_last_word, args=(reader,), daemon=True).start()


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: the second would break off cleaning up
    raise Terminated


def _have_the_last_word(reader: int) -> None:
    while signal.SIGTERM not in os.read(reader, 512):
        continue
    time.sleep(GRACE)
    os._exit(TERMINATED)


def _forget_wakeup() -> None:
    """What a forked worker is sent is not meant for its parent."""
    with contextlib.suppress(ValueError):
        signal.set_wakeup_fd(-1)


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
