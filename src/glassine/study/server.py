"""The files to compare, the folder for raters, and a small server for it that collects answers.

The folder contains one page, its plan and its clips, and works in any browser, with or without a server. It does not
contain the key.
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
    """An item for which every method has a sticker.

    Attributes:
        name: file name without suffix.
        files: each method's sticker, in the order of the methods.
    """

    name: str
    files: Mapping[str, Path]


def parse_methods(arguments: Iterable[str]) -> dict[str, Path]:
    """Read `NAME=FOLDER` arguments.

    Raises:
        UserError: an invalid argument, a duplicate name, a missing folder, or fewer than two methods.
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
            raise UserError(f"method {name!r}: there is no folder {folder}; give the folder with its stickers")
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
        UserError: a folder without stickers, with two of one name, or with names that differ from the others.
    """
    found = {method: _stickers(folder) for method, folder in methods.items()}
    names = sorted(set().union(*found.values()))
    lacking = {method: [name for name in names if name not in files] for method, files in found.items()}
    if any(lacking.values()):
        said = "; ".join(f"{method} lacks {shortened(gone)}" for method, gone in lacking.items() if gone)
        raise UserError(f"the folders contain different stickers: {said}; use the same file names for every method")
    return [Item(name, {method: files[name] for method, files in found.items()}) for name in names]


def _stickers(folder: Path) -> dict[str, Path]:
    """Name to file, for formats with alpha, including folders of PNGs with their timing; no hidden files, no pipes."""
    stickers = dict[str, Path]()
    for path in sorted(folder.iterdir()):
        file = path.is_file() and path.suffix.lower() in SUFFIXES[:-1]
        known = file or (path / TIMING_NAME).is_file()
        if not known or path.name.startswith("."):
            continue
        name = path.name if path.is_dir() else path.stem
        if name in stickers:
            raise UserError(f"{folder} contains {stickers[name].name} and {path.name}; keep one sticker per name")
        stickers[name] = path
    if not stickers:
        raise UserError(f"{folder} contains no stickers; known suffixes are {', '.join(SUFFIXES[:-1])}")
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
    """The data of the page, which does not mention methods or files.

    Args:
        title: title of the page.
        questions: questions asked for each trial.
        backgrounds: `checker` or `#rrggbb`; the first one is shown first.
        ties: whether "no difference" is an answer.
        trials: the comparisons.
        forms: orders and sides.
        names: method and item to the name of their clip.
        prompts: item to its prompt.

    Returns:
        JSON values; an entry of a form is the number of a trial followed by those of its clips from left to right. `id`
        changes whenever anything else does.
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
    """Write the page and its plan to an existing folder; the clips go to `clips` next to them."""
    with as_file(files("glassine.study") / "static") as static:
        for file in sorted(static.iterdir()):
            shutil.copyfile(file, folder / file.name)
    # a script, since a page opened from a file cannot fetch JSON
    (folder / PLAN_NAME).write_text(f"window.STUDY = {json.dumps(plan)};\n", encoding="utf-8")


_MOST_BYTES = 1 << 20
_POLICY = "default-src 'self'; img-src 'self' blob: data:; base-uri 'none'; frame-ancestors 'none'"


class StudyServer(ThreadingHTTPServer):
    """Serves the study in `folder` at `url`; start it with `serve_forever`.

    Args:
        folder: folder written by `build_study`.
        host: loopback unless raters are on other machines; there is no password.
        port: 0 for any free port.
        names: additional host names of this server, for instance that of a proxy.

    Requests are only accepted for a name of this machine or a bare address: otherwise a third-party page whose name is
    pointed here (DNS rebinding) could read every rater's answers.

    Raises:
        UserError: there is no study, or the address is not available.
    """

    daemon_threads = True
    request_queue_size = 256  # a whole class may start at once

    def __init__(self, folder: Path, host: str = "127.0.0.1", port: int = 0, names: Sequence[str] = ()) -> None:
        self.key: StudyKey = load_key(folder)
        site = folder / SITE_NAME
        if not (site / "index.html").is_file():
            raise UserError(f"{folder} has no page ({SITE_NAME}/index.html is missing); build the study again")
        self.store = AnswerStore(folder, self.key)
        if not 0 <= port <= 65535:
            raise UserError(f"port must be in [1, 65535], or 0 for any free port, got {port}")
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
        """The page's URL, as seen from other machines if the server accepts them."""
        host, port = str(self.server_address[0]), self.server_address[1]
        if host in ("0.0.0.0", "::"):
            host = socket.gethostname()
        return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore browsers that disconnect during a response."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "glassine", ""
    timeout = 60  # seconds; silent connections are closed
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
        """Whether the request comes from this server's own page; if not, it is rejected here."""
        host, origin = self.headers.get("Host"), self.headers.get("Origin")
        if not self.server.is_called(host):
            says = f"this server is not {printable(host or 'nothing')}; add the name with --name if it is yours"
        elif origin is not None and urlsplit(origin).netloc.lower() != (host or "").lower():
            says = f"pages of {printable(origin)} may not send requests to this server"
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
        except Exception as error:  # report it to the rater and keep serving
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
                raise UserError("no such address")

    def _content(self) -> dict[str, Any]:
        """The request's JSON object, of this study.

        Other sites' pages cannot send `application/json` here without a CORS preflight request, which this server does
        not answer.
        """
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _MOST_BYTES:
            self.close_connection = True
            raise UserError("a request must declare a length of at most 1 MiB: send fewer answers at a time")
        body = self.rfile.read(int(length))
        if self.headers.get_content_type() != "application/json":
            raise UserError("a request must be of type application/json, got another type")
        try:
            content = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise UserError("a request must be JSON that is not nested too deeply, got something else") from error
        if not isinstance(content, dict) or not isinstance(content.get("answers", []), list):
            raise UserError("a request must be an object with rater, study and answers, got another form")
        if content.get("study") != self.server.key.study:
            raise UserError("the page belongs to another study; reload it")
        return content

    def _answer(self, status: HTTPStatus, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def end_headers(self) -> None:
        # clip names depend on their content; everything else may change with the next study at this address
        kept = getattr(self, "path", "").startswith(f"/{CLIPS_NAME}/")
        self.send_header("Cache-Control", "max-age=86400" if kept else "no-store")
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def list_directory(self, path: str | os.PathLike[str]) -> None:
        self.send_error(HTTPStatus.NOT_FOUND, "no such page")

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass
