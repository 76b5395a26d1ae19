"""The files that are compared, the folder that raters get, and a small server for it that collects answers.

The folder holds one page, its plan and its clips, and works in any browser, with or without a server. The key is not in
it.
"""

from __future__ import annotations

import errno
import hashlib
import ipaddress
import json
import os
import shutil
import socket
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from glassine.data.codecs.io import SUFFIXES
from glassine.data.codecs.sequence import TIMING_NAME
from glassine.study.answers import AnswerStore
from glassine.study.plan import SITE_NAME, Form, Question, StudyKey, Trial, load_key
from glassine.utils.errors import OUTPUT_ERRORS, UserError, printable

_NAMED = 3


@dataclass(frozen=True)
class Item:
    """What every method made a sticker of.

    Attributes:
        name: of the files, without suffix.
        files: each method's sticker, in the order of the methods.
    """

    name: str
    files: Mapping[str, Path]


def parse_methods(arguments: Iterable[str]) -> dict[str, Path]:
    """Read `NAME=FOLDER` arguments.

    Raises:
        UserError: not of that form, a name that comes twice, no such folder, or fewer than two methods.
    """
    methods = dict[str, Path]()
    for argument in arguments:
        name, equals, folder = argument.partition("=")
        name = name.strip()
        if not (name and equals and folder):
            raise UserError(f"--method must be NAME=FOLDER, such as ours=out/ours, got {argument}")
        if name in methods:
            raise UserError(f"methods must have different names, got {name!r} twice")
        if not Path(folder).is_dir():
            raise UserError(f"method {name!r}: there is no folder {folder}; give the folder that holds its stickers")
        methods[name] = Path(folder)
    if len(methods) < 2:
        found = f"only method {next(iter(methods))!r}" if methods else "no method"
        raise UserError(
            f"a study must compare at least two methods, got {found}: --method NAME=FOLDER --method NAME2=FOLDER2"
        )
    return methods


def match_items(methods: Mapping[str, Path]) -> list[Item]:
    """The stickers that all methods have, sorted by name; suffixes may differ.

    Raises:
        UserError: a folder without stickers, with two of one name, or with other names than the rest.
    """
    found = {method: _stickers(folder) for method, folder in methods.items()}
    names = sorted(set().union(*found.values()))
    lacking = {method: [name for name in names if name not in files] for method, files in found.items()}
    if any(lacking.values()):
        said = "; ".join(f"{method} lacks {shortened(gone)}" for method, gone in lacking.items() if gone)
        raise UserError(f"the folders hold different stickers: {said}; give every method the same file names")
    return [Item(name, {method: files[name] for method, files in found.items()}) for name in names]


def _stickers(folder: Path) -> dict[str, Path]:
    """Name to file: what can hold alpha, folders of PNGs with their timing included; not hidden files, not pipes."""
    stickers = dict[str, Path]()
    for path in sorted(folder.iterdir()):
        file = path.is_file() and path.suffix.lower() in SUFFIXES[:-1]
        known = file or (path / TIMING_NAME).is_file()
        if not known or path.name.startswith("."):
            continue
        name = path.name if path.is_dir() else path.stem
        if name in stickers:
            raise UserError(f"{folder} holds {stickers[name].name} and {path.name}; keep one sticker of each name")
        stickers[name] = path
    if not stickers:
        raise UserError(f"{folder} holds no stickers; known suffixes are {', '.join(SUFFIXES[:-1])}")
    return stickers


def shortened(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


CLIPS_NAME = "clips"
PLAN_NAME = "plan.js"


def page_plan(
    title: str,
    questions: Sequence[Question],
    backgrounds: Sequence[str],
    ties: bool,
    trials: Sequence[Trial],
    forms: Sequence[Form],
    names: Mapping[tuple[str, str], str],
    prompts: Mapping[str, str],
) -> dict[str, Any]:
    """What the page knows, without a word about methods and files.

    Args:
        title: of the page.
        questions: what is asked of each trial.
        backgrounds: `checker` or `#rrggbb`; the first one is shown first.
        ties: whether "no difference" is an answer.
        trials: what is compared.
        forms: orders and sides.
        names: method and item to the name of their clip.
        prompts: item to what it was asked to show.

    Returns:
        JSON values; a form's entry is the number of a trial, then of its clips from left to right. `id` changes with
        anything else in it.
    """
    clips = {trial.id: sorted(names[method, trial.item] for method in trial.methods) for trial in trials}
    numbers = {trial.id: number for number, trial in enumerate(trials)}
    plan: dict[str, Any] = {
        "title": title,
        "questions": [{"name": question.name, "text": question.text} for question in questions],
        "backgrounds": list(backgrounds),
        "ties": ties,
        "trials": [
            {"id": trial.id, "prompt": prompts.get(trial.item, ""), "clips": clips[trial.id]} for trial in trials
        ],
        "forms": [
            [
                [numbers[trial.id], *(clips[trial.id].index(names[method, trial.item]) for method in showing.methods)]
                for showing in form
                for trial in [showing.trial]
            ]
            for form in forms
        ],
    }
    return {"id": hashlib.blake2b(json.dumps(plan).encode(), digest_size=6).hexdigest(), **plan}


def write_page(folder: Path, plan: Mapping[str, Any]) -> None:
    """Put the page and its plan into an existing folder; the clips come into `clips` beside them."""
    with as_file(files("glassine.study") / "static") as static:
        for file in sorted(static.iterdir()):
            shutil.copyfile(file, folder / file.name)
    # a script, since a page that was opened from a file may not read JSON
    (folder / PLAN_NAME).write_text(f"window.STUDY = {json.dumps(plan)};\n", encoding="utf-8")


_MOST_BYTES = 1 << 20
_POLICY = "default-src 'self'; img-src 'self' blob: data:; base-uri 'none'; frame-ancestors 'none'"


class StudyServer(ThreadingHTTPServer):
    """Serves the study in `folder`; `serve_forever` begins, `url` says where.

    Args:
        folder: that `build_study` wrote.
        host: loopback unless raters sit at other machines; there is no password.
        port: 0 for any free one.
        names: further names that browsers may call this server by, for instance that of a proxy before it.

    A request is taken only under a name of this machine or a bare address: a page of somebody else's whose name is made
    to point here (DNS rebinding) could read every rater's answers otherwise.

    Raises:
        UserError: no study there, or the address cannot be had.
    """

    daemon_threads = True
    request_queue_size = 256  # a class that begins at once

    def __init__(self, folder: Path, host: str = "127.0.0.1", port: int = 0, names: Sequence[str] = ()) -> None:
        self.key: StudyKey = load_key(folder)
        site = folder / SITE_NAME
        if not (site / "index.html").is_file():
            raise UserError(f"{folder} has no page ({SITE_NAME}/index.html is missing); build the study again")
        self.store = AnswerStore(folder, self.key)
        if not 0 <= port <= 65535:
            raise UserError(f"port must be in [1, 65535], or 0 for any free one, got {port}")
        try:
            self.address_family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            super().__init__((host, port), partial(_Handler, directory=str(site)))
        except (OSError, UnicodeError) as error:
            reason = (getattr(error, "strerror", None) or str(error)).lower()
            raise UserError(f"cannot serve at {host}:{port} ({reason}); give another --port or --host") from error

        own = socket.gethostname().lower()
        self.names = {"localhost", host.lower(), own, f"{own}.local", *(name.lower().rstrip(".") for name in names)}

    def is_called(self, host: str | None) -> bool:
        """Whether a `Host` header names this machine."""
        try:
            name = urlsplit(f"//{host or ''}").hostname
        except ValueError:
            return False
        if not name:
            return False
        try:
            ipaddress.ip_address(name.partition("%")[0])
        except ValueError:
            return name.rstrip(".") in self.names
        return True

    @property
    def url(self) -> str:
        """The page's address, as another machine would call it where the server listens to others."""
        host, port = str(self.server_address[0]), self.server_address[1]
        if host in ("0.0.0.0", "::"):
            host = socket.gethostname()
        return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over browsers that went away in the middle of an answer."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "glassine", ""
    timeout = 60  # seconds; a connection that says nothing is let go
    server: StudyServer

    def do_GET(self) -> None:
        if not self._is_meant():
            return
        if self.path == "/api/study":
            self._answer(HTTPStatus.OK, {"study": self.server.key.study})
        else:
            super().do_GET()

    def do_HEAD(self) -> None:
        if self._is_meant():
            super().do_HEAD()

    def _is_meant(self) -> bool:
        """Whether the request was sent to this machine by its own page; if not, it is refused here."""
        host, origin = self.headers.get("Host"), self.headers.get("Origin")
        if not self.server.is_called(host):
            says = f"this server is not called {printable(host or 'nothing')}; name it with --name if it is yours"
        elif origin is not None and urlsplit(origin).netloc.lower() != (host or "").lower():
            says = f"a page of {printable(origin)} may not ask this server"
        else:
            return True
        self.close_connection = True
        self._answer(HTTPStatus.FORBIDDEN, {"error": says})
        return False

    def do_POST(self) -> None:
        if not self._is_meant():
            return
        try:
            status, reply = HTTPStatus.OK, self._take(self._content())
        except UserError as error:
            status, reply = HTTPStatus.BAD_REQUEST, {"error": str(error)}
        except OSError as error:
            reason = OUTPUT_ERRORS.get(error.errno or 0) or os.strerror(error.errno or errno.EIO).lower()
            self.log_error("answers could not be saved: %s", reason)
            status, reply = HTTPStatus.INSUFFICIENT_STORAGE, {"error": f"the answers could not be saved: {reason}"}
        except Exception as error:  # the rater is told, and the server goes on
            self.log_error("a request failed: %s", repr(error)[:500])
            status, reply = HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "the server could not use that request"}
        self._answer(status, reply)

    def _take(self, content: dict[str, Any]) -> dict[str, Any]:
        match self.path:
            case "/api/start":
                return asdict(self.server.store.start(content.get("rater")))
            case "/api/answers":
                return {"saved": self.server.store.save(content.get("rater"), content.get("answers", []))}
            case _:
                raise UserError("there is no such address here")

    def _content(self) -> dict[str, Any]:
        """The request's JSON object, of this study.

        Another site's page cannot send `application/json` here without being asked about first, which this server
        does not answer.
        """
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _MOST_BYTES:
            self.close_connection = True
            raise UserError("a request must state a length of at most 1 MiB: send fewer answers at a time")
        body = self.rfile.read(int(length))
        if self.headers.get_content_type() != "application/json":
            raise UserError("a request must be of type application/json, got another one")
        try:
            content = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise UserError("a request must be JSON that is not nested too deep, got something else") from error
        if not isinstance(content, dict) or not isinstance(content.get("answers", []), list):
            raise UserError("a request must be an object with rater, study and answers, got another form")
        if content.get("study") != self.server.key.study:
            raise UserError("the page is of another study than this server; load it again")
        return content

    def _answer(self, status: HTTPStatus, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def end_headers(self) -> None:
        # clips are named by what they hold, all else may change with the next study at this address
        kept = getattr(self, "path", "").startswith(f"/{CLIPS_NAME}/")
        self.send_header("Cache-Control", "max-age=86400" if kept else "no-store")
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def list_directory(self, path: str | os.PathLike[str]) -> None:
        self.send_error(HTTPStatus.NOT_FOUND, "there is no such page")

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass
