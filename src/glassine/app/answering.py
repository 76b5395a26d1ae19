"""Pages that ask people and save what they answer, on FastAPI: what studies, reviews and curations share."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool

from glassine.app.errors import AppError
from glassine.app.safety import Guard, machine_names
from glassine.app.serving import Server
from glassine.study.rater_files import RaterFiles
from glassine.utils.errors import OUTPUT_ERRORS, UserError

MOST_BYTES = 1 << 20


def answering_site(site: Path, study: str, store: RaterFiles[Any]) -> FastAPI:
    """A page that people answer, each under a name of their own, as an app to be mounted or served.

    Args:
        site: folder of the page.
        study: id of what is asked.
        store: where the answers go.

    Returns:
        The app; its `state` has the `store`.

    Raises:
        UserError: there is no page.
    """
    if not (site / "index.html").is_file():
        raise UserError(f"{site.parent} has no page ({site.name}/index.html is missing); build it again")
    app = answering_app()
    app.state.store = store

    @app.get("/api/study")
    async def about() -> dict[str, Any]:
        return {"study": study}

    @app.post("/api/start")
    async def start(request: Request) -> dict[str, Any]:
        content = await answers_of(request, study)
        return asdict(await kept(app.state.store.start, content.get("rater")))

    @app.post("/api/answers")
    async def answers(request: Request) -> dict[str, Any]:
        content = await answers_of(request, study)
        return {"saved": await kept(app.state.store.save, content.get("rater"), content.get("answers", []))}

    app.mount("/", StaticFiles(directory=site, html=True))
    return app


def answering_app() -> FastAPI:
    """An app whose errors reach the page as `{"error": ...}`."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.exception_handler(UserError)
    async def wrong(request: Request, error: UserError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, error.status if isinstance(error, AppError) else 400)

    @app.exception_handler(OSError)
    async def unsaved(request: Request, error: OSError) -> JSONResponse:
        reason = OUTPUT_ERRORS.get(error.errno or 0) or os.strerror(error.errno or errno.EIO).lower()
        print(f"glassine: answers could not be saved: {reason}", file=sys.stderr)
        return JSONResponse({"error": f"the answers could not be saved: {reason}"}, 507)

    return app


async def kept(save: Any, *arguments: Any) -> Any:
    """Call the store in a thread; an unexpected error becomes a reply, and the server keeps running."""
    try:
        return await run_in_threadpool(save, *arguments)
    except (UserError, OSError):
        raise
    except Exception as error:
        print(f"glassine: a request failed: {repr(error)[:500]}", file=sys.stderr)
        raise AppError(500, "the server could not use that request") from error


async def answers_of(request: Request, study: str) -> dict[str, Any]:
    """The request's JSON object, of the study with that id.

    Other sites' pages cannot send `application/json` here without a CORS preflight request, which is not answered.
    """
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise UserError("a request must have at most 1 MiB: send fewer answers at a time")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise UserError("a request must be of type application/json, got another type")
    try:
        content = json.loads(bytes(body))
    except (ValueError, RecursionError) as error:
        raise UserError("a request must be JSON that is not nested too deeply, got something else") from error
    if not isinstance(content, dict) or not isinstance(content.get("answers", []), list):
        raise UserError("a request must be an object with rater, study and answers, got another form")
    if content.get("study") != study:
        raise UserError("the page belongs to another study; reload it")
    return content


class AnsweringServer(Server):
    """Serves an `answering_site` at `url`.

    Args:
        site: the app.
        host: loopback unless people are on other machines; there is no password.
        port: 0 for any free port.
        names: additional host names of this server, for instance that of a proxy.
        kept: paths whose files a browser may keep, since their names depend on their content.

    Raises:
        UserError: the address is not available.
    """

    def __init__(
        self,
        site: FastAPI,
        host: str = "127.0.0.1",
        port: int = 0,
        names: Sequence[str] = (),
        kept: tuple[str, ...] = (),
    ) -> None:
        self.names = machine_names(host, names)
        # everything but `kept` may change with what is served next at this address
        self._guard = Guard(site, self.names, max_bytes=MOST_BYTES, kept=kept)
        super().__init__(host, port)

    def serve(self) -> None:
        """Answer until `shutdown`, or until the process gets a signal to stop."""
        self.serve_forever(self._guard)
