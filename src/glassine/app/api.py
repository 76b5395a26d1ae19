"""The HTTP API of the app, `/v1/...`: the same verbs as on the command line."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, Query, Request, Response, UploadFile
from fastapi.responses import FileResponse, JSONResponse
from starlette.concurrency import run_in_threadpool

from glassine import __version__
from glassine.app.cutting import CutoutSettings, Format, check_settings, cut_out, read_strokes
from glassine.app.errors import AppError
from glassine.app.example import draw_example
from glassine.app.files import MEDIA_TYPES, FileStore, Upload, safe_name
from glassine.app.generating import MOST_CHARACTERS, GenerateRequest, Sampling, animate, generate
from glassine.app.jobs import Context, Job, JobQueue, Work
from glassine.app.limits import Limits
from glassine.app.networks import Networks
from glassine.app.packing import PackRequest, check_request, make_pack
from glassine.pipelines.cutout import Method
from glassine.pipelines.finishing import Opacity
from glassine.utils.errors import UserError

Given = Annotated[UploadFile | None, File(description="a picture or video; or give source")]
SourceField = Annotated[str | None, Form(max_length=300, description="a file's id, or JOB/NAME of a result")]
Wait = Annotated[
    float | None,
    Query(ge=0, description="seconds to wait for the result; 0 answers 202 with the job at once"),
]
ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "a setting that cannot be used: {error, problems}"},
    404: {"description": "no such file, job or result"},
    413: {"description": "a file that is too large, has too many pixels or frames"},
    415: {"description": "a file that cannot be read"},
    422: {"description": "a setting out of range"},
    429: {"description": "too many jobs are waiting"},
    504: {"description": "it takes longer than is allowed"},
    507: {"description": "the disk is full"},
}


def cutout_settings(
    background: Annotated[str, Form(max_length=80, description="auto, a CSS color name or #rrggbb")] = "auto",
    strength: Annotated[float, Form(ge=0, le=1, description="0.5 as found; 1 removes half-transparent parts")] = 0.5,
    outline: Annotated[float, Form(ge=0, le=256, description="die-cut border in pixels")] = 0,
    outline_color: Annotated[str, Form(max_length=80)] = "white",
    shadow: Annotated[float, Form(ge=0, le=1, description="opacity of a drop shadow")] = 0,
    format: Annotated[Format, Form()] = "webp",
    quality: Annotated[int | None, Form(ge=0, le=100, description="none: lossless WebP")] = None,
    resolution: Annotated[int, Form(ge=16, le=1024, description="longer side of the network's input")] = 256,
    strokes: Annotated[
        str,
        Form(
            max_length=2_000_000,
            description='corrections, JSON: [{"frame": 0, "mode": "keep" or "remove", "radius": 0.05, '
            '"points": [[x, y], ...]}], as shares of the width and height',
        ),
    ] = "",
    over_time: Annotated[bool, Form(description="corrections follow the motion to other frames")] = True,
    method: Annotated[Method, Form(description="closed form, network (flat backgrounds), or the better one")] = "auto",
    opacity: Annotated[
        Opacity, Form(description="translucent for glass, smoke and glows on a flat background")
    ] = "auto",
    force: Annotated[bool, Form(description="cut out a sticker that is transparent already")] = False,
    subject: Annotated[
        str,
        Form(
            max_length=80,
            description="where the sticker is, for photographs and clutter: x,y or left,top,right,bottom as shares of "
            "width and height",
        ),
    ] = "",
) -> CutoutSettings:
    """The settings out of a form."""
    return CutoutSettings(
        background, strength, outline, outline_color, shadow, format, quality, resolution, read_strokes(strokes),
        over_time, method, opacity, force, subject,
    )  # fmt: skip


class Api:
    """The endpoints over one set of files, jobs and networks.

    Args:
        files: uploads.
        jobs: the queue and its results.
        networks: what the jobs run.
        limits: of requests.
        has_study: whether there is a user study at `/study/`.
        has_review: whether there is a review of clips at `/review/`.
    """

    def __init__(
        self,
        files: FileStore,
        jobs: JobQueue,
        networks: Networks,
        limits: Limits,
        has_study: bool = False,
        has_review: bool = False,
    ) -> None:
        self.files, self.jobs, self.networks, self.limits = files, jobs, networks, limits
        self._pages = {"study": has_study, "review": has_review}
        self.router = APIRouter(prefix="/v1", responses=ERRORS)
        self._reading = asyncio.Semaphore(2)  # uploads that are decoded at once
        add = self.router.add_api_route
        add("/status", self.status, methods=["GET"], tags=["app"], summary="Version, limits and formats")
        add("/example", self.example, methods=["GET"], tags=["app"], summary="An opaque sticker to try things with",
            response_class=Response)  # fmt: skip
        add("/platforms", self.platforms, methods=["GET"], tags=["packs"], summary="Platforms and their limits")
        add("/files", self.upload, methods=["POST"], status_code=201, tags=["files"], summary="Give a file")
        add("/files/{number}", self.file, methods=["GET"], tags=["files"], summary="What is known about a file")
        add("/files/{number}/film", self.film, methods=["GET"], tags=["files"], summary="Small frames of a file")
        add("/cutout", self.cutout, methods=["POST"], tags=["work"], summary="Cut out; a small file is the answer")
        add("/generate", self.generate, methods=["POST"], tags=["work"], summary="Stickers from text")
        add("/animate", self.animate, methods=["POST"], tags=["work"], summary="Animate a still")
        add("/pack", self.pack, methods=["POST"], tags=["work"], summary="Packs for platforms")
        add("/jobs", self.list_jobs, methods=["GET"], tags=["jobs"], summary="All jobs, the newest first")
        add("/jobs/{name}", self.job, methods=["GET"], tags=["jobs"], summary="Progress and results of a job")
        add("/jobs/{name}", self.remove, methods=["DELETE"], status_code=204, tags=["jobs"], summary="Remove a job",
            response_class=Response)  # fmt: skip
        add("/jobs/{name}/cancel", self.cancel, methods=["POST"], tags=["jobs"], summary="Stop a job")
        add("/jobs/{name}/film", self.job_film, methods=["GET"], tags=["jobs"], summary="Small frames of a cut-out")
        add("/jobs/{name}/files/{result}", self.result, methods=["GET"], tags=["jobs"], summary="Download a result",
            response_class=FileResponse)  # fmt: skip

    async def status(self) -> dict[str, Any]:
        """Version and limits; also how another instance finds out that glassine is running."""
        active = [job for job in self.jobs.jobs() if not job.is_over]
        about = {"glassine": __version__, "limits": vars(self.limits)}
        return {**about, "active": len(active), **self._pages}

    async def example(self) -> Response:
        """A GIF, drawn for this."""
        return Response(await run_in_threadpool(draw_example), media_type="image/gif")

    async def platforms(self) -> list[dict[str, Any]]:
        """What `POST /v1/pack` takes as platforms."""
        from glassine.pipelines.pack.limits import platforms

        return [
            {
                "key": key,
                "title": platform.title,
                "count": platform.count,
                "emoji": platform.emoji,
                "kinds": {
                    kind: {
                        "format": limits.format,
                        "canvas": limits.canvas,
                        "bytes": limits.bytes,
                        "max_ms": limits.max_ms,
                    }
                    for kind, limits in platform.kinds.items()
                },
            }
            for key, platform in platforms().items()
        ]

    async def upload(self, file: UploadFile) -> dict[str, Any]:
        """Store a file, so that several jobs can use it without another upload."""
        return (await self._store(file)).as_json()

    async def file(self, number: str) -> dict[str, Any]:
        """Size, frames, duration and film."""
        return (await run_in_threadpool(self.files.get, number)).as_json()

    async def film(self, number: str) -> FileResponse:
        """A picture of frames side by side; the file's `film` says how it is read."""
        return _file(self.files.film(number), "film.webp", kept=True)

    async def job_film(self, name: str) -> FileResponse:
        """As a file's film, of the cut-out."""
        return _file(self.jobs.hidden_file(name, "film.webp"), "film.webp", kept=True)

    async def cutout(
        self,
        request: Request,
        settings: Annotated[CutoutSettings, Depends(cutout_settings)],
        file: Given = None,
        source: SourceField = None,
        wait: Wait = None,
    ) -> Response:
        """Cut a sticker out of its background.

        A small file is answered with the result itself; the header `Location` names its job. A large one is answered
        with 202 and the job.
        """
        check_settings(settings)
        upload = await self._source(file, source)
        stem = Path(upload.name).stem

        def work(context: Context) -> None:
            path = self.files.path(self.files.get(upload.id))
            cut_out(context, self.networks, path, stem, upload.frames, settings)

        shown = {"source": upload.id, **settings.as_json()}
        job = await self._submit("cutout", upload.name, work, shown)
        small = upload.pixels <= self.limits.small_pixels
        return await self._answer(request, job, wait if wait is not None else None if small else 0)

    async def generate(self, request: Request, body: GenerateRequest, wait: Wait = 0) -> Response:
        """Make one transparent sticker for each seed; answers with the job unless `wait` is given."""
        self._check_count(body)
        work = lambda context: generate(context, self.networks, body)  # noqa: E731
        return await self._answer(request, await self._submit("generate", body.prompt, work, body.model_dump()), wait)

    async def animate(
        self,
        request: Request,
        prompt: Annotated[str, Form(min_length=1, max_length=MOST_CHARACTERS)],
        file: Given = None,
        source: SourceField = None,
        seeds: Annotated[str, Form(max_length=1000, description="numbers with commas between")] = "0",
        motion: Annotated[int | None, Form(ge=0, le=9)] = None,
        steps: Annotated[int | None, Form(ge=1, le=100, description="none is as many as the network needs")] = None,
        fps: Annotated[float, Form(ge=0.1, le=60)] = 8,
        cut_out: Annotated[bool, Form(description="cut an opaque picture out first")] = True,
        wait: Wait = 0,
    ) -> Response:
        """Animate a still once for each seed; of an animation the middle frame is taken."""
        if not re.fullmatch(r"\s*\d{1,9}(\s*,\s*\d{1,9})*\s*", seeds):
            raise UserError(f"seeds must be numbers with commas between, got {seeds[:80]!r}")
        numbers = [int(number) for number in seeds.split(",")]
        if len(numbers) > self.limits.stickers:
            raise AppError(400, f"a request must ask for at most {self.limits.stickers} stickers, got {len(numbers)}")
        body = Sampling(prompt=prompt, seeds=numbers, motion=motion, steps=steps, fps=fps)
        upload = await self._source(file, source)

        def work(context: Context) -> None:
            animate(context, self.networks, body, self.files.path(self.files.get(upload.id)), cut_out)

        shown = {"source": upload.id, **body.model_dump()}
        return await self._answer(request, await self._submit("animate", prompt, work, shown), wait)

    async def pack(self, request: Request, body: PackRequest, wait: Wait = 0) -> Response:
        """Fit stickers to platforms; answers with the job unless `wait` is given."""
        check_request(body)
        color = check_settings(CutoutSettings(outline_color=body.outline_color)).outline_color
        for sticker in body.stickers:
            self._find(sticker.source)
        work = lambda context: make_pack(context, body, self._find, color)  # noqa: E731
        return await self._answer(request, await self._submit("pack", body.name, work, body.model_dump()), wait)

    async def list_jobs(self, limit: Annotated[int, Query(ge=1, le=1000)] = 200) -> list[dict[str, Any]]:
        """Waiting, running and finished ones, without the strokes of their corrections."""
        found = [self.jobs.as_json(job) for job in self.jobs.jobs()[:limit]]
        for job in found:
            job["settings"].pop("strokes", None)
        return found

    async def job(self, name: str) -> dict[str, Any]:
        """State (waiting, running, done, failed, canceled), progress, estimate, results."""
        return self.jobs.as_json(self.jobs.get(name))

    async def remove(self, name: str) -> None:
        """Delete a finished job and its results."""
        await run_in_threadpool(self.jobs.remove, name)

    async def cancel(self, name: str) -> dict[str, Any]:
        """What it made so far stays."""
        return self.jobs.as_json(await run_in_threadpool(self.jobs.cancel, name))

    async def result(self, name: str, result: str, download: bool = False) -> FileResponse:
        """A file that a job made; `?download=1` saves it instead of showing it."""
        return _file(self.jobs.file(name, result), result, download)

    async def _store(self, file: UploadFile) -> Upload:
        async with self._reading:
            return await run_in_threadpool(self.files.add, file.file, file.filename or "sticker")

    async def _source(self, file: UploadFile | None, source: str | None) -> Upload:
        """The upload that a job works on; a result of another job becomes an upload of its own."""
        if (file is None) == (source is None):
            raise UserError(f"a file or a source must be given, got {'neither' if file is None else 'both'}")
        if file is not None:
            return await self._store(file)
        assert source is not None
        if "/" not in source:
            return await run_in_threadpool(self.files.get, source)
        path, name = self._find(source)

        def copy() -> Upload:
            with path.open("rb") as content:
                return self.files.add(content, name)

        async with self._reading:
            return await run_in_threadpool(copy)

    def _find(self, source: str) -> tuple[Path, str]:
        """File and name of an upload, or of a job's result.

        Raises:
            AppError: there is none.
        """
        job, slash, name = source.partition("/")
        if slash:
            return self.jobs.file(job, name), name
        upload = self.files.get(source)
        return self.files.path(upload), upload.name

    def _check_count(self, body: Sampling) -> None:
        if len(body.seeds) > self.limits.stickers:
            raise AppError(
                400, f"a request must ask for at most {self.limits.stickers} stickers, got {len(body.seeds)}"
            )

    async def _submit(self, kind: str, title: str, work: Work, settings: dict[str, Any]) -> Job:
        # in a thread: finding out the device loads torch, and other requests must not wait for that
        lane = "cpu" if kind == "pack" else await run_in_threadpool(lambda: self.networks.lane)
        return await run_in_threadpool(self.jobs.submit, kind, title[:200], work, settings, lane)

    async def _answer(self, request: Request, job: Job, wait: float | None) -> Response:
        """The result, where it is there in time; a job otherwise. Whoever hangs up while waiting cancels the job."""
        loop = asyncio.get_running_loop()
        end = loop.time() + min(self.limits.wait_seconds if wait is None else wait, self.limits.wait_seconds)
        pause = 0.01
        while not job.is_over and loop.time() < end:
            await asyncio.sleep(pause)
            pause = min(0.25, 1.5 * pause)
            if await request.is_disconnected():
                self.jobs.cancel(job.id)
                break
        headers = {"Location": f"/v1/jobs/{job.id}"}
        if not job.is_over:
            return JSONResponse(self.jobs.as_json(job), 202, headers)
        if job.state != "done":
            status = 409 if job.state == "canceled" else job.status
            content = {"error": job.error or "the job was canceled", "job": job.id}
            return JSONResponse(content | ({"problems": job.problems} if job.problems else {}), status, headers)
        if len(job.results) == 1 and wait is None:
            response = _file(self.jobs.file(job.id, job.results[0].name), job.results[0].name)
            response.headers.update(headers)
            return response
        return JSONResponse(self.jobs.as_json(job), 200, headers)


def _file(path: Path, name: str, download: bool = False, kept: bool = False) -> FileResponse:
    """A file with its own type; what a browser might run as a page is never among them."""
    kind = MEDIA_TYPES.get(path.suffix.lower(), "application/octet-stream")
    response = FileResponse(
        path, media_type=kind, filename=safe_name(name), content_disposition_type="attachment" if download else "inline"
    )
    response.headers["Cache-Control"] = "private, max-age=86400" if kept else "private, no-cache"
    return response
