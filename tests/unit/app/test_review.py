"""The review over HTTP."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tests.helpers.running_app import client
from tests.helpers.serving import in_thread
from tests.helpers.tiny_review import answers_of, tiny_review

from glassine.app.review import ReviewServer, review_site
from glassine.review.answers import read_annotators
from glassine.review.plan import ReviewKey
from glassine.utils.errors import UserError


@pytest.fixture
def key(tmp_path: Path) -> ReviewKey:
    return tiny_review(tmp_path, prompts=2)


@pytest.fixture
def page(key: ReviewKey, tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(review_site(tmp_path / "review")) as page_client:
        yield page_client


def test_an_answer_is_in_the_file_when_the_reply_comes(page: TestClient, key: ReviewKey, tmp_path: Path):
    answers = answers_of(key, lambda clip: clip.teacher == "calm")
    assert page.get("/api/study").json() == {"study": key.review}
    assert page.post("/api/start", json={"study": key.review, "rater": "Anna"}).json()["answers"] == []
    reply = page.post("/api/answers", json={"study": key.review, "rater": "anna", "answers": answers})
    assert reply.json() == {"saved": 2}
    (anna,) = read_annotators([tmp_path / "review" / "answers" / "anna.jsonl"], key)
    assert [answer.chosen for answer in anna.answers.values()] == [tuple(one["chosen"]) for one in answers]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"rater": "proxy"}, "reserved"),
        ({"rater": "a b"}, "name must be"),
        ({"rater": "anna", "study": "other"}, "another study"),
    ],
)
def test_what_it_cannot_take_is_told(page: TestClient, key: ReviewKey, content: dict[str, str], says: str):
    reply = page.post("/api/start", json={"study": key.review, **content})
    assert reply.status_code == 400
    assert says in reply.json()["error"]


def test_one_wrong_answer_of_a_batch_saves_none(page: TestClient, key: ReviewKey, tmp_path: Path):
    good, bad = answers_of(key, lambda clip: True)
    bad["chosen"] = ["nothing"]
    reply = page.post("/api/answers", json={"study": key.review, "rater": "anna", "answers": [good, bad]})
    assert reply.status_code == 400
    assert not (tmp_path / "review" / "answers" / "anna.jsonl").exists()


def test_the_key_is_not_served(page: TestClient, key: ReviewKey):
    clip, still = next(iter(key.clips)), next(iter(key.trials.values())).still
    assert page.get(f"/clips/{clip}.webp").content[:4] == b"RIFF"
    assert page.get(f"/stills/{still}.png").status_code == 200
    for path in ("/key.json", "/../key.json", "/%2e%2e/key.json", "/answers/anna.jsonl"):
        assert page.get(path).status_code == 404


def test_it_is_served_until_it_is_stopped(key: ReviewKey, tmp_path: Path):
    with (
        ReviewServer(tmp_path / "review") as server,
        in_thread(server.serve, server.shutdown, server.port),
    ):
        assert server.url.startswith("http://127.0.0.1:")
    with pytest.raises(UserError, match="is no review"):
        ReviewServer(tmp_path)


def test_the_app_serves_a_review_beside_its_own_pages(key: ReviewKey, tmp_path: Path):
    with client(tmp_path / "home", review=tmp_path / "review") as app:
        status = app.get("/v1/status").json()
        assert (status["review"], status["study"]) == (True, False)
        assert "would you share" in app.get("/review/").text
        assert app.get("/review/key.json").status_code == 404
        reply = app.post("/review/api/start", json={"study": key.review, "rater": "anna"})
        assert (reply.status_code, reply.json()["rater"]) == (200, "anna")
