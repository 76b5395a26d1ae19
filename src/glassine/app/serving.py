"""A web server for an ASGI app: the socket is taken first, so that a taken port is said before anything starts."""

from __future__ import annotations

import errno
import http.client
import json
import socket
import time
from types import TracebackType
from typing import Self

import uvicorn
from starlette.types import ASGIApp

from glassine.utils.errors import UserError


class Server:
    """Takes a port, and serves an ASGI app at `url`; a context manager that lets go of the port.

    Args:
        host: address to listen on.
        port: 0 for any free port.

    Raises:
        UserError: the address is not available; it says if glassine is running there already.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        if not 0 <= port <= 65535:
            raise UserError(f"port must be in [1, 65535], or 0 for any free port, got {port}")
        self._socket = _listen(host, port)
        self._host, self._port = str(self._socket.getsockname()[0]), int(self._socket.getsockname()[1])
        self._server: uvicorn.Server | None = None

    @property
    def port(self) -> int:
        """The port, also where 0 was asked for."""
        return self._port

    @property
    def url(self) -> str:
        """The page's URL, as seen from other machines if the server accepts them."""
        host = socket.gethostname() if self._host in ("0.0.0.0", "::") else self._host
        return f"http://[{host}]:{self._port}/" if ":" in host else f"http://{host}:{self._port}/"

    def serve_forever(self, app: ASGIApp) -> None:
        """Answer requests until `shutdown`, or until the process gets a signal to stop."""
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_keep_alive=60,
            timeout_graceful_shutdown=2,
            ws="none",
        )
        self._server = uvicorn.Server(config)
        self._server.run(sockets=[self._socket])

    def shutdown(self) -> None:
        """End `serve_forever`, which runs in another thread."""
        while self._server is None:  # it has just been started
            time.sleep(0.01)
        self._server.should_exit = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((host, port))
            listening.listen(256)  # a whole class may start a study at once
        except BaseException:
            listening.close()
            raise
    except (OSError, UnicodeError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        if getattr(error, "errno", None) == errno.EADDRINUSE and _is_glassine(host, port):
            raise UserError(
                f"glassine is running at http://{host}:{port}/ already: open that page, or give another --port"
            ) from error
        raise UserError(f"cannot serve at {host}:{port} ({reason}); give another --port or --host") from error
    return listening


def _is_glassine(host: str, port: int) -> bool:
    """Whether glassine's app answers there."""
    connection = http.client.HTTPConnection("127.0.0.1" if host in ("0.0.0.0", "::") else host, port, timeout=2)
    try:
        connection.request("GET", "/v1/status")
        reply = connection.getresponse()
        content = json.loads(reply.read(65_536))
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()
    return isinstance(content, dict) and ("glassine" in content or "glassine" in str(content.get("error")))
