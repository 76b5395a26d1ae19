"""What every request must pass before a page or the API sees it, and the headers of every response.

A server on loopback is in reach of every page that the browser shows. So only names of this machine are answered (a
foreign name that is pointed here, DNS rebinding, is not), and only requests of the server's own pages.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import socket
import sys
import traceback
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from glassine.utils.errors import printable

COOKIE = "glassine_token"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
LOGIN = """<!doctype html><html lang="en"><meta charset="utf-8"><title>glassine: token</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="stylesheet" href="/static/app.css">
<main class="login"><h1>glassine</h1><form method="get" action="/"><label for="token">Token, from the terminal that
runs glassine app</label> <input id="token" name="token" type="password" required autocomplete="off">
<button class="strong">Open</button></form></main></html>"""
OPEN_PATHS = ("/static/app.css",)


def machine_names(host: str, names: Iterable[str] = ()) -> set[str]:
    """Host names that this server is called by, in lower case."""
    own = socket.gethostname().lower()
    return {"localhost", host.lower(), own, f"{own}.local", *(name.lower().rstrip(".") for name in names)}


def is_called(host: str | None, names: set[str]) -> bool:
    """Whether a `Host` header is one of `names` or a bare address."""
    try:
        name = urlsplit(f"//{host or ''}").hostname
    except ValueError:
        return False
    if not name:
        return False
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return name.rstrip(".") in names
    return True


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens at `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class Guard:
    """ASGI middleware: checks Host, Origin, token and size of each request, and sets the headers of each response.

    Args:
        app: what is guarded.
        names: see `machine_names`; the set may grow later.
        token: None lets everyone in who reaches the server.
        max_bytes: largest body of a request.
        policy: the Content-Security-Policy.
        kept: paths that begin with one of these may be cached for a day; nothing else is.
    """

    def __init__(
        self,
        app: ASGIApp,
        names: set[str],
        token: str | None = None,
        max_bytes: int = 1 << 20,
        policy: str = POLICY,
        kept: tuple[str, ...] = (),
    ) -> None:
        self.app, self.names, self.token, self.max_bytes = app, names, token, max_bytes
        self._headers, self._kept = {**HEADERS, "Content-Security-Policy": policy}, kept

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or hand it on."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    given.setdefault(name, value)
                kept = scope["path"].startswith(self._kept) and message["status"] == 200 if self._kept else False
                given.setdefault("Cache-Control", "private, max-age=86400" if kept else "no-store")
            await send(message)

        if refused := self._refusal(headers):
            await _answer(send_safely, 403, refused)
        elif scope["path"] not in OPEN_PATHS and self.token is not None and not self._has_token(headers):
            await self._ask_for_token(scope, headers, send_safely)
        else:
            length = headers.get("content-length", "0")
            if not length.isdecimal() or int(length) > self.max_bytes:
                await _answer(send_safely, 413, self._too_large())
                return
            await self._run(scope, self._counted(receive), send_safely)

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; an error that nothing else handles gets a reply without details."""
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception as error:
            traceback.print_exception(error, file=sys.stderr)
            if started:
                raise
            await _answer(send, 500, f"glassine failed ({type(error).__name__}); its terminal shows where")

    def _refusal(self, headers: Headers) -> str | None:
        host, origin = headers.get("host"), headers.get("origin")
        if not is_called(host, self.names):
            return f"this server is not {printable(host or 'nothing')}; add the name with --name if it is yours"
        try:
            own = origin is None or urlsplit(origin).netloc.lower() == (host or "").lower()
        except ValueError:
            own = False
        if not own:
            return f"pages of {printable(origin or '')} may not send requests to this server"
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and headers.get("sec-fetch-mode") != "navigate":
            return "pages of other sites may not send requests to this server"
        return None

    def _has_token(self, headers: Headers) -> bool:
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer":
            try:
                morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
            except CookieError:
                morsel = None
            given = morsel.value if morsel else ""
        return self._is_token(given.strip())

    def _is_token(self, given: str) -> bool:
        expected = (self.token or "").encode()
        return hmac.compare_digest(hashlib.sha256(given.encode()).digest(), hashlib.sha256(expected).digest())

    async def _ask_for_token(self, scope: Scope, headers: Headers, send: Send) -> None:
        """Let in a browser that brings the token in the address, which then holds it in a cookie."""
        if scope["path"] == "/" and scope["method"] == "GET":
            given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
            if given and self._is_token(given):
                cookie = f"{COOKIE}={given}; Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000"
                # a page instead of a redirect: a strict cookie is not sent with a redirect that another site started
                page = '<!doctype html><meta http-equiv="refresh" content="0; url=/"><a href="/">glassine</a>'
                await _send(send, 200, page.encode(), "text/html; charset=utf-8", {"Set-Cookie": cookie})
                return
            await _send(send, 401, LOGIN.encode(), "text/html; charset=utf-8")
            return
        says = "a token is needed: send the header Authorization: Bearer TOKEN (the terminal of glassine app shows it)"
        await _answer(send, 401, says, {"WWW-Authenticate": "Bearer"})

    def _too_large(self) -> str:
        return (
            f"a request must have at most {self.max_bytes / 1e6:g} MB and say its length: send fewer or smaller files"
        )

    def _counted(self, receive: Receive) -> Receive:
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.max_bytes:  # a body that did not say its length
                raise HTTPException(413, self._too_large())
            return message

        return counted


async def _answer(send: Send, status: int, says: str, headers: dict[str, str] | None = None) -> None:
    await _send(send, status, json.dumps({"error": says}).encode(), "application/json", headers)


async def _send(send: Send, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
    given = {"content-type": kind, "content-length": str(len(body)), **(headers or {})}
    if status >= 400:
        given["connection"] = "close"  # the body of the request is not read
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in given.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
