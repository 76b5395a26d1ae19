"""`glassine` commands as child processes of the queue of trainings, which can be asked to stop."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from glassine.pretrained.weights import SEARCHED
from glassine.utils.errors import UserError


class Commands:
    """Runs commands in child processes, from one thread each.

    Args:
        weights: folder of bundles in which the commands look up `glassine:NAME` first.
        jobs: commands that run at a time, each on its share of the cores unless `OMP_NUM_THREADS` is set.

    Attributes:
        stopped: whether `stop` was called; while it is set, further commands are stopped at once.
    """

    def __init__(self, weights: Path, jobs: int = 1) -> None:
        self.weights, self.jobs, self.stopped = weights, jobs, False
        self._children: list[subprocess.Popen[bytes]] = []

    def run(self, arguments: Sequence[str]) -> bool:
        """Run `glassine ARGUMENTS`, or with `-m` first a module, and wait for its end.

        Returns:
            Whether it came to its end; False after `stop`.

        Raises:
            UserError: it failed by itself.
        """
        searched = [str(self.weights), os.environ.get(SEARCHED, "")]
        threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // self.jobs))
        environment = {**os.environ, SEARCHED: os.pathsep.join(filter(None, searched)), "OMP_NUM_THREADS": threads}
        module = [] if arguments[0] == "-m" else ["-m", "glassine"]
        # a session of its own: Ctrl-C in a terminal reaches the parent alone, which then asks its children to stop
        child = subprocess.Popen([sys.executable, *module, *arguments], env=environment, start_new_session=True)
        self._children.append(child)
        if self.stopped:
            child.send_signal(signal.SIGTERM)
        code = child.wait()
        self._children.remove(child)
        if code and not self.stopped:
            raise UserError(f"`glassine {' '.join(arguments)}` ended with {code}, see above")
        return not code

    def stop(self, *_: Any) -> None:
        """Ask the running commands to end, trainings at their next optimizer step; also a handler of signals."""
        self.stopped = True
        for child in self._children:
            child.send_signal(signal.SIGTERM)
