"""The whole way on the page alone: files and words in, zips of packs out, with the shipped networks."""

import base64
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.helpers.browser import MARKS, Browser, opened, serious, until

from glassine.app.main import create_app
from glassine.app.networks import Networks
from glassine.app.serving import Server
from glassine.data.codecs import write_sticker
from glassine.data.sources.procedural import ProceduralStickers
from glassine.data.sticker import Sticker
from glassine.pipelines.pack.check import check_packs

pytest.importorskip("selenium.webdriver", reason="needs the package selenium: pip install '.[full]'")
pytestmark = [*MARKS, pytest.mark.timeout(3600)]

from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.support.ui import Select  # noqa: E402

PLATFORMS = ["telegram", "whatsapp", "discord", "signal", "line", "slack"]
CUT_OUT, GENERATED, ANIMATED, VARIED = 17, 2, 1, 4  # 24 together, which LINE takes
SIDE, FRAMES = 96, 5
PATIENCE = 1800
DROP = """
const [files] = arguments;
const data = new DataTransfer();
for (const [name, content] of files) {
  data.items.add(new File([Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0))], name));
}
document.body.dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: data }));
"""
DRAG = """
const [from, to] = [0, 2].map((index) => document.querySelectorAll(".slot")[index]);
const how = { bubbles: true, cancelable: true, dataTransfer: new DataTransfer() };
from.dispatchEvent(new DragEvent("dragstart", how));
to.dispatchEvent(new DragEvent("dragover", how));
to.dispatchEvent(new DragEvent("drop", how));
"""

READ = """
const [address, done] = arguments;
const reader = new FileReader();
reader.onload = () => done(reader.result);
fetch(address).then((reply) => reply.blob()).then((blob) => reader.readAsDataURL(blob));
"""


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    app = create_app(tmp_path / "home", networks=Networks("cpu"))
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(app,))
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with opened(tmp_path / "downloads") as driver:
        yield driver


def opaque_gifs(folder: Path, count: int) -> list[Path]:
    source = ProceduralStickers(seed=11, size=SIDE, num_frames=FRAMES, length=2 * count)
    moving = [clip for clip in (source[number].frames for number in range(2 * count)) if (clip != clip[:1]).any()]
    paths = []
    for number, frames in enumerate(moving[:count]):
        alpha = frames[..., 3:].astype(np.float32) / 255
        flat = (frames[..., :3] * alpha + 255 * (1 - alpha)).round().astype(np.uint8)
        whole = np.concatenate([flat, np.full_like(flat[..., :1], 255)], axis=-1)
        paths.append(folder / f"s{number:02d}.gif")
        write_sticker(Sticker(whole, (200,) * FRAMES), paths[-1])
    return paths


def find(browser: Browser, css: str) -> list:
    return browser.find_elements(By.CSS_SELECTOR, css)


def texts(browser: Browser, css: str) -> list[str]:
    """What is shown at each place; read at once, since lists are drawn anew while jobs go on."""
    script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.innerText)"
    return browser.execute_script(script, css)


def click_all(browser: Browser, css: str) -> None:
    browser.execute_script("[...document.querySelectorAll(arguments[0])].forEach((one) => one.click())", css)


def go(browser: Browser, page: str) -> None:
    browser.execute_script("location.hash = arguments[0]", page)
    until(lambda: browser.find_element(By.ID, page).is_displayed())


def fill(browser: Browser, **values: object) -> None:
    for name, value in values.items():
        field = browser.find_element(By.ID, name.replace("_", "-"))
        field.clear()
        field.send_keys(str(value))


def press(browser: Browser, element) -> None:
    browser.execute_script("arguments[0].click()", element)


def tiles(browser: Browser, page: str) -> list:
    return find(browser, f"#{page}-results .tile:not(.pending)")


def test_a_pack_of_24_from_words_and_files_for_six_platforms(browser: Browser, url: str, tmp_path: Path):
    browser.get(url)
    until(lambda: find(browser, "#platforms label"))
    files = [(path.name, base64.b64encode(path.read_bytes()).decode()) for path in opaque_gifs(tmp_path, CUT_OUT)]
    browser.execute_script(DROP, files)
    until(lambda: sum("done" in text for text in texts(browser, ".file .what")) == CUT_OUT, PATIENCE)
    for number, name in enumerate(texts(browser, "#cutout-files .file .name")):
        browser.execute_script("document.querySelectorAll('#cutout-files .file')[arguments[0]].click()", number)
        until(lambda name=name: texts(browser, ".file[aria-current] .name") == [name])
        until(lambda: browser.find_element(By.ID, "to-pack").is_displayed())
        click_all(browser, "#to-pack")
        until(lambda count=number + 1: len(texts(browser, ".slot")) == count)

    go(browser, "generate")
    fill(browser, prompt="a happy cat", generate_count=GENERATED, generate_steps=4)
    browser.find_element(By.CSS_SELECTOR, "#generate-form button.strong").click()
    until(lambda: len(tiles(browser, "generate")) == GENERATED, PATIENCE)
    until(lambda: not find(browser, "#generate-results progress"), PATIENCE)
    press(browser, tiles(browser, "generate")[0].find_element(By.CSS_SELECTOR, ".star"))
    press(browser, tiles(browser, "generate")[0].find_element(By.CSS_SELECTOR, '[aria-label^="Vary"]'))
    until(lambda: len(tiles(browser, "generate")) == GENERATED + VARIED, PATIENCE)  # nearby ones of the favorite
    until(lambda: not find(browser, "#generate-results progress"), PATIENCE)
    press(browser, tiles(browser, "generate")[-1].find_element(By.CSS_SELECTOR, '[aria-label^="Animate"]'))
    until(lambda: browser.find_element(By.ID, "animate").is_displayed())
    fill(browser, animate_prompt="waves hello", animate_count=ANIMATED)
    browser.find_element(By.CSS_SELECTOR, "#animate-form button.strong").click()
    until(lambda: len(tiles(browser, "animate")) == ANIMATED + VARIED, PATIENCE)
    until(lambda: not find(browser, "#animate-results progress"), PATIENCE)
    go(browser, "generate")
    until(lambda: len(tiles(browser, "generate")) == GENERATED + ANIMATED + VARIED)
    click_all(browser, "#generate-results .tile:not(.pending) [aria-label$='to the pack']")

    go(browser, "pack")
    until(lambda: len(find(browser, ".slot")) == 24)
    names = texts(browser, ".slot .name")
    browser.execute_script(DRAG)
    moved = [names[1], names[2], names[0], *names[3:]]
    until(lambda: texts(browser, ".slot .name") == moved)
    for number, emoji in enumerate("😀🔥"):
        press(browser, find(browser, ".slot .emoji-button")[number])
        until(lambda: browser.find_element(By.ID, "emoji").is_displayed())
        press(browser, find(browser, f'#emoji-list [aria-label="{emoji}"]')[0])
    assert [one.get_attribute("value") for one in find(browser, ".slot input")][:3] == ["😀", "🔥", ""]
    for box in find(browser, "#platforms input"):
        if box.is_selected() != (box.get_attribute("value") in PLATFORMS):
            press(browser, box)
    Select(browser.find_element(By.ID, "too-long")).select_by_value("speed-up")
    browser.find_element(By.CSS_SELECTOR, "#pack-form button.strong").click()
    until(lambda: find(browser, "#pack-results .problems") or len(find(browser, ".pack-card")) == 6, PATIENCE)
    assert texts(browser, "#pack-results .problems li") == []

    folder = tmp_path / "packs"
    folder.mkdir()
    for key, link in zip(PLATFORMS, find(browser, ".pack-card a.button"), strict=True):
        press(browser, link)
        saved = tmp_path / "downloads" / f"{key}.zip"
        until(saved.is_file)
        assert zipfile.ZipFile(saved).testzip() is None
        saved.rename(folder / saved.name)
    checked = check_packs(folder)
    assert sorted(one.platform for one in checked) == sorted(PLATFORMS)
    assert [problem for one in checked for problem in one.problems] == []
    content = json.loads(zipfile.ZipFile(folder / "telegram.zip").read("sticker_set.json"))
    assert "🔥" in str(content)
    for sheet in find(browser, ".pack-card img"):  # every sticker shows on light and on dark
        address = sheet.get_attribute("src")
        data = browser.execute_async_script(READ, address)
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2]))).convert("L"))
        assert picture.min() < 60 < 200 < picture.max()
        assert picture.std() > 20
    assert serious(browser) == []
