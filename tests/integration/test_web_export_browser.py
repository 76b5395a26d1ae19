"""The page without a server: its cut-outs in a real browser against Python's, and that it asks nobody else."""

import base64
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from PIL import Image
from tests.helpers.browser import MARKS, Browser, opened, serious, until

from glassine.__main__ import main
from glassine.app.serving import Server
from glassine.data.codecs import decode_bytes, write_sticker
from glassine.data.sources.procedural import ProceduralStickers
from glassine.data.sticker import Sticker
from glassine.pipelines.cutout import CutoutPipeline

pytest.importorskip("selenium.webdriver", reason="needs the package selenium: pip install '.[full]'")
pytestmark = MARKS

from selenium.webdriver.common.by import By  # noqa: E402

DROP = """
const [name, content] = arguments;
const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
const data = new DataTransfer();
data.items.add(new File([bytes], name));
document.body.dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: data }));
"""
SHARED = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The exported page; ONNX Runtime Web comes out of the cache, or through npm."""
    folder = tmp_path_factory.mktemp("site") / "web"
    if main(["export", "web", "--to", str(folder)]) != 0:
        pytest.skip("the page needs ONNX Runtime Web: run `glassine export web` once with a network connection")
    return folder


@contextmanager
def served(folder: Path, headers: dict[str, str]) -> Iterator[tuple[str, list[str]]]:
    """The page's address on a static server with these headers, and the paths that were asked for."""
    from starlette.applications import Starlette
    from starlette.staticfiles import StaticFiles

    asked: list[str] = []
    site = Starlette()
    site.mount("/", StaticFiles(directory=folder, html=True))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += [(name.lower().encode(), value.encode()) for name, value in headers.items()]
            await send(message)

        if scope["type"] == "http":
            asked.append(scope["path"])
        await site(scope, receive, with_headers)

    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(app,))
        thread.start()
        try:
            yield server.url, asked
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with opened(tmp_path / "downloads") as driver:
        yield driver


def opaque(size: tuple[int, int], frames: int, color: tuple[int, int, int], seed: int = 3) -> Sticker:
    """A procedural sticker on a color, cropped to height and width."""
    drawn = ProceduralStickers(seed=seed, size=max(size), num_frames=frames, length=1)[0].frames
    drawn = drawn[:, : size[0], : size[1]]
    alpha = drawn[..., 3:].astype(np.float32) / 255
    flat = (drawn[..., :3] * alpha + np.float32(color) * (1 - alpha)).round().astype(np.uint8)
    return Sticker(np.concatenate([flat, np.full_like(flat[..., :1], 255)], axis=-1), (80,) * frames)


def cut_in_page(
    browser: Browser, name: str, content: bytes, downloads: Path, seconds: float = 600
) -> tuple[Sticker, str]:
    """The result that the page lets one download, and what it says about it."""
    browser.execute_script(DROP, name, base64.b64encode(content).decode())
    says = lambda: browser.find_element(By.ID, "state").text  # noqa: E731
    until(lambda: "a frame" in says() or browser.find_elements(By.CSS_SELECTOR, ".state.bad"), seconds)
    assert "a frame" in says(), says()
    text = says()
    link = browser.find_element(By.ID, "download")
    saved = downloads / link.get_attribute("download")
    saved.unlink(missing_ok=True)
    link.click()
    until(lambda: saved.is_file() and saved.stat().st_size > 0)
    return decode_bytes(saved.read_bytes()), text


def far_off(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Share of pixels whose alpha differs by more than 2 of 255."""
    return float((np.abs(ours[..., 3].astype(int) - theirs[..., 3]) > 2).mean())


@pytest.mark.parametrize("side", [256, 512, 160])
def test_alpha_is_pythons(browser: Browser, site: Path, tmp_path: Path, side: int):
    sticker = opaque((side, side), 6 if side == 256 else 2, (250, 240, 90))
    source = tmp_path / "in.png"
    write_sticker(sticker, source)
    began = time.perf_counter()
    pipeline = CutoutPipeline.from_pretrained(device="cpu")
    expected = pipeline(sticker, method="network")
    seconds = time.perf_counter() - began
    with served(site, SHARED if side == 256 else {}) as (url, asked):
        browser.get(url)
        found, text = cut_in_page(browser, "in.png", source.read_bytes(), tmp_path / "downloads")
        if side == 256:
            assert browser.execute_script("return crossOriginIsolated")
        entries = browser.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    print(f"\n{side}: {text}; torch {1000 * seconds / sticker.num_frames:.0f} ms a frame with loading")
    assert found.frames.shape == expected.frames.shape
    assert found.durations == expected.durations
    assert 0.02 < (found.frames[..., 3] > 0).mean() < 0.98
    assert far_off(found.frames, expected.frames) <= 0.001
    both = (found.frames[..., 3] == expected.frames[..., 3]) & (found.frames[..., 3] > 32)
    assert (np.abs(found.frames[both].astype(int) - expected.frames[both]).max(axis=-1) <= 2).mean() > 0.999
    assert serious(browser) == []
    assert all(entry.startswith((url, "blob:", "data:")) for entry in entries)  # nothing from elsewhere
    assert "/network/alpha.onnx" in asked


SOFTWARE_GPU = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan",
                "--use-vulkan=swiftshader", "--ignore-gpu-blocklist")  # fmt: skip


def test_webgpu_gives_the_same_alpha(site: Path, tmp_path: Path):
    """On SwiftShader, which computes on the CPU what a graphics card would."""
    sticker = opaque((256, 256), 1, (250, 240, 90))
    source = tmp_path / "in.png"
    write_sticker(sticker, source)
    expected = CutoutPipeline.from_pretrained(device="cpu")(sticker, method="network")
    with opened(tmp_path / "downloads", *SOFTWARE_GPU) as browser, served(site, SHARED) as (url, asked):
        browser.get(url)
        ask = "navigator.gpu ? navigator.gpu.requestAdapter().then(arguments[0]) : arguments[0](null)"
        if browser.execute_async_script(ask) is None:
            pytest.skip("this Chromium has no software WebGPU")
        until(lambda: not browser.execute_script("return document.getElementById('gpu-row').hidden"))
        browser.execute_script("document.getElementById('gpu').click()")
        found, _ = cut_in_page(browser, "in.png", source.read_bytes(), tmp_path / "downloads")
    assert any("webgpu" in path for path in asked)
    assert far_off(found.frames, expected.frames) <= 0.001


@pytest.mark.parametrize("size", [(256, 144), (120, 256), (300, 512)])
def test_alpha_of_a_sticker_that_is_not_square_is_pythons(
    browser: Browser, site: Path, tmp_path: Path, size: tuple[int, int]
):
    sticker = opaque(size, 2, (250, 240, 90))
    write_sticker(sticker, tmp_path / "in.png")
    expected = CutoutPipeline.from_pretrained(device="cpu")(sticker, method="network")
    with served(site, {}) as (url, _):
        browser.get(url)
        found, _ = cut_in_page(browser, "in.png", (tmp_path / "in.png").read_bytes(), tmp_path / "downloads")
    assert found.frames.shape == expected.frames.shape
    assert 0.02 < (found.frames[..., 3] > 0).mean() < 0.98
    assert far_off(found.frames, expected.frames) <= 0.001


def test_gif_webp_still_and_what_is_no_picture(browser: Browser, site: Path, tmp_path: Path):
    sticker = opaque((96, 128), 2, (255, 255, 255))
    write_sticker(sticker, tmp_path / "in.gif")
    write_sticker(sticker, tmp_path / "in.webp")
    Image.fromarray(sticker.frames[0, ..., :3]).save(tmp_path / "still.png")
    downloads = tmp_path / "downloads"
    with served(site, {}) as (url, asked):
        browser.get(url)
        for name, count in (("in.gif", 2), ("in.webp", 2), ("still.png", 1)):
            found, text = cut_in_page(browser, name, (tmp_path / name).read_bytes(), downloads)
            assert text.startswith(f"{count} frame")
            assert found.frames.shape == (count, 96, 128, 4)
            assert (found.frames[:, 0, 0, 3] == 0).all()
            assert found.frames[..., 3].max() == 255
            browser.execute_script("document.getElementById('state').textContent = ''")
        before = len(asked)
        browser.find_element(By.CSS_SELECTOR, "#format option[value=webp]").click()
        found, _ = cut_in_page(browser, "in.webp", (tmp_path / "in.webp").read_bytes(), downloads)
        assert found.num_frames == 2
        assert found.durations == sticker.durations
        browser.execute_script(DROP, "note.gif", base64.b64encode(b"no picture").decode())
        until(lambda: "note.gif" in browser.find_element(By.ID, "state").text)
        assert "cannot be read" in browser.find_element(By.ID, "state").text
        assert all(re.fullmatch(r"/[\w./-]*", path) for path in asked)
        assert len(asked) == before  # a second file asks for nothing at all


def test_other_hosts_cannot_be_asked(browser: Browser, site: Path):
    with served(site, {}) as (url, _):
        browser.get(url)
        script = """const done = arguments[0];
        fetch("http://127.0.0.1:9/").then(() => done("sent")).catch(() => done("refused"));"""
        assert browser.execute_async_script(script) == "refused"
        assert any("Content Security Policy" in entry for entry in serious(browser))  # refused before it was sent
        for element in browser.find_elements(By.CSS_SELECTOR, "button, input, select, a, canvas[role]"):
            if element.is_displayed():
                assert element.accessible_name, element.get_attribute("outerHTML")


def test_the_runtime_alone_is_not_slower_than_a_few_times_python(browser: Browser, site: Path, tmp_path: Path):
    """Time a frame of the same two files, one thread each, in the same run; the docs quote it."""
    sticker = opaque((256, 256), 4, (255, 255, 255))
    write_sticker(sticker, tmp_path / "in.png")
    with served(site, SHARED) as (url, _):
        browser.get(f"{url}?threads=1")
        _, text = cut_in_page(browser, "in.png", (tmp_path / "in.png").read_bytes(), tmp_path / "downloads")
    match = re.search(r"network (\d+) ms", text)
    assert match is not None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    latents, alpha = (
        onnxruntime.InferenceSession(site / "network" / name, options, providers=["CPUExecutionProvider"])
        for name in ("latents.onnx", "alpha.onnx")
    )
    clip = np.moveaxis(sticker.frames[None, ..., :3], -1, 2).astype(np.float32) / 255
    began = time.perf_counter()
    (found,) = latents.run(None, {"clip": clip})
    for start in (0, 2):
        part = slice(start, start + 2)
        alpha.run(None, {"clip": clip[:, part], "latents": found[:, part], "background": np.ones((1, 3), np.float32)})
    ours = 1000 * (time.perf_counter() - began) / 4
    times = int(match[1]) / ours
    print(f"\nbrowser {match[1]} ms a frame, Python's ONNX Runtime {ours:.0f} ms: {times:.1f} times")
    assert times < 20
