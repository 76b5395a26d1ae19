"""Handling of SIGTERM, as sent by job schedulers and `kill`: stop at once, clean up, and never wait forever."""

import contextlib
import os
import signal
import threading
import time
from types import FrameType
from typing import Any

GRACE = 30.0
"""Seconds allowed for cleanup; a process that still waits after that, e.g. for one that is gone, is terminated."""
TERMINATED = 128 + signal.SIGTERM


class Terminated(KeyboardInterrupt):
    """Raised in the main thread on SIGTERM, so that cleanup runs as it does for Ctrl-C."""


def stop_on_sigterm() -> None:
    """Let SIGTERM raise `Terminated` in this process, which must be in its main thread."""
    signal.signal(signal.SIGTERM, _stop)
    if os.name == "nt":
        return
    # the main thread may be inside a library that waits for another process and runs no Python code
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=_forget_wakeup)
    threading.Thread(target=_have_the_last_word, args=(reader,), daemon=True).start()


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: a second one would interrupt the cleanup
    raise Terminated


def _have_the_last_word(reader: int) -> None:
    while signal.SIGTERM not in os.read(reader, 512):
        continue
    time.sleep(GRACE)
    os._exit(TERMINATED)


def _forget_wakeup() -> None:
    """Ignore signals in forked workers that are not meant for the parent."""
    with contextlib.suppress(ValueError):
        signal.set_wakeup_fd(-1)


def forward_sigterm(trainer: Any) -> None:
    """Let a `Trainer` only forward SIGTERM to the processes that it started.

    Lightning's own handler lets all processes wait for each other inside the handler, between two batches or in the
    middle of one: for half an hour if one of them is elsewhere.
    """
    connector = trainer._signal_connector

    def forward(number: int, frame: FrameType | None) -> None:
        launcher = trainer.strategy.launcher
        if launcher is not None and not connector.received_sigterm:
            launcher.kill(number)
        connector.received_sigterm = True

    connector._sigterm_notifier_fn = forward
