"""The API as clients use it."""

import io
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from tests.helpers.running_app import client, finished, gif

from glassine.app.limits import Limits
from glassine.data.codecs import decode_bytes
from glassine.pipelines.report import CutoutReport
from glassine.pipelines.unknown_background import Subject


@pytest.fixture
def app(tmp_path: Path) -> Iterator[TestClient]:
    with client(tmp_path / "home") as given:
        yield given


def test_a_gif_is_answered_with_a_transparent_webp(app: TestClient):
    reply = app.post("/v1/cutout", files={"file": ("walk.gif", gif())})
    assert (reply.status_code, reply.headers["content-type"]) == (200, "image/webp")
    assert 'filename="walk.webp"' in reply.headers["content-disposition"]
    sticker = decode_bytes(reply.content)
    assert (sticker.num_frames, sticker.duration_ms) == (4, 320)
    assert sticker.frames[0, 0, 0].tolist() == [0, 0, 0, 0]
    assert sticker.frames[0, 16, 6].tolist() == [200, 30, 60, 255]
    assert app.get(reply.headers["location"]).json()["state"] == "done"


def test_the_settings_of_a_form_are_followed(app: TestClient):
    data = {"format": "png", "outline": "3", "outline_color": "#0000ff", "background": "#c81e3c"}
    reply = app.post("/v1/cutout", files={"file": ("walk.gif", gif())}, data=data)
    assert reply.headers["content-type"] == "image/png"
    sticker = decode_bytes(reply.content)
    assert (sticker.height, sticker.width) == (40, 40)  # room for the border on each side
    assert sticker.frames[0, 4 + 16, 4 + 6, 3] < 255  # the square has the background's color now
    assert sticker.frames[0, 4 + 1, 4 + 1].tolist() == [255, 255, 255, 255]
    assert sticker.frames[0, 2, 16].tolist() == [0, 0, 255, 255]


def test_how_it_is_cut_out_reaches_the_pipeline(app: TestClient, monkeypatch):
    calls = []
    monkeypatch.setattr(
        "tests.helpers.running_app.WhiteCutter.stream",
        lambda self, frames, *_, **how: calls.append(how) or iter(list(frames)),
    )
    data = {"method": "closed-form", "opacity": "translucent", "force": "true", "subject": "0.1,0.2,0.9,1"}
    assert app.post("/v1/cutout", files={"file": ("walk.gif", gif())}, data=data).status_code == 200
    assert (calls[0]["method"], calls[0]["opacity"], calls[0]["force"]) == ("closed-form", "translucent", True)
    assert calls[0]["subject"] == Subject(0.1, 0.2, 0.9, 1.0)
    for wrong in ("a", "0.5", "0.1,2", "0.9,0.1,0.2,0.8", "nan,0.5"):
        reply = app.post("/v1/cutout", files={"file": ("walk.gif", gif())}, data={"subject": wrong})
        assert reply.status_code == 400
        assert "subject must be" in reply.json()["error"]
    reply = app.post("/v1/cutout", files={"file": ("walk.gif", gif())}, data={"method": "network", "subject": ".5,.5"})
    assert "method network" in reply.json()["error"]
    assert app.post("/v1/cutout", files={"file": ("a.gif", gif())}, data={"method": "magic"}).status_code == 422


def test_a_guess_is_called_one_in_words_of_the_page(tmp_path: Path, monkeypatch):
    report = CutoutReport(background="unknown", fit=0.1, frames=4, kept=0.5)
    monkeypatch.setattr("tests.helpers.running_app.CutoutReport", lambda: report)
    with client(tmp_path / "home") as other:
        reply = other.post("/v1/cutout?wait=20", files={"file": ("walk.gif", gif())}).json()
    assert "the result is a guess" in reply["notes"][-1]
    assert "--" not in reply["notes"][-1]


def test_a_job_runs_without_its_client_and_its_files_stay(app: TestClient, tmp_path: Path):
    upload = app.post("/v1/files", files={"file": ("walk.gif", gif())}).json()
    assert (upload["width"], upload["frames"], upload["duration_ms"], upload["opaque"]) == (32, 4, 320, True)
    job = app.post("/v1/cutout?wait=0", data={"source": upload["id"]})
    assert job.status_code == 202
    done = finished(app, job.json())
    assert (done["state"], done["done"], done["total"]) == ("done", 4, 4)
    assert app.get(done["results"][0]["url"]).content[:4] == b"RIFF"
    saved = app.get(done["results"][0]["url"] + "?download=1")
    assert saved.headers["content-disposition"].startswith("attachment")
    assert list((tmp_path / "home/results").glob("*/walk.webp"))
    with Image.open(io.BytesIO(app.get(f"/v1/jobs/{done['id']}/film").content)) as film:
        about = done["results"][0]["about"]["film"]
        assert film.width == about["columns"] * about["width"]
    assert app.delete(f"/v1/jobs/{done['id']}").status_code == 204
    assert app.get(f"/v1/jobs/{done['id']}").status_code == 404
    assert not list((tmp_path / "home/results").glob("*/walk.webp"))


def test_jobs_are_there_after_the_app_was_started_again(tmp_path: Path):
    with client(tmp_path / "home") as app:
        job = app.post("/v1/cutout?wait=5", files={"file": ("walk.gif", gif())}).json()
    with client(tmp_path / "home") as app:
        (found,) = app.get("/v1/jobs").json()
        assert (found["id"], found["state"]) == (job["id"], "done")
        assert app.get(found["results"][0]["url"]).status_code == 200


def test_what_was_not_done_when_the_app_stopped_is_said(tmp_path: Path):
    with client(tmp_path / "home", pause=0.1) as app:
        job = app.post("/v1/cutout?wait=0", files={"file": ("walk.gif", gif(30))}).json()
        record = tmp_path / "home/results" / job["id"] / "job.json"
        kept = record.read_text().replace('"waiting"', '"running"')
    record.write_text(kept)  # as a killed process leaves it
    with client(tmp_path / "home") as app:
        found = app.get(f"/v1/jobs/{job['id']}").json()
        assert found["state"] == "failed"
        assert "stopped before" in found["error"]


def test_a_running_job_and_a_waiting_one_are_canceled(tmp_path: Path):
    with client(tmp_path / "home", pause=0.1) as app:
        first, second = (app.post("/v1/cutout?wait=0", files={"file": ("walk.gif", gif(40))}).json() for _ in range(2))
        assert app.get(f"/v1/jobs/{second['id']}").json()["ahead"] == 1
        assert app.delete(f"/v1/jobs/{first['id']}").status_code == 409
        started = time.monotonic()
        for job in (second, first):
            app.post(f"/v1/jobs/{job['id']}/cancel")
            assert finished(app, job)["state"] == "canceled"
        assert time.monotonic() - started < 3
        assert app.get(f"/v1/jobs/{first['id']}").json()["results"] == []


def test_progress_and_an_estimate_are_told(tmp_path: Path):
    with client(tmp_path / "home", pause=0.1) as app:
        job = app.post("/v1/cutout?wait=0", files={"file": ("walk.gif", gif(20))}).json()
        left = []
        while (found := app.get(f"/v1/jobs/{job['id']}").json())["state"] != "done":
            left += [found["seconds_left"]] if found["seconds_left"] else []
            time.sleep(0.05)
        assert 0 < left[-1] < left[0] < 5


@pytest.mark.parametrize(
    ("data", "status", "said"),
    [
        ({"strength": "2"}, 422, "strength must be less than or equal to 1, got '2'"),
        ({"format": "bmp"}, 422, "format must be"),
        ({"background": "nocolor"}, 400, "CSS color"),
        ({"strokes": "{"}, 400, "stroke"),
        ({"strokes": '[{"frame": 99, "mode": "keep", "radius": 0.1, "points": [[0, 0]]}]'}, 400, "below 4"),
        ({"strokes": '[{"frame": 0, "mode": "burn", "radius": 0.1, "points": [[0, 0]]}]'}, 400, "keep or remove"),
        ({"source": "x"}, 400, "both"),
    ],
)
def test_settings_that_cannot_be_used_are_told_with_a_status(app: TestClient, data, status, said):
    reply = app.post("/v1/cutout", files={"file": ("walk.gif", gif())}, data=data)
    assert (reply.status_code, said in reply.json()["error"]) == (status, True), reply.text


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (b"", 415, "empty"),
        (b"no picture at all", 415, "note.gif"),
        (gif()[:200], 415, "note.gif"),
        (gif(30), 413, "at most 20 frames"),
        (gif(2, 400), 413, "at most 100,000 pixels, got 400x400"),
        (b"GIF89a" + bytes(80_000), 413, "at most 0.05 MB"),
    ],
)
def test_files_beyond_the_limits_are_refused(tmp_path: Path, content, status, said):
    with client(tmp_path, limits=Limits(upload_bytes=50_000, frame_pixels=100_000, frames=20)) as app:
        for address in ("/v1/files", "/v1/cutout"):
            reply = app.post(address, files={"file": ("note.gif", content)})
            assert (reply.status_code, said in reply.json()["error"]) == (status, True), reply.text
            assert str(tmp_path) not in reply.text
        assert list((tmp_path / "files").iterdir()) == []
        assert app.get("/v1/jobs").json() == []


def test_a_request_without_length_is_cut_off(tmp_path: Path):
    def endless() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.gif"\r\n\r\n'
        for _ in range(100):
            yield bytes(100_000)

    with client(tmp_path, limits=Limits(upload_bytes=1000)) as app:
        head = {"Content-Type": "multipart/form-data; boundary=x"}
        reply = app.post("/v1/files", content=endless(), headers=head)
        assert reply.status_code == 413
        assert "MB" in reply.json()["error"]


def test_a_job_that_takes_too_long_ends(tmp_path: Path):
    with client(tmp_path, pause=0.2, limits=Limits(job_seconds=0.3)) as app:
        reply = app.post("/v1/cutout", files={"file": ("walk.gif", gif(20))})
        assert reply.status_code == 504
        assert "minutes" in reply.json()["error"]


def test_only_so_many_jobs_wait(tmp_path: Path):
    with client(tmp_path, pause=0.3, limits=Limits(waiting=1)) as app:
        codes = [app.post("/v1/cutout?wait=0", files={"file": ("a.gif", gif())}).status_code for _ in range(4)]
        assert codes[0] == 202
        assert codes[-1] == 429


def test_a_full_disk_is_told_and_loses_nothing(app: TestClient, tmp_path: Path, monkeypatch):
    done = app.post("/v1/cutout?wait=9", files={"file": ("walk.gif", gif())}).json()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("glassine.app.files.FileStore._copy", full)
        reply = app.post("/v1/files", files={"file": ("walk.gif", gif())})
        assert (reply.status_code, "disk is full" in reply.json()["error"]) == (507, True)
    with monkeypatch.context() as patch:
        patch.setattr("glassine.app.film.Film.save", full)
        reply = app.post("/v1/cutout", files={"file": ("walk.gif", gif())})
        assert (reply.status_code, "disk is full" in reply.json()["error"]) == (507, True)
    assert app.get(done["results"][0]["url"]).status_code == 200


@pytest.mark.parametrize(
    "name", ["../../../evil.gif", "..\\..\\evil.gif", "/etc/evil.gif", ".evil.gif", "a/b/evil.gif", "C:\\evil.gif"]
)
def test_a_file_name_is_never_a_path(app: TestClient, tmp_path: Path, name):
    reply = app.post("/v1/cutout?wait=9", files={"file": (name, gif())}).json()
    assert reply["results"][0]["name"] == "evil.webp"
    places = {path.parent.parent.name for path in tmp_path.rglob("*") if path.is_file() and path.parent.name != "home"}
    assert places == {"files", "results"}


@pytest.mark.parametrize(
    "path",
    [
        "/v1/files/..%2f..%2fetc",
        "/v1/files/20260101-000000-000000000000",
        "/v1/jobs/..",
        "/v1/jobs/%2e%2e/files/x",
        "/v1/jobs/x/files/..%2fjob.json",
        "/static/../main.py",
        "/static/%2e%2e/main.py",
        "/nothing",
    ],
)
def test_what_is_not_there_is_404(app: TestClient, path):
    reply = app.get(path)
    assert reply.status_code == 404
    assert reply.json()["error"]


def test_the_record_of_a_job_is_no_result(app: TestClient):
    job = app.post("/v1/cutout?wait=9", files={"file": ("walk.gif", gif())}).json()
    assert app.get(f"/v1/jobs/{job['id']}/files/job.json").status_code == 404


def test_a_stroke_brings_back_what_was_cut_and_follows_the_motion(app: TestClient):
    stroke = '[{"frame": 0, "mode": "remove", "radius": 0.2, "points": [[0.3, 0.5]]}]'
    reply = app.post("/v1/cutout", files={"file": ("walk.gif", gif(4, 64))}, data={"strokes": stroke})
    sticker = decode_bytes(reply.content)
    assert sticker.frames[0, 32, 18, 3] == 0
    alone = app.post(
        "/v1/cutout", files={"file": ("walk.gif", gif(4, 64))}, data={"strokes": stroke, "over_time": "false"}
    )
    assert decode_bytes(alone.content).frames[1, 32, 18, 3] == 255
    keep = '[{"frame": 0, "mode": "keep", "radius": 0.1, "points": [[0.9, 0.1]]}]'
    reply = app.post("/v1/cutout", files={"file": ("walk.gif", gif(4, 64))}, data={"strokes": keep})
    assert decode_bytes(reply.content).frames[:, 6, 58].tolist() == [[255, 255, 255, 255]] * 4


def test_a_pack_of_uploads_and_results(app: TestClient):
    upload = app.post("/v1/files", files={"file": ("walk.gif", gif(4, 64))}).json()
    cut = app.post("/v1/cutout?wait=9", data={"source": upload["id"]}).json()
    sources = [f"{cut['id']}/walk.webp"] * 3
    body = {
        "stickers": [{"source": source, "emoji": "😀"} for source in sources],
        "platforms": ["whatsapp", "telegram"],
        "name": "Walks",
    }
    reply = app.post("/v1/pack?wait=60", json=body)
    assert reply.status_code == 200, reply.text
    names = [result["name"] for result in reply.json()["results"]]
    assert names == [
        "whatsapp.zip", "whatsapp-contact-sheet.png", "telegram.zip", "telegram-contact-sheet.png",
        "report.md", "report.json",
    ]  # fmt: skip
    archive = zipfile.ZipFile(io.BytesIO(app.get(reply.json()["results"][0]["url"]).content))
    assert "contents.json" in archive.namelist()


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"platforms": ["nowhere"]}, 400, "platform must be one of"),
        ({"platforms": ["whatsapp"]}, 400, "3 to 30 stickers, got 1"),
        ({"platforms": []}, 422, "platforms"),
        ({"stickers": []}, 422, "stickers"),
        ({"name": "x" * 65}, 400, "1 to 64 characters"),
        ({"cover": 1}, 400, "cover must be below 1"),
        ({"emoji": "abc"}, 400, "emoji must be"),
        ({"source": "nothing/x"}, 404, "no job"),
    ],
)
def test_packs_that_cannot_be_made_are_told_why(app: TestClient, change, status, said):
    upload = app.post("/v1/files", files={"file": ("walk.gif", gif(4, 64))}).json()
    sticker = {"source": change.pop("source", upload["id"]), "emoji": change.pop("emoji", "😀")}
    body = {"stickers": [sticker], "platforms": ["telegram"], **change}
    reply = app.post("/v1/pack?wait=30", json=body)
    assert (reply.status_code, said in reply.text) == (status, True), reply.text


def test_a_clip_that_is_too_long_needs_leave_to_be_trimmed(app: TestClient):
    upload = app.post("/v1/files", files={"file": ("walk.gif", gif(5, 64, 2000))}).json()
    body = {"stickers": [{"source": upload["id"]}], "platforms": ["telegram"]}
    reply = app.post("/v1/pack?wait=30", json=body)
    assert (reply.status_code, "at most 3 s, got 10 s" in reply.json()["problems"][0]) == (400, True)
    assert app.post("/v1/pack?wait=60", json={**body, "too_long": "trim"}).status_code == 200


def test_a_prompt_is_needed_and_too_many_stickers_are_refused(tmp_path: Path):
    with client(tmp_path, limits=Limits(stickers=2)) as app:
        assert app.post("/v1/generate", json={"prompt": ""}).status_code == 422
        assert app.post("/v1/generate?wait=20", json={"prompt": "  "}).status_code == 400
        assert app.post("/v1/generate", json={"prompt": "cat", "seeds": [1, 2, 3]}).status_code == 400
        assert app.post("/v1/generate", json={"prompt": "cat", "motion": 12}).status_code == 422
        files = {"file": ("a.gif", gif())}
        reply = app.post("/v1/animate", data={"prompt": "cat", "seeds": "one"}, files=files)
        assert (reply.status_code, "numbers with commas" in reply.text) == (400, True)
        assert app.post("/v1/animate", data={"prompt": "cat"}).status_code == 400


def test_old_uploads_and_results_are_removed(app: TestClient):
    app.post("/v1/cutout", files={"file": ("walk.gif", gif())})
    state = app.app.state  # type: ignore[attr-defined]
    assert (state.jobs.clean(1), state.files.clean(1)) == (0, 0)
    assert (state.jobs.clean(-1), state.files.clean(-1)) == (1, 1)
    assert app.get("/v1/jobs").json() == []


def test_the_description_of_the_api_names_every_endpoint(app: TestClient):
    paths = app.get("/openapi.json").json()["paths"]
    assert {"/v1/cutout", "/v1/generate", "/v1/animate", "/v1/pack", "/v1/jobs/{name}"} <= paths.keys()
    assert all(one["summary"] for methods in paths.values() for one in methods.values())


def test_strength_changes_half_transparent_pixels_only():
    from glassine.app.cutting import with_strength

    frame = np.zeros((1, 3, 4), np.uint8)
    frame[0, :, 3] = 0, 128, 255
    assert with_strength(frame, 0.5) is frame
    strong, weak = with_strength(frame, 1)[0, :, 3], with_strength(frame, 0)[0, :, 3]
    assert strong[1] < 128 < weak[1]
    assert strong[[0, 2]].tolist() == weak[[0, 2]].tolist() == [0, 255]
