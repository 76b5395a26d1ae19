"""`glassine app` as a process: addresses, token, second instance, the shipped network, and the end."""

import http.client
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.helpers.running_app import client, gif

from glassine.__main__ import main
from glassine.data.codecs import decode_bytes


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen, str]]:
    """The process and the first word that it prints, its address."""
    command = [sys.executable, "-m", "glassine", "app", "--folder", str(folder), "--port", "0", "--no-browser"]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().split()[0]
    finally:
        process.kill()
        process.communicate()


@pytest.mark.full
def test_a_gif_through_the_shipped_network(tmp_path: Path):
    with serving(tmp_path / "home") as (process, address):
        boundary = "part"
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="walk.gif"\r\n\r\n'
        body = head.encode() + gif(4, 64) + f"\r\n--{boundary}--\r\n".encode()
        request = urllib.request.Request(
            f"{address}v1/cutout?wait=60", body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        )
        with urllib.request.urlopen(request, timeout=200) as reply:
            job = json.load(reply)
        while job["state"] not in ("done", "failed"):
            with urllib.request.urlopen(f"{address}v1/jobs/{job['id']}", timeout=60) as reply:
                job = json.load(reply)
        with urllib.request.urlopen(address.rstrip("/") + job["results"][0]["url"], timeout=60) as reply:
            sticker = decode_bytes(reply.read())
        assert sticker.frames[0, 0, 0, 3] == 0
        assert sticker.frames[0, 32, 10, 3] == 255
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 143


def test_a_second_instance_is_told_of_the_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with serving(tmp_path / "home") as (_, address):
        port = address.rstrip("/").rpartition(":")[2]
        given = ["app", "--no-browser", "--folder", str(tmp_path / "other"), "--port", port]
        assert main(given) == 2
        assert "is running at" in capsys.readouterr().err
        assert main([*given[:3], str(tmp_path / "home"), "--port", "0"]) == 2
    assert "writer" in capsys.readouterr().err


def test_with_a_host_a_token_is_needed(tmp_path: Path):
    with serving(tmp_path / "home", "--host", "0.0.0.0") as (_, address):
        token = address.partition("?token=")[2]
        assert len(token) == 32
        port = int(address.partition("/?")[0].rpartition(":")[2])
        codes = []
        for headers in ({}, {"Authorization": f"Bearer {token}"}):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            connection.request("GET", "/v1/jobs", headers=headers)
            codes.append(connection.getresponse().status)
            connection.close()
        assert codes == [401, 200]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--token", "short"], "--token must be at least 16"),
        (["--max-upload", "0"], "upload bytes must be more than 0"),
        (["--port", "70000"], "port must be in"),
        (["--host", "no such host"], "cannot serve at"),
        (["--study", "nowhere"], "contains no study"),
    ],
)
def test_settings_that_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str], options, said):
    assert main(["app", "--no-browser", "--folder", str(tmp_path / "home"), "--port", "0", *options]) == 2
    assert said in capsys.readouterr().err


def memory() -> int:
    """Resident bytes of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.full
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_memory_is_flat_over_a_hundred_jobs(tmp_path: Path):
    content = gif(12, 256)
    with client(tmp_path) as app:
        seen = []
        for number in range(120):
            reply = app.post("/v1/cutout", files={"file": (f"{number}.gif", content)})
            assert reply.status_code == 200
            seen.append(memory())
    assert seen[-1] - seen[19] < 2**24, [round(one / 1e6) for one in seen[::10]]
