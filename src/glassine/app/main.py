"""The app: pages, API, study, and what is checked for each request, put together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from glassine import __version__
from glassine.app.api import Api
from glassine.app.errors import error_reply
from glassine.app.files import FileStore
from glassine.app.jobs import JobQueue
from glassine.app.limits import Limits
from glassine.app.networks import Networks
from glassine.app.safety import Guard, machine_names
from glassine.utils.errors import UserError, printable
from glassine.utils.files import sole_writer

STATIC = Path(__file__).parent / "static"
FORM_BYTES = 4_000_000  # of a request, beside the file
CLEANING_SECONDS = 3600.0
NO_LIMITS = Limits()


def create_app(
    folder: Path,
    token: str | None = None,
    *,
    host: str = "127.0.0.1",
    names: Iterable[str] = (),
    networks: Networks | None = None,
    limits: Limits = NO_LIMITS,
    study: Path | None = None,
    review: Path | None = None,
) -> FastAPI:
    """The app over one folder, ready for a server.

    Args:
        folder: where uploads (`files`) and results (`results`) are kept; made if it does not exist.
        token: what clients must send; None lets everyone in who reaches the server.
        host: address that the server listens on, one of its names.
        names: additional host names of this server, such as a proxy's.
        networks: None for the shipped ones.
        limits: of uploads and jobs.
        study: folder of `glassine study build`, to be served at `/study/`.
        review: folder of `glassine review build`, to be served at `/review/`.

    Returns:
        The app. Its `state` has `files`, `jobs`, `names` and `close`, which lets go of the folder.

    Raises:
        UserError: the folder cannot be used, or another instance is using it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"folder {folder} cannot be made ({(error.strerror or 'error').lower()}): choose another one"
        ) from error
    stack = contextlib.ExitStack()
    stack.enter_context(sole_writer(folder, "results"))
    files = FileStore(folder / "files", limits)
    jobs = JobQueue(folder / "results", limits.job_seconds, limits.waiting)

    async def clean() -> None:
        while True:
            await asyncio.to_thread(files.clean, limits.keep_days)
            await asyncio.to_thread(jobs.clean, limits.keep_days)
            await asyncio.sleep(CLEANING_SECONDS)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(clean())
        try:
            yield
        finally:
            task.cancel()
            jobs.close()
            stack.close()

    app = FastAPI(
        title="glassine",
        version=__version__,
        summary="Transparent animated stickers",
        docs_url=None,  # their pages load scripts from elsewhere; /api is ours
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.files, app.state.jobs, app.state.names = files, jobs, machine_names(host, names)
    app.state.close = stack.close
    handle_errors(app)
    app.include_router(Api(files, jobs, networks or Networks(), limits, study is not None, review is not None).router)

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    @app.get("/api", include_in_schema=False)
    async def api_page() -> FileResponse:
        return FileResponse(STATIC / "api.html")

    if study is not None:
        from glassine.app.study import study_site

        app.mount("/study", study_site(study))
    if review is not None:
        from glassine.app.review import review_site

        app.mount("/review", review_site(review))
    app.mount("/static", StaticFiles(directory=STATIC))
    app.add_middleware(Guard, names=app.state.names, token=token, max_bytes=limits.upload_bytes + FORM_BYTES)
    return app


def handle_errors(app: FastAPI) -> None:
    """Reply to every error with JSON, `{"error": ...}`, and its status code."""

    @app.exception_handler(UserError)
    @app.exception_handler(OSError)
    @app.exception_handler(ModuleNotFoundError)
    async def usual(request: Request, error: Exception) -> JSONResponse:
        found = error_reply(error)
        return JSONResponse(found.as_json(), found.status)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        if isinstance(error.__cause__, OSError):  # no room for the body of a request
            return await usual(request, error.__cause__)
        text = {404: "there is nothing at this address", 405: "this address is not used that way"}
        says = text.get(error.status_code, str(error.detail))
        return JSONResponse({"error": says}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        problems = [_problem(part) for part in error.errors()]
        return JSONResponse({"error": "; ".join(problems), "problems": problems}, 422)


def _problem(part: Any) -> str:
    """One finding of pydantic in our words."""
    where = ".".join(str(step) for step in part["loc"][1:]) or "request"
    rule = str(part["msg"]).removeprefix("Input should be ").removeprefix("Value error, ")
    if part["type"] == "missing":
        return f"{where} must be given"
    got = printable(str(part.get("input")))[:80]
    return f"{where} must be {rule}, got {got!r}" if rule != part["msg"] else f"{where}: {rule}"
