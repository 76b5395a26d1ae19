"""The review's page: what `glassine review serve` serves, and the app at `/review/`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fastapi import FastAPI

from glassine.app.answering import AnsweringServer, answering_site
from glassine.review.answers import ShareAnswers
from glassine.review.plan import STILLS_NAME, load_key
from glassine.study.plan import SITE_NAME
from glassine.study.site import CLIPS_NAME


def review_site(folder: Path) -> FastAPI:
    """The review in `folder` as an app, to be mounted or served.

    Args:
        folder: folder written by `build_review`.

    Returns:
        The app; its `state` has the review's `key` and the `store` of answers.

    Raises:
        UserError: there is no review.
    """
    key = load_key(folder)
    app = answering_site(folder / SITE_NAME, key.review, ShareAnswers(folder, key))
    app.state.key = key
    return app


class ReviewServer(AnsweringServer):
    """Serves the review in `folder` at `url`; start it with `serve`.

    Args:
        folder: folder written by `build_review`.
        host: see `AnsweringServer`.
        port: likewise.
        names: likewise.

    Raises:
        UserError: there is no review, or the address is not available.
    """

    def __init__(self, folder: Path, host: str = "127.0.0.1", port: int = 0, names: Sequence[str] = ()) -> None:
        site = review_site(folder)
        self.key, self.store = site.state.key, site.state.store
        super().__init__(site, host, port, names, (f"/{CLIPS_NAME}/", f"/{STILLS_NAME}/"))
