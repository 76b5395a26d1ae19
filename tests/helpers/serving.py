"""Servers in a thread, for tests that ask them over HTTP."""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


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
