"""Servers in a thread or a process, for tests that ask them over HTTP."""

import http.client
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def in_thread(serve: Callable[[], None], shutdown: Callable[[], None], port: int) -> Iterator[None]:
    """Run `serve` in a thread until the block ends.

    The block begins once the server has answered: while it starts it imports modules, and what walks over the modules
    meanwhile, as pytest does between tests, fails at random.
    """
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)  # its socket listens already
        connection.request("GET", "/")
        connection.getresponse().read()
        connection.close()
        yield
    finally:
        shutdown()
        thread.join()


class Serving:
    """`glassine VERB serve FOLDER` in a process of its own, which can be killed and started again."""

    def __init__(self, verb: str, folder: Path) -> None:
        self.verb, self.folder, self.port = verb, folder, "0"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "glassine", self.verb, "serve", str(self.folder), "--port", self.port]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().split()[0]
        self.port = self.url.rstrip("/").rpartition(":")[2]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()
