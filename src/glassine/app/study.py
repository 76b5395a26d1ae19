"""The user study's page: what `glassine study serve` serves, and the app at `/study/`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fastapi import FastAPI

from glassine.app.answering import AnsweringServer, answering_site
from glassine.study.answers import AnswerStore
from glassine.study.plan import SITE_NAME, StudyKey, load_key
from glassine.study.site import CLIPS_NAME


def study_site(folder: Path) -> FastAPI:
    """The study in `folder` as an app, to be mounted or served.

    Args:
        folder: folder written by `build_study`.

    Returns:
        The app; its `state` has the study's `key` and the `store` of answers.

    Raises:
        UserError: there is no study.
    """
    key = load_key(folder)
    app = answering_site(folder / SITE_NAME, key.study, AnswerStore(folder, key))
    app.state.key = key
    return app


class StudyServer(AnsweringServer):
    """Serves the study in `folder` at `url`; start it with `serve`.

    Args:
        folder: folder written by `build_study`.
        host: see `AnsweringServer`.
        port: likewise.
        names: likewise.

    Raises:
        UserError: there is no study, or the address is not available.
    """

    def __init__(self, folder: Path, host: str = "127.0.0.1", port: int = 0, names: Sequence[str] = ()) -> None:
        site = study_site(folder)
        self.key: StudyKey = site.state.key
        self.store: AnswerStore = site.state.store
        super().__init__(site, host, port, names, (f"/{CLIPS_NAME}/",))
