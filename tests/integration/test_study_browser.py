"""The study's page in a real browser: Chromium without a window, driven through its own driver."""

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.helpers.browser import MARKS, Browser, opened, serious, until
from tests.helpers.serving import Serving
from tests.helpers.tiny_study import tiny_study

from glassine.__main__ import main
from glassine.data.codecs import write_sticker
from glassine.data.sticker import Sticker
from glassine.study.answers import read_answers
from glassine.study.build import StudyDesign, build_study
from glassine.study.plan import PRESETS, StudyKey, load_key
from glassine.study.site import match_items

pytest.importorskip("selenium.webdriver", reason="needs the package selenium: pip install '.[full]'")
pytestmark = MARKS

from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with opened(tmp_path / "downloads") as driver:
        yield driver


def text(browser: Browser, name: str) -> str:
    return browser.find_element(By.ID, name).text


def ready(browser: Browser) -> bool:
    return browser.execute_script(
        "return !document.querySelector('#ask').hidden && !document.querySelector('#clips').hasAttribute('aria-busy')"
        " && [...document.querySelectorAll('.clip:not([hidden]) img')].every((image) => image.complete)"
        " && !!document.querySelector('.clip img')"
    )


def press(browser: Browser, key: str, question: str | None = None) -> None:
    """Press a key on the page; where `question` is given, wait until the progress says it."""
    browser.switch_to.active_element.send_keys(key)
    if question is not None:
        until(lambda: question in text(browser, "progress-text"))
        until(lambda: question == "Done" or ready(browser))


def begin(browser: Browser, address: str, rater: str, question: str) -> None:
    browser.get(address)
    until(lambda: browser.find_element(By.ID, "rater").is_displayed())
    field = browser.find_element(By.ID, "rater")
    field.clear()
    field.send_keys(rater + Keys.ENTER)
    until(lambda: question in text(browser, "progress-text"))
    until(lambda: question == "Done" or ready(browser))


def shown(browser: Browser) -> str:
    """The page as a rater could read it, its sources included."""
    return browser.execute_script("return document.documentElement.outerHTML + JSON.stringify(window.STUDY)")


def stage_colors(browser: Browser) -> np.ndarray:
    """The color in the middle of each stage at one moment: `n 3`."""
    boxes = browser.execute_script(
        "return [...document.querySelectorAll('.clip:not([hidden]) .stage')].map((s) => s.getBoundingClientRect())"
        ".map((b) => [b.x + b.width / 2, b.y + b.height / 2])"
    )
    screen = np.asarray(Image.open(BytesIO(browser.get_screenshot_as_png())).convert("RGB"))
    return np.stack([screen[int(y), int(x)] for x, y in boxes]).astype(int)


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    tiny_study(tmp_path, questions=PRESETS["vsd2m"], items=3)
    server = Serving("study", tmp_path / "study")
    yield server
    server.kill()


def test_opened_as_a_file_from_begin_to_report(browser: Browser, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    key = tiny_study(tmp_path, ("secretmethod", "otherway"), questions=PRESETS["vsd2m"], items=3)
    address = (tmp_path / "study" / "site" / "index.html").as_uri()
    begin(browser, address, "Anna", "Comparison 1 of 3, question 1 of 2")
    assert text(browser, "question") == PRESETS["vsd2m"][0].text
    assert "secretmethod" not in shown(browser)
    assert "otherway" not in shown(browser)

    press(browser, "1", "Comparison 1 of 3, question 2 of 2")
    press(browser, Keys.ARROW_RIGHT, "Comparison 2 of 3, question 1 of 2")
    press(browser, "0", "question 2 of 2")
    press(browser, Keys.BACKSPACE, "question 1 of 2")
    assert browser.find_element(By.ID, "tie").get_attribute("aria-pressed") == "true"
    press(browser, Keys.ENTER, "Comparison 2 of 3, question 2 of 2")

    # a closed tab loses nothing
    begin(browser, address, "anna", "Comparison 2 of 3, question 2 of 2")
    press(browser, "2", "Comparison 3 of 3, question 1 of 2")
    for question in ("question 2 of 2", "Done"):
        press(browser, "1", question)
    downloaded = tmp_path / "downloads" / f"anna-{key.study}.jsonl"
    until(downloaded.is_file)
    rater = read_answers(downloaded, key)
    first = [answer.choice and answer.shown.index(answer.choice) for answer in rater.answers]
    assert first == [0, 1, None, 1, 0, 0]
    assert rater.unusable == 0
    assert all(answer.ms > 0 and answer.background == "checker" for answer in rater.answers)
    assert serious(browser) == []

    assert main(["study", "report", str(tmp_path / "study"), "--answers", str(downloaded), "--resamples", "20"]) == 0
    assert "6 of 6" in capsys.readouterr().out


def test_two_tabs_of_a_rater_lose_no_answer(browser: Browser, tmp_path: Path):
    key = tiny_study(tmp_path, questions=PRESETS["vsd2m"], items=3)
    address = (tmp_path / "study" / "site" / "index.html").as_uri()
    begin(browser, address, "anna", "Comparison 1 of 3, question 1 of 2")
    first = browser.current_window_handle
    browser.switch_to.new_window("tab")
    begin(browser, address, "anna", "Comparison 1 of 3, question 1 of 2")
    press(browser, "1", "Comparison 1 of 3, question 2 of 2")
    press(browser, "1", "Comparison 2 of 3, question 1 of 2")
    browser.switch_to.window(first)
    press(browser, "2", "Comparison 2 of 3, question 1 of 2")  # it now knows of the other tab's answers
    kept = browser.execute_script(f"return JSON.parse(localStorage.getItem('glassine-study/{key.study}/anna')).answers")
    assert [answer["time"] for answer in kept] == sorted({answer["time"] for answer in kept})
    assert len(kept) == 3


def test_served_each_answer_is_in_the_file_at_once(browser: Browser, serving: Serving):
    file = serving.folder / "answers" / "anna.jsonl"
    begin(browser, serving.url, "Anna", "Comparison 1 of 3, question 1 of 2")
    for number, (key, question) in enumerate([("1", "question 2 of 2"), ("2", "Comparison 2 of 3")], 1):
        press(browser, key, question)
        until(lambda done=number: len(file.read_text().splitlines()) == 1 + done)
    loaded = browser.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert all(name.startswith((serving.url, f"blob:{serving.url}")) for name in loaded)
    assert serious(browser) == []

    # another browser, as it were: what it kept is gone
    browser.execute_script("localStorage.clear()")
    begin(browser, serving.url, "Anna", "Comparison 2 of 3, question 1 of 2")
    press(browser, "1", "question 2 of 2")
    press(browser, "1", "Comparison 3 of 3, question 1 of 2")
    press(browser, "1", "question 2 of 2")
    press(browser, "1", "Done")
    until(lambda: "Your 6 answers are saved" in text(browser, "done-text"))
    assert len(read_answers(file, load_key(serving.folder)).answers) == 6


def test_answers_reach_a_server_that_was_down(browser: Browser, serving: Serving):
    file = serving.folder / "answers" / "ben.jsonl"
    begin(browser, serving.url, "Ben", "Comparison 1 of 3, question 1 of 2")
    serving.kill()
    press(browser, "1", "question 2 of 2")
    until(lambda: "the server does not answer" in text(browser, "notice"))
    assert len(file.read_text().splitlines()) == 1
    serving.start()
    until(lambda: len(file.read_text().splitlines()) == 2)
    until(lambda: not browser.find_element(By.ID, "notice").is_displayed())

    # and where the tab was closed in between, when it is opened again
    serving.kill()
    press(browser, "1", "Comparison 2 of 3")
    browser.execute_script("window.onbeforeunload = null")
    browser.execute_cdp_cmd("Page.navigate", {"url": "about:blank"})
    serving.start()
    browser.switch_to.new_window("tab")
    begin(browser, serving.url, "Ben", "Comparison 2 of 3, question 1 of 2")
    until(lambda: len(file.read_text().splitlines()) == 3)


def numbered_study(tmp_path: Path, duration: int) -> StudyKey:
    """Clips that tell the number of their frame by color."""
    methods = {}
    for name in ("ours", "base"):
        methods[name] = tmp_path / "in" / name
        methods[name].mkdir(parents=True)
        frames = np.full((6, 32, 32, 4), 255, np.uint8)
        frames[..., 0] = (40 * np.arange(6)).reshape(6, 1, 1)
        frames[:, :4, :4, 3] = 0
        write_sticker(Sticker(frames, (duration,) * 6), methods[name] / "only.webp")
    design = StudyDesign(PRESETS["vsd2m"], ("checker", "#00ff00", "#000080"))
    return build_study(tmp_path / "study", methods, match_items(methods), {}, design)


@pytest.fixture
def numbered(tmp_path: Path) -> StudyKey:
    """Each frame stands for four seconds."""
    return numbered_study(tmp_path, 4000)


def test_both_clips_show_the_same_frame_at_any_moment(browser: Browser, tmp_path: Path):
    numbered_study(tmp_path, 150)
    begin(browser, (tmp_path / "study/site/index.html").as_uri(), "anna", "question 1 of 2")
    moments = []
    for _ in range(3):
        moments += [stage_colors(browser)[:, 0] for _ in range(3)]
        press(browser, "r")
        until(lambda: ready(browser))
    assert sum(abs(left - right) < 20 for left, right in moments) >= 8  # a frame is 40 levels
    assert len({round(left / 40) for left, _ in moments}) > 1


@pytest.mark.parametrize("served", [True, False])
def test_both_clips_start_again_at_the_same_moment(browser: Browser, numbered: StudyKey, tmp_path: Path, served: bool):
    server = Serving("study", tmp_path / "study") if served else None
    address = server.url if server else (tmp_path / "study/site/index.html").as_uri()
    try:
        begin(browser, address, "anna", "question 1 of 2")
        for _ in range(2):
            until(lambda: (stage_colors(browser)[:, 0] >= 40).all())
            press(browser, "r")
            until(lambda: (stage_colors(browser)[:, 0] < 40).all(), 12)  # by itself it would take sixteen seconds
    finally:
        if server:
            server.kill()


def test_the_background_is_changed_by_a_key_and_kept(browser: Browser, numbered: StudyKey, tmp_path: Path):
    begin(browser, (tmp_path / "study/site/index.html").as_uri(), "anna", "question 1 of 2")

    def corners() -> list[list[int]]:
        boxes = browser.execute_script(
            "return [...document.querySelectorAll('.stage')].map((s) => s.getBoundingClientRect())"
            ".map((b) => [b.x, b.y])"
        )
        screen = np.asarray(Image.open(BytesIO(browser.get_screenshot_as_png())).convert("RGB"))
        return [screen[int(y) + 12, int(x) + 12].tolist() for x, y in boxes]

    assert all(red == green == blue for red, green, blue in corners())
    press(browser, "b")
    until(lambda: corners() == [[0, 255, 0]] * 2)
    press(browser, "1", "question 2 of 2")
    assert corners() == [[0, 255, 0]] * 2
    press(browser, "b")
    until(lambda: corners() == [[0, 0, 128]] * 2)
    press(browser, "2", "Done")
    lines = [json.loads(line) for line in until(lambda: downloads(tmp_path, numbered)).splitlines()]
    assert [line["background"] for line in lines[1:]] == ["#00ff00", "#000080"]


def downloads(folder: Path, key: StudyKey) -> str:
    path = folder / "downloads" / f"anna-{key.study}.jsonl"
    return path.read_text() if path.is_file() else ""


def test_at_phone_width_all_is_in_reach_of_a_thumb(browser: Browser, tmp_path: Path):
    tiny_study(tmp_path, ("a", "b", "c"), show="all", title="Ein sehr langer Titel der Studie")
    phone = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    begin(browser, (tmp_path / "study/site/index.html").as_uri(), "anna", "question 1 of 3")
    wide, high = browser.execute_script("const d = document.documentElement; return [d.scrollWidth, d.scrollHeight]")
    assert wide <= 360
    assert high <= 740
    buttons = [button for button in browser.find_elements(By.TAG_NAME, "button") if button.is_displayed()]
    assert min(button.size["height"] for button in buttons) >= 44
    browser.find_elements(By.CLASS_NAME, "clip")[2].click()
    until(lambda: "question 2 of 3" in text(browser, "progress-text"))
    browser.find_element(By.ID, "back").click()
    until(lambda: "question 1 of 3" in text(browser, "progress-text"))
    assert browser.find_elements(By.CLASS_NAME, "clip")[2].get_attribute("aria-pressed") == "true"


def test_help_lists_the_keys_and_every_control_has_a_name(browser: Browser, tmp_path: Path):
    tiny_study(tmp_path)
    begin(browser, (tmp_path / "study/site/index.html").as_uri(), "anna", "question 1 of 3")
    press(browser, "?")
    until(lambda: browser.find_element(By.ID, "help").is_displayed())
    press(browser, "1")  # not an answer while help is open
    assert "Backspace" in text(browser, "help")
    press(browser, Keys.ESCAPE)
    until(lambda: not browser.find_element(By.ID, "help").is_displayed())
    assert "question 1 of 3" in text(browser, "progress-text")
    for element in browser.find_elements(By.CSS_SELECTOR, "main:not([hidden]) button, main:not([hidden]) input"):
        if element.is_displayed():
            assert element.accessible_name
    names = [element.accessible_name for element in browser.find_elements(By.CLASS_NAME, "clip")]
    assert names == ["Sticker 1", "Sticker 2"]
