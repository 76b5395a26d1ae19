"""The page of `glassine curate choose` and `glassine curate label`: served by the study's server."""

import json
import shutil
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.staticfiles import StaticFiles

from glassine.app.answering import answering_app, answers_of, kept
from glassine.app.safety import Guard, machine_names
from glassine.app.serving import Server
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
from glassine.utils.errors import UserError

Say = Callable[[str], None]


def choice_site(site: Path, answers: Path, questions: list[Question], study: str, by: str) -> FastAPI:
    """A page of questions that keeps its answers, as an app.

    Args:
        site: folder with the page.
        answers: the file that answers go to.
        questions: what is asked.
        study: id of the questions.
        by: who answers.
    """
    app = answering_app()

    @app.post("/api/start")
    async def start(request: Request) -> dict[str, Any]:
        await answers_of(request, study)
        try:
            return {"answers": load_answers(answers)[0]}
        except UserError:
            return {"answers": {}}

    @app.post("/api/answers")
    async def take(request: Request) -> dict[str, Any]:
        given = {}
        for one in (await answers_of(request, study)).get("answers", []):
            texts = [one.get("name"), one.get("value")] if isinstance(one, dict) else [None]
            if not all(isinstance(text, str) for text in texts):
                raise UserError("each answer must be an object with name and value")
            given[one["name"]] = one["value"]
        return {"saved": await kept(save_answers, answers, questions, given, by)}

    app.mount("/", StaticFiles(directory=site, html=True))
    return app


class ChoiceServer(Server):
    """Serves `choice_site`, whose arguments it takes, on this machine; the checks are those of the study's server.

    Args:
        site: folder with the page.
        answers: the file that answers go to.
        questions: what is asked.
        study: id of the questions.
        by: who answers.
        port: 0 for any free one.

    Raises:
        UserError: the address is not available.
    """

    def __init__(
        self, site: Path, answers: Path, questions: list[Question], study: str, by: str, port: int = 0
    ) -> None:
        self.path = answers
        self._guard = Guard(choice_site(site, answers, questions, study, by), machine_names("127.0.0.1", ()))
        super().__init__("127.0.0.1", port)

    def serve(self) -> None:
        """Answer until `shutdown`, or until the process is told to stop."""
        self.serve_forever(self._guard)


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
        server.serve()


def choose_tests(dataset: Path, name: str, by: str, port: int, say: Say) -> None:
    """The page of a test set."""
    serve(dataset, name, f"{name}: choose one sticker a word", word_questions(dataset, name), by, port, say)


def label_domains(dataset: Path, count: int, by: str, port: int, say: Say) -> None:
    """The page of domains."""
    serve(dataset, "domain", "Real or cartoon?", domain_questions(dataset, count), by, port, say)
