"""The page of `glassine curate choose` and `glassine curate label`: served by the study's server."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from functools import partial
from http.server import ThreadingHTTPServer
from importlib.resources import as_file, files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from glassine.curation.choosing import (
    Question,
    choice_path,
    domain_questions,
    load_answers,
    page_plan,
    save_answers,
    word_questions,
    write_clips,
)
from glassine.study.server import StudyServer, _Handler
from glassine.utils.errors import UserError

Say = Callable[[str], None]


class ChoiceServer(StudyServer):
    """Serves a page of questions and keeps its answers; the checks of who asks are the study server's.

    Args:
        site: folder with the page.
        answers: the file that answers go to.
        questions: what is asked.
        study: id of the questions.
        by: who answers.
        port: 0 for any free one.

    Raises:
        UserError: the address cannot be had.
    """

    def __init__(
        self, site: Path, answers: Path, questions: list[Question], study: str, by: str, port: int = 0
    ) -> None:
        self.key = SimpleNamespace(study=study)  # type: ignore[assignment]
        self.path, self.questions, self.by = answers, questions, by
        self.address_family = socket.AF_INET
        try:
            ThreadingHTTPServer.__init__(self, ("127.0.0.1", port), partial(_ChoiceHandler, directory=str(site)))
        except (OSError, OverflowError) as error:
            raise UserError(f"cannot serve at port {port} ({error}); give another --port") from error
        self.names = {"localhost", socket.gethostname().lower()}


class _ChoiceHandler(_Handler):
    server: ChoiceServer  # type: ignore[assignment]

    def _take(self, content: dict[str, Any]) -> dict[str, Any]:
        if self.path == "/api/start":
            try:
                return {"answers": load_answers(self.server.path)[0]}
            except UserError:
                return {"answers": {}}
        if self.path != "/api/answers":
            raise UserError("there is no such address here")
        given = {}
        for one in content.get("answers", []):
            if (
                not isinstance(one, dict)
                or not isinstance(one.get("name"), str)
                or not isinstance(one.get("value"), str)
            ):
                raise UserError("each answer must be an object with name and value")
            given[one["name"]] = one["value"]
        return {"saved": save_answers(self.server.path, self.server.questions, given, self.server.by)}


def write_site(site: Path, plan: dict[str, Any]) -> None:
    """Put the page and its plan into a folder that has the clips."""
    with as_file(files("glassine.curation") / "static") as static:
        for file in sorted(static.iterdir()):
            shutil.copyfile(file, site / file.name)
    (site / "plan.js").write_text(f"window.PLAN = {json.dumps(plan)};\n", encoding="utf-8")


def serve(dataset: Path, name: str, title: str, questions: list[Question], by: str, port: int, say: Say) -> None:
    """Write a page's folder and serve it until Ctrl+C."""
    if not questions:
        raise UserError(f"{dataset} has nothing to ask about for {name}")
    site = dataset / ".work" / "pages" / name
    plan = page_plan(title, questions, write_clips(dataset, questions, site / "clips"))
    write_site(site, plan)
    with ChoiceServer(site, choice_path(dataset, name), questions, plan["study"], by, port) as server:
        say(f"{server.url} - {len(questions)} questions; answers go to {server.path}; stop with Ctrl+C")
        server.serve_forever()


def choose_tests(dataset: Path, name: str, by: str, port: int, say: Say) -> None:
    """The page of a test set."""
    serve(dataset, name, f"{name}: choose one sticker a word", word_questions(dataset, name), by, port, say)


def label_domains(dataset: Path, count: int, by: str, port: int, say: Say) -> None:
    """The page of domains."""
    serve(dataset, "domain", "Real or cartoon?", domain_questions(dataset, count), by, port, say)
