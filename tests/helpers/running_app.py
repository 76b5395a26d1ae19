"""The app with a network that needs no weights, for fast tests."""

import io
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from fastapi.testclient import TestClient
from PIL import Image

from glassine.app.limits import Limits
from glassine.app.main import create_app
from glassine.app.networks import Networks
from glassine.pipelines.report import CutoutReport


class WhiteCutter:
    """Makes pixels clear that have the background's color (white where none is given)."""

    def __init__(self, pause: float = 0.0) -> None:
        self.pause, self.report = pause, CutoutReport()
        self.how: dict[str, Any] = {}

    def stream(
        self,
        frames: Iterable[tuple[np.ndarray, int]],
        background: Any = None,
        resolution: int = 256,
        chunk: int = 8,
        **how: Any,
    ) -> Iterator[tuple[np.ndarray, int]]:
        self.how = how
        for frame, duration in frames:
            time.sleep(self.pause)
            result = frame.copy()
            result[(frame[..., :3] == np.array(background or (255, 255, 255))).all(axis=-1)] = 0
            yield result, duration


class FakeNetworks(Networks):
    """Networks with a `WhiteCutter`."""

    def __init__(self, pause: float = 0.0) -> None:
        super().__init__("cpu")
        self._cutter = WhiteCutter(pause)

    def cutter(self) -> Any:
        return self._cutter


def walking(frames: int = 4, size: int = 32, color: tuple[int, int, int] = (200, 30, 60)) -> list[Image.Image]:
    """A square that walks over white."""
    pictures = []
    for number in range(frames):
        picture = np.full((size, size, 3), 255, np.uint8)
        left = 2 + number * max(1, size // (2 * frames))
        picture[size // 4 : size // 4 * 3, left : left + size // 3] = color
        pictures.append(Image.fromarray(picture))
    return pictures


def gif(frames: int = 4, size: int = 32, duration: int = 80) -> bytes:
    """The walking square as GIF."""
    data = io.BytesIO()
    first, *rest = walking(frames, size)
    first.save(data, "GIF", save_all=True, append_images=rest, duration=duration, loop=0)
    return data.getvalue()


def client(folder: Path, pause: float = 0.0, limits: Limits | None = None, **how: Any) -> TestClient:
    """A client of an app over `folder`; a context manager."""
    app = create_app(folder, networks=FakeNetworks(pause), limits=limits or Limits(), **how)
    return TestClient(app, base_url="http://localhost", raise_server_exceptions=False)


def finished(given: TestClient, job: dict[str, Any], seconds: float = 20) -> dict[str, Any]:
    """The job once it is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = given.get(f"/v1/jobs/{job['id']}").json()
        if found["state"] in ("done", "failed", "canceled"):
            return found
        time.sleep(0.02)
    raise AssertionError(f"job {job['id']} did not end")
