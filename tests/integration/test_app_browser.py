"""The app's page in a real browser: files in, pixels out, and what happens in between."""

import base64
import threading
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.helpers.browser import MARKS, Browser, opened, serious, until
from tests.helpers.running_app import FakeNetworks, gif

from glassine.app.limits import Limits
from glassine.app.main import create_app
from glassine.app.serving import Server
from glassine.data.codecs import decode_bytes

pytest.importorskip("selenium.webdriver", reason="needs the package selenium: pip install '.[full]'")
pytestmark = MARKS

from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

DROP = """
const [name, content, target] = arguments;
const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
const data = new DataTransfer();
data.items.add(new File([bytes], name));
const how = { bubbles: true, cancelable: true, dataTransfer: data };
for (const kind of ["dragover", "drop"]) document.querySelector(target).dispatchEvent(new DragEvent(kind, how));
"""


class Running:
    """The app in a thread, with a network whose slowness can be changed."""

    def __init__(self, folder: Path) -> None:
        self.networks = FakeNetworks()
        self.app = create_app(folder, networks=self.networks, limits=Limits(frames=60))
        self.server = Server()
        self.url = self.server.url
        self._thread = threading.Thread(target=self.server.serve_forever, args=(self.app,))
        self._thread.start()

    def slow(self, seconds: float) -> None:
        self.networks.cutter().pause = seconds

    def stop(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.__exit__(None, None, None)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    app = Running(tmp_path / "home")
    yield app
    app.stop()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with opened(tmp_path / "downloads") as driver:
        yield driver


def drop(browser: Browser, name: str, content: bytes, target: str = "body") -> None:
    browser.execute_script(DROP, name, base64.b64encode(content).decode(), target)


def find(browser: Browser, css: str) -> list:
    return browser.find_elements(By.CSS_SELECTOR, css)


def state(browser: Browser) -> str:
    return browser.find_element(By.ID, "cutout-state").text


def stage_pixel(browser: Browser, x: float, y: float) -> list[int]:
    """Color of the screen at a share of the stage's width and height."""
    box = browser.execute_script(
        "const b = document.querySelector('#stage').getBoundingClientRect(); return [b.x, b.y, b.width, b.height]"
    )
    screen = np.asarray(Image.open(BytesIO(browser.get_screenshot_as_png())).convert("RGB"))
    return screen[int(box[1] + y * box[3]), int(box[0] + x * box[2])].tolist()


def is_red(color: list[int]) -> bool:
    return color[0] > 150 > color[1]


def cut(browser: Browser, running: Running, name: str = "walk.gif", frames: int = 4) -> None:
    browser.get(running.url)
    until(lambda: find(browser, "#platforms label"))
    drop(browser, name, gif(frames, 64))
    until(lambda: "done" in state(browser))


def test_drop_look_download_and_reload(browser: Browser, running: Running, tmp_path: Path):
    cut(browser, running)
    browser.find_element(By.CSS_SELECTOR, '[aria-label="Green"]').click()
    until(lambda: stage_pixel(browser, 0.75, 0.1) == [0x31, 0xC4, 0x6C])  # the result is clear there
    assert stage_pixel(browser, 0.4, 0.1) == [255, 255, 255]  # the original is white
    compare = browser.find_element(By.ID, "compare")
    compare.send_keys(Keys.END)
    until(lambda: stage_pixel(browser, 0.65, 0.1) == [255, 255, 255])  # all of the original
    compare.send_keys(Keys.HOME)
    until(lambda: stage_pixel(browser, 0.4, 0.1) == [0x31, 0xC4, 0x6C])  # all of the result
    until(lambda: is_red(stage_pixel(browser, 0.4, 0.5)))  # it walks, and is not there in every frame

    browser.find_element(By.ID, "download").click()
    saved = tmp_path / "downloads" / "walk.webp"
    until(saved.is_file)
    assert decode_bytes(saved.read_bytes()).frames[0, 0, 0, 3] == 0

    browser.refresh()
    until(lambda: "done" in state(browser))
    assert find(browser, "#cutout-files .name")[0].text == "walk.gif"
    assert find(browser, "#cutout-files .file")[0].get_attribute("aria-current") == "true"
    assert serious(browser) == []
    addresses = browser.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert addresses
    assert all(address.startswith(running.url) for address in addresses)  # nothing from elsewhere


def test_a_color_is_picked_and_a_stroke_painted(browser: Browser, running: Running):
    cut(browser, running)
    browser.find_element(By.ID, "pick").click()
    canvas = browser.find_element(By.ID, "stage-canvas")
    from selenium.webdriver import ActionChains

    ActionChains(browser).move_to_element_with_offset(canvas, 0, -150).click().perform()
    until(lambda: "done" in state(browser) and len(running.app.state.jobs.jobs()) == 2)
    assert running.app.state.jobs.jobs()[0].settings["background"] == "#ffffff"

    browser.find_element(By.ID, "brush-keep").click()  # it is below, so the page scrolls; the stage stays
    move = ActionChains(browser).move_to_element_with_offset(canvas, 0, -150).click_and_hold()
    move.move_by_offset(40, 0).release().perform()
    until(lambda: browser.find_element(By.ID, "brush-undo").is_enabled())
    browser.find_element(By.ID, "run").click()
    until(lambda: "done" in state(browser) and len(running.app.state.jobs.jobs()) == 3)
    job = running.app.state.jobs.jobs()[0]
    frames = decode_bytes(running.app.state.jobs.file(job.id, "walk.webp").read_bytes()).frames
    assert (frames[:, :16, 30:40, 3] == 255).any(axis=(1, 2)).all()  # kept, on every frame


def test_the_sticker_is_marked_with_a_box_and_options_are_sent(browser: Browser, running: Running):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.support.ui import Select

    cut(browser, running)
    browser.execute_script("document.getElementById('more').open = true")
    Select(browser.find_element(By.ID, "opacity")).select_by_value("translucent")
    browser.find_element(By.ID, "mark").click()
    canvas = browser.find_element(By.ID, "stage-canvas")
    move = ActionChains(browser).move_to_element_with_offset(canvas, -100, -100).click_and_hold()
    move.move_by_offset(180, 150).release().perform()
    until(lambda: "done" in state(browser) and len(running.app.state.jobs.jobs()) == 2)
    settings = running.app.state.jobs.jobs()[0].settings
    left, top, right, bottom = map(float, settings["subject"].split(","))
    assert 0 < left < 0.5 < right < 1
    assert 0 < top < 0.5 < bottom < 1
    assert settings["opacity"] == "translucent"
    assert running.networks.cutter().how["subject"].right == right
    browser.find_element(By.ID, "unmark").click()
    until(lambda: not browser.find_element(By.ID, "unmark").is_displayed())
    assert serious(browser) == []


def test_cancel_and_two_tabs(browser: Browser, running: Running):
    running.slow(0.3)
    browser.get(running.url)
    until(lambda: find(browser, "#platforms label"))
    drop(browser, "long.gif", gif(50, 64))
    until(lambda: "of 50" in state(browser))
    first = browser.current_window_handle
    browser.switch_to.new_window("tab")
    browser.get(running.url)
    until(lambda: "long.gif" in browser.page_source and "of 50" in state(browser))  # the other tab's work
    browser.find_element(By.ID, "activity-button").click()
    until(lambda: find(browser, "#activity-list progress"))
    browser.find_element(By.CSS_SELECTOR, '[aria-label="Cancel long.gif"]').click()
    until(lambda: state(browser) == "canceled")
    browser.switch_to.window(first)
    until(lambda: state(browser) == "canceled")
    running.slow(0)
    browser.find_element(By.ID, "run").click()
    until(lambda: "done" in state(browser))
    browser.find_element(By.CSS_SELECTOR, '[aria-label="Remove long.gif"]').click()
    until(lambda: browser.find_element(By.ID, "cutout-empty").is_displayed())
    until(lambda: running.app.state.jobs.jobs() == [])


def test_errors_are_said_in_the_page(browser: Browser, running: Running):
    browser.get(running.url)
    until(lambda: find(browser, "#platforms label"))
    drop(browser, "note.gif", b"no picture")
    until(lambda: "note.gif" in state(browser) and find(browser, ".file.bad"))
    drop(browser, "long.gif", gif(80, 64))
    until(lambda: "at most 60 frames" in state(browser))
    running.stop()
    until(lambda: browser.find_element(By.ID, "lost").is_displayed())
    assert "connection" in browser.find_element(By.ID, "lost").text


def test_a_pack_by_keyboard(browser: Browser, running: Running, tmp_path: Path):
    browser.get(f"{running.url}#pack")
    until(lambda: find(browser, "#platforms label"))
    for number in range(3):
        drop(browser, f"s{number}.gif", gif(3, 64))
        until(lambda count=number + 1: len(find(browser, ".slot")) == count)
    first = find(browser, ".slot")[0]
    first.send_keys(Keys.ALT + Keys.ARROW_RIGHT)
    until(lambda: [one.text for one in find(browser, ".slot .name")] == ["s1.gif", "s0.gif", "s2.gif"])
    find(browser, ".slot .emoji-button")[0].click()
    until(lambda: browser.find_element(By.ID, "emoji").is_displayed())
    find(browser, "#emoji-list button")[0].click()
    assert find(browser, ".slot input")[0].get_attribute("value") == "😀"
    browser.refresh()
    until(lambda: len(find(browser, ".slot")) == 3 and find(browser, "#platforms label"))
    assert [one.text for one in find(browser, ".slot .name")] == ["s1.gif", "s0.gif", "s2.gif"]
    for box in find(browser, "#platforms input:checked"):
        box.send_keys(Keys.SPACE)
    browser.find_element(By.CSS_SELECTOR, "#platforms input[value=whatsapp]").send_keys(Keys.SPACE)
    button = browser.find_element(By.CSS_SELECTOR, "#pack-form button.strong")
    button.send_keys(Keys.ENTER)
    until(lambda: find(browser, ".problems") or find(browser, ".pack-card"), 120)
    find(browser, ".pack-card a.button")[0].click()
    saved = tmp_path / "downloads" / "whatsapp.zip"
    until(saved.is_file)
    assert {"contents.json", "tray.png"} <= set(zipfile.ZipFile(saved).namelist())

    find(browser, '[aria-label^="Take s1.gif"]')[0].click()
    button.send_keys(Keys.ENTER)
    until(lambda: "3 to 30 stickers, got 2" in browser.page_source)
    assert serious(browser) == []


@pytest.mark.parametrize("width", [1280, 360])
def test_everything_has_a_name_and_fits(browser: Browser, running: Running, width: int):
    metrics = {"width": width, "height": 780, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    cut(browser, running)
    for page in ("cutout", "generate", "animate", "pack"):
        browser.execute_script("location.hash = arguments[0]", page)
        until(lambda page=page: browser.find_element(By.ID, page).is_displayed())
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        for element in find(browser, "button, input, select, textarea, a, canvas[role], img:not([alt=''])"):
            if element.is_displayed():
                assert element.accessible_name, element.get_attribute("outerHTML")
        assert len(find(browser, f"#{page} h1")) == 1
    browser.get(f"{running.url}api")
    until(lambda: "/v1/cutout" in browser.page_source)
    assert serious(browser) == []
