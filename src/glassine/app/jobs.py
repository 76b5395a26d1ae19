"""Long work: one job at a time for each device, with progress, cancellation and a record that outlives the page.

A job has a folder of its own among the results: what it made, and `job.json`, from which the list of jobs is read again
when the app starts. Old jobs are removed with their folders.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal

from glassine.app.errors import AppError, CanceledError, error_reply
from glassine.utils.errors import UserError, printable
from glassine.utils.files import atomic_path

State = Literal["waiting", "running", "done", "failed", "canceled"]
RECORD = "job.json"
KEPT_JOBS = 1000  # the oldest finished ones are forgotten beyond that
SECONDS_TO_STOP = 5.0  # how long the app waits at its end for jobs between two steps


@dataclass
class Result:
    """A file that a job made.

    Attributes:
        name: what it is called; never a path.
        file: where it lies in the job's folder.
        about: what the page shows: size, frames, seed.
    """

    name: str
    file: str
    bytes: int
    about: dict[str, Any] = field(default_factory=dict)


@dataclass
class Job:
    """One piece of work and what became of it."""

    id: str
    kind: str
    title: str
    settings: dict[str, Any] = field(default_factory=dict)
    state: State = "waiting"
    done: int = 0
    total: int = 0
    what: str = ""
    created: float = 0.0
    started: float | None = None
    ended: float | None = None
    error: str | None = None
    status: int = 200
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ("done", "failed", "canceled")

    def as_json(self, ahead: int = 0) -> dict[str, Any]:
        """What clients see; `ahead` is the number of jobs that run before it."""
        now = self.ended or time.time()
        seconds = now - self.started if self.started else 0.0
        left = None
        if self.state == "running" and 0 < self.done < self.total and seconds > 0.5:
            left = round(seconds * (self.total - self.done) / self.done, 1)
        found = asdict(self) | {"seconds": round(seconds, 2), "seconds_left": left, "ahead": ahead}
        for result in found["results"]:
            del result["file"]
            result["url"] = f"/v1/jobs/{self.id}/files/{result['name']}"
        return found


class Context:
    """What a job's work is given: its folder, and how it tells of progress and results."""

    def __init__(self, job: Job, folder: Path, seconds: float, canceled: threading.Event) -> None:
        self.job, self.folder = job, folder
        self._deadline, self._seconds, self._canceled = time.monotonic() + seconds, seconds, canceled

    def progress(self, done: int, total: int, what: str = "") -> None:
        """Say how far it is; ends the job if it was canceled or takes too long.

        Raises:
            CanceledError: the user canceled it.
            AppError: it takes longer than is allowed.
        """
        if self._canceled.is_set():
            raise CanceledError
        if time.monotonic() > self._deadline:
            raise AppError(
                504, f"a job must take at most {self._seconds / 60:g} minutes: give it less, or --max-minutes"
            )
        self.job.done, self.job.total, self.job.what = done, total, what

    def path(self, name: str) -> Path:
        """Where a result of this name goes."""
        return self.folder / name

    def add(self, path: Path, name: str | None = None, **about: Any) -> None:
        """Publish a written file as a result."""
        relative = path.relative_to(self.folder).as_posix()
        self.job.results.append(Result(name or path.name, relative, path.stat().st_size, about))


Work = Callable[[Context], None]


@dataclass
class _Entry:
    job: Job
    folder: Path
    canceled: threading.Event = field(default_factory=threading.Event)


class JobQueue:
    """The jobs of one results folder.

    Args:
        folder: where jobs get their folders; made if it does not exist.
        seconds: longest that one may run.
        waiting: most that may wait.
    """

    def __init__(self, folder: Path, seconds: float = 1800.0, waiting: int = 500) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._seconds, self._waiting = folder, seconds, waiting
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._lanes: dict[str, SimpleQueue[tuple[_Entry, Work] | None]] = {}
        self._threads: list[threading.Thread] = []
        self._load()

    def submit(self, kind: str, title: str, work: Work, settings: dict[str, Any], lane: str = "cpu") -> Job:
        """Add a job to the end of a device's queue.

        Raises:
            AppError: too many jobs are waiting.
            OSError: its folder cannot be made.
        """
        with self._lock:
            waiting = sum(entry.job.state == "waiting" for entry in self._entries.values())
            if waiting >= self._waiting:
                raise AppError(429, f"at most {self._waiting} jobs may wait, got one more: try again later")
            stamp = time.strftime("%Y%m%d-%H%M%S")
            job = Job(f"{stamp}-{kind}-{secrets.token_hex(4)}", kind, title, settings, created=time.time())
            entry = _Entry(job, self._folder / job.id)
            entry.folder.mkdir()
            self._entries[job.id] = entry
            if lane not in self._lanes:
                self._lanes[lane] = SimpleQueue()
                self._threads.append(threading.Thread(target=self._run_lane, args=(self._lanes[lane],), daemon=True))
                self._threads[-1].start()
        self._save(entry)
        self._lanes[lane].put((entry, work))
        return job

    def jobs(self) -> list[Job]:
        """All, the newest first."""
        with self._lock:
            return [entry.job for entry in reversed(self._entries.values())]

    def get(self, name: str) -> Job:
        """One job.

        Raises:
            AppError: there is none of this name.
        """
        return self._entry(name).job

    def as_json(self, job: Job) -> dict[str, Any]:
        """The job as clients see it, with its place in the queue."""
        before = [other for other in reversed(self.jobs()) if not other.is_over and other.created < job.created]
        return job.as_json(len(before) if job.state == "waiting" else 0)

    def file(self, name: str, result: str) -> Path:
        """Where a result lies.

        Raises:
            AppError: there is no such job or result.
        """
        entry = self._entry(name)
        for one in entry.job.results:
            if one.name == result and (path := entry.folder / one.file).is_file():
                return path
        raise AppError(404, f"job {name} has no result {printable(result)!r}: it was removed, or never made")

    def hidden_file(self, name: str, file: str) -> Path:
        """A file of a job that is no result, such as its film; `file` comes from us, not from a client."""
        path = self._entry(name).folder / file
        if not path.is_file():
            raise AppError(404, f"job {name} has no {file}")
        return path

    def cancel(self, name: str) -> Job:
        """Stop a job; one that is over stays as it is."""
        entry = self._entry(name)
        entry.canceled.set()
        with self._lock:
            if entry.job.state == "waiting":
                entry.job.state, entry.job.ended = "canceled", time.time()
        self._save(entry)
        return entry.job

    def remove(self, name: str) -> None:
        """Delete a job that is over, and what it made.

        Raises:
            AppError: it is not over.
        """
        entry = self._entry(name)
        if not entry.job.is_over:
            raise AppError(409, "a job must be over before it is removed: cancel it first")
        with self._lock:
            self._entries.pop(name, None)
        shutil.rmtree(entry.folder, ignore_errors=True)

    def clean(self, days: float) -> int:
        """Remove jobs that ended more than `days` ago, and the oldest beyond `KEPT_JOBS`; returns how many."""
        over = [job for job in self.jobs() if job.is_over]
        old = [job for job in over if time.time() - (job.ended or job.created) > 86_400 * days]
        for job in {job.id: job for job in (*old, *over[KEPT_JOBS:])}.values():
            with contextlib.suppress(AppError):
                self.remove(job.id)
        return len(old)

    def close(self) -> None:
        """Cancel everything, and wait a little for running jobs to stop at their next step and write their records."""
        for job in self.jobs():
            if not job.is_over:
                self._entries[job.id].canceled.set()
        for lane in self._lanes.values():
            lane.put(None)
        deadline = time.monotonic() + SECONDS_TO_STOP
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _entry(self, name: str) -> _Entry:
        with self._lock:
            entry = self._entries.get(name)
        if entry is None:
            raise AppError(404, f"there is no job {printable(name)[:80]!r}: it was removed, or never made")
        return entry

    def _run_lane(self, lane: SimpleQueue[tuple[_Entry, Work] | None]) -> None:
        while (item := lane.get()) is not None:
            self._run(*item)
            del item  # its work holds settings, which would stay until the next job

    def _run(self, entry: _Entry, work: Work) -> None:
        job = entry.job
        with self._lock:
            if job.state != "waiting":
                return
            job.state, job.started = "running", time.time()
        state: State = "done"
        try:
            self._save(entry)
            context = Context(job, entry.folder, self._seconds, entry.canceled)
            context.progress(0, job.total, "starting")
            work(context)
            job.done = job.total = max(job.total, 1)
        except CanceledError:
            state = "canceled"
        except Exception as error:
            reply = error_reply(error)
            job.error, job.status, job.problems = reply.text, reply.status, reply.problems
            state = "failed"
        job.ended = time.time()
        job.state = state  # last: whoever waits for it sees the rest
        self._save(entry)

    def _save(self, entry: _Entry) -> None:
        """Write the record; a disk that is full then costs the record, not the job."""
        with contextlib.suppress(OSError, UserError), atomic_path(entry.folder / RECORD) as path:
            path.write_text(json.dumps(asdict(entry.job), ensure_ascii=False) + "\n", encoding="utf-8")

    def _load(self) -> None:
        """Read the jobs of earlier runs; those that were not over are said to be interrupted."""
        found = []
        for folder in self._folder.iterdir():
            try:
                content = json.loads((folder / RECORD).read_text(encoding="utf-8"))
                job = Job(**{**content, "results": [Result(**result) for result in content["results"]]})
            except (OSError, ValueError, TypeError, KeyError):
                continue  # no job, or one that was killed while its folder was made
            if job.id == folder.name and re.fullmatch(r"[\w-]+", job.id):
                found.append(_Entry(job, folder))
        for entry in sorted(found, key=lambda entry: entry.job.created):
            if not entry.job.is_over:
                entry.job.state, entry.job.ended = "failed", entry.job.started or entry.job.created
                entry.job.error, entry.job.status = "the app was stopped before this job was done: start it again", 503
                self._save(entry)
            self._entries[entry.job.id] = entry
