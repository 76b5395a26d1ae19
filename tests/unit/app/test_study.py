"""The study over HTTP."""

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.helpers.running_app import client
from tests.helpers.serving import in_thread
from tests.helpers.tiny_study import answers_of, tiny_study

from glassine.app.study import StudyServer
from glassine.study.answers import read_answers, read_raters
from glassine.study.markdown import to_markdown
from glassine.study.report import make_report
from glassine.utils.errors import UserError


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StudyServer]:
    tiny_study(tmp_path, items=2)
    with (
        StudyServer(tmp_path / "study") as server,
        in_thread(server.serve, server.shutdown, server.port),
    ):
        yield server


def ask(server: StudyServer, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    connection.request(method, path, content, {"Content-Type": kind} if content else {})
    reply = connection.getresponse()
    data = reply.read()
    connection.close()
    return reply.status, json.loads(data) if reply.getheader("Content-Type") == "application/json" else data


def test_it_listens_on_this_machine_only(server: StudyServer):
    assert server.url.startswith("http://127.0.0.1:")


def test_what_listens_to_others_is_called_by_this_machines_name(tmp_path: Path):
    tiny_study(tmp_path, items=1)
    with StudyServer(tmp_path / "study", host="0.0.0.0") as server:
        assert server.url == f"http://{socket.gethostname()}:{server.port}/"


def test_the_page_is_served_and_nothing_beside_it(server: StudyServer):
    assert b"<!doctype html>" in ask(server, "GET", "/")[1]
    clip = next(iter(server.key.clips))
    assert ask(server, "GET", f"/clips/{clip}.webp")[1][:4] == b"RIFF"
    for path in (
        "/key.json",
        "/../key.json",
        "/%2e%2e/key.json",
        "/answers/",
        "/clips/",
        "/..%2fkey.json",
        "//key.json",
    ):
        status, content = ask(server, "GET", path)
        assert status == 404
        assert b"ours" not in content


def test_answers_are_saved_before_the_reply_and_given_back(server: StudyServer, tmp_path: Path):
    study = {"study": server.key.study, "rater": "Anna"}
    assert ask(server, "GET", "/api/study") == (200, {"study": server.key.study})
    assert ask(server, "POST", "/api/start", study)[1]["answers"] == []
    given = answers_of(server.key, "ours")[:3]
    assert ask(server, "POST", "/api/answers", {**study, "answers": given}) == (200, {"saved": 3})
    assert len((tmp_path / "study/answers/anna.jsonl").read_text().splitlines()) == 4
    status, content = ask(server, "POST", "/api/start", study)
    assert (status, content["rater"], content["answers"]) == (200, "anna", given)


def test_requests_that_cannot_be_taken_are_told_why(server: StudyServer, tmp_path: Path):
    study = {"study": server.key.study, "rater": "anna"}
    for path, body, said in (
        ("/api/start", {**study, "study": "other"}, "another study"),
        ("/api/start", {**study, "rater": "../key"}, "letters"),
        ("/api/answers", {**study, "answers": [{"trial": "t0"}]}, "question"),
        ("/api/answers", {**study, "answers": "many"}, "must be an object"),
        ("/api/answers", b"{", "must be JSON"),
        ("/api/answers", [1], "must be an object"),
    ):
        status, content = ask(server, "POST", path, body)
        assert status == 400
        assert said in content["error"]
    # what another site's form could send
    assert ask(server, "POST", "/api/start", study, kind="text/plain")[0] == 400
    assert not list((tmp_path / "study/answers").iterdir())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:9"}, 200),
        ({"Host": "192.168.1.7:80"}, 200),
        ({"Host": "[::1]:8008"}, 200),
        ({"Host": socket.gethostname()}, 200),
        ({"Host": "study.example"}, 200),
        ({"Host": "evil.example:8008"}, 403),
        ({"Host": "localhost.evil.example"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "[::1"}, 403),
        ({"Host": "localhost", "Origin": "http://localhost"}, 200),
        ({"Host": "localhost", "Origin": "http://evil.example"}, 403),
        ({"Host": "localhost", "Origin": "null"}, 403),
        ({"Host": "localhost:8008", "Origin": "http://localhost:9009"}, 403),
    ],
)
@pytest.mark.parametrize("path", ["/", "/api/study", "/api/start"])
def test_only_its_own_page_and_names_of_this_machine_are_answered(server: StudyServer, headers, status, path):
    server.names.add("study.example")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    body = json.dumps({"study": server.key.study, "rater": "anna"}).encode()
    connection.putrequest("POST" if path == "/api/start" else "GET", path, skip_host="Host" in headers)
    given = {"Content-Type": "application/json", "Content-Length": str(len(body))} if path == "/api/start" else {}
    for name, value in {**headers, **given}.items():
        connection.putheader(name, value)
    connection.endheaders(body if given else None)
    assert connection.getresponse().status == status
    connection.close()


def test_fifty_raters_at_once_are_all_taken(server: StudyServer):
    sockets = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(100)]
    for connection in sockets:
        connection.sendall(b"GET /api/study HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    for connection in sockets:
        assert connection.makefile("rb").readline().startswith(b"HTTP/1.1 200")
        connection.close()


@pytest.mark.parametrize(
    "change",
    [
        {"ms": 10**400},
        {"ms": 10**4000},
        {"ms": -5},
        {"ms": "9" * 50},
        {"time": "\ud800", "background": "\udfff\x1b[31m"},
        {"time": "x" * 5000},
    ],
)
def test_an_odd_answer_breaks_no_report(server: StudyServer, tmp_path: Path, change):
    study = {"study": server.key.study, "rater": "anna"}
    answers = [{**answer, **change} for answer in answers_of(server.key, "ours")]
    assert ask(server, "POST", "/api/answers", {**study, "answers": answers}) == (200, {"saved": len(answers)})
    report = make_report(server.key, read_raters([tmp_path / "study/answers/anna.jsonl"], server.key, 0), resamples=20)
    json.dumps(report, allow_nan=False)
    assert to_markdown(report).encode()


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 50_000, b'"\xff"', b'{"ms": ' + b"9" * 100_000 + b"}"])
def test_a_request_that_is_built_to_hurt_is_answered(server: StudyServer, body):
    status, content = ask(server, "POST", "/api/answers", body)
    assert status == 400
    assert "JSON" in content["error"]


def test_a_failure_of_the_server_is_told(server: StudyServer, monkeypatch):
    monkeypatch.setattr(server.store, "save", lambda *_: 1 / 0)
    status, content = ask(server, "POST", "/api/answers", {"study": server.key.study, "rater": "anna"})
    assert (status, content) == (500, {"error": "the server could not use that request"})


def test_a_file_with_an_impossible_form_and_number_is_read(tmp_path: Path):
    key = tiny_study(tmp_path, items=2)
    lines = [{"study": key.study, "rater": "anna", "form": 10**30}]
    lines += [{**answer, "ms": 10**400} for answer in answers_of(key, "ours")]
    text = "\n".join(map(json.dumps, lines)) + "\n" + "[" * 50_000 + "\n"
    (tmp_path / "anna.jsonl").write_text(text)
    read = read_answers(tmp_path / "anna.jsonl", key)
    assert (read.form, read.unusable, len(read.answers)) == (0, 1, len(lines) - 1)


def test_a_disk_that_takes_nothing_is_told(server: StudyServer, tmp_path: Path):
    study = {"study": server.key.study, "rater": "anna"}
    (tmp_path / "study" / "answers").rmdir()
    status, content = ask(server, "POST", "/api/answers", {**study, "answers": answers_of(server.key, "ours")})
    assert status == 507
    assert "could not be saved" in content["error"]


def test_a_port_that_is_taken_and_no_study(server: StudyServer, tmp_path: Path):
    with pytest.raises(UserError, match="another --port"):
        StudyServer(tmp_path / "study", port=server.port)
    with pytest.raises(UserError, match="another --port"):
        StudyServer(tmp_path / "study", host="no such host")
    with pytest.raises(UserError, match="70000"):
        StudyServer(tmp_path / "study", port=70000)
    with pytest.raises(UserError, match="contains no study"):
        StudyServer(tmp_path)


def test_the_app_serves_a_study_beside_its_own_pages(tmp_path: Path):
    key = tiny_study(tmp_path, items=2)
    with client(tmp_path / "home", study=tmp_path / "study") as app:
        assert app.get("/v1/status").json()["study"] is True
        assert "<!doctype html>" in app.get("/study/").text
        assert app.get("/study/key.json").status_code == 404
        reply = app.post("/study/api/start", json={"study": key.study, "rater": "anna"})
        assert (reply.status_code, reply.json()["rater"]) == (200, "anna")
        answers = answers_of(key, "ours")[:2]
        reply = app.post("/study/api/answers", json={"study": key.study, "rater": "anna", "answers": answers})
        assert reply.json() == {"saved": 2}
