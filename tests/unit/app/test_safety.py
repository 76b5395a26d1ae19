"""Who is answered, and with what headers."""

import socket
from pathlib import Path

import pytest
from tests.helpers.running_app import client, gif

from glassine.app.files import safe_name
from glassine.app.main import create_app
from glassine.app.safety import is_loopback
from glassine.app.serving import Server
from glassine.utils.errors import UserError

TOKEN = "0123456789abcdef"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "127.0.0.1:8787"}, 200),
        ({"Host": "[::1]:8787"}, 200),
        ({"Host": "proxy.example"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "localhost.evil.example"}, 403),
        ({"Origin": "http://localhost"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:9000"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, 200),
    ],
)
def test_only_names_of_this_machine_and_own_pages_are_answered(tmp_path: Path, headers, status):
    with client(tmp_path, names=["proxy.example"]) as app:
        for path in ("/", "/v1/jobs", "/static/app.css"):
            assert app.get(path, headers=headers).status_code == status
        if status == 403:
            files = {"file": ("a.gif", gif())}
            assert app.post("/v1/cutout", files=files, headers=headers).status_code == 403


def test_headers_keep_a_response_from_being_anything_else(tmp_path: Path):
    with client(tmp_path) as app:
        for path in ("/", "/v1/jobs", "/nothing", "/v1/files/x"):
            headers = app.get(path).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert "script-src 'self'" in headers["content-security-policy"]
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert headers["cross-origin-resource-policy"] == "same-origin"
            assert "access-control-allow-origin" not in headers


def test_pages_load_nothing_from_elsewhere():
    import glassine.app

    for path in (Path(glassine.app.__file__).parent / "static").iterdir():
        text = path.read_text(encoding="utf-8")
        for part in ('src="http', 'href="http', 'from "http', "url(http", "//cdn", "onclick=", "style="):
            assert part not in text, f"{path.name} has {part}"


def test_a_token_is_asked_for_and_then_kept_by_the_browser(tmp_path: Path):
    with client(tmp_path, token=TOKEN) as app:
        for path in ("/v1/jobs", "/v1/files/x", "/openapi.json", "/static/main.js"):
            assert app.get(path).status_code == 401
        assert app.get("/").status_code == 401
        assert app.get("/?token=wrong").status_code == 401
        assert app.get("/v1/jobs", headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert app.get("/v1/jobs", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
        reply = app.get(f"/?token={TOKEN}")
        assert "HttpOnly; SameSite=Strict" in reply.headers["set-cookie"]
        assert app.get("/v1/jobs").status_code == 200  # the client holds the cookie
        assert TOKEN not in app.get("/").text


def test_a_second_app_is_told_of_the_first(tmp_path: Path):
    app = create_app(tmp_path / "home")
    try:
        with pytest.raises(UserError, match="one writer of results at a time"):
            create_app(tmp_path / "home")
    finally:
        app.state.close()
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(UserError, match="give another --port"):
        Server(port=other.getsockname()[1])


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("walk.gif", "walk.gif"),
        ("喵 cat.webp", "喵 cat.webp"),
        ("../../x", "x"),
        ("a\x00b\n.gif", "a_b_.gif"),
        ("CON.gif", "_CON.gif"),
        ("...", "sticker"),
        ("", "sticker"),
        ("<script>.svg", "_script_.svg"),
        ("x" * 500 + ".gif", "x" * 80 + ".gif"),
    ],
)
def test_names_are_made_safe(given, kept):
    assert safe_name(given) == kept


def test_what_is_loopback():
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "127.8.9.1")] == [True] * 4
    assert [is_loopback(host) for host in ("0.0.0.0", "::", "10.0.0.1", "example.com")] == [False] * 4


def test_a_fault_of_the_app_is_told_without_its_details(tmp_path: Path, monkeypatch, capsys):
    with client(tmp_path) as app:
        monkeypatch.setattr("glassine.app.files.FileStore.add", lambda *_: 1 / 0)
        reply = app.post("/v1/files", files={"file": ("a.gif", gif())})
        assert reply.status_code == 500
        assert reply.json()["error"] == "glassine failed (ZeroDivisionError); its terminal shows where"
        assert reply.headers["x-content-type-options"] == "nosniff"
