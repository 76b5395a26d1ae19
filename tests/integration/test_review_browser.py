"""The review's page in a real browser: Chromium without a window, driven through its own driver."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.helpers.browser import MARKS, Browser, opened, serious, until
from tests.helpers.serving import Serving
from tests.helpers.tiny_review import tiny_review

from glassine.__main__ import main
from glassine.review.answers import read_annotators
from glassine.review.plan import load_key

pytest.importorskip("selenium.webdriver", reason="needs the package selenium: pip install '.[full]'")
pytestmark = MARKS

from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with opened(tmp_path / "downloads") as driver:
        yield driver


def lines(serving: Serving, name: str) -> list[dict]:
    """The answers in an annotator's file."""
    return [json.loads(line) for line in (serving.folder / "answers" / f"{name}.jsonl").read_text().splitlines()[1:]]


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    tiny_review(tmp_path, prompts=3)
    server = Serving("review", tmp_path / "review")
    yield server
    server.kill()


def text(browser: Browser, name: str) -> str:
    return browser.find_element(By.ID, name).text


def ready(browser: Browser) -> bool:
    return browser.execute_script(
        "return !document.querySelector('#ask').hidden && !document.querySelector('#clips').hasAttribute('aria-busy')"
        " && !!document.querySelector('.clip img')"
    )


def press(browser: Browser, keys: str, says: str | None = None) -> None:
    """Press keys on the page; where `says` is given, wait until the progress says it."""
    for key in keys:
        browser.switch_to.active_element.send_keys(key)
    if says is not None:
        until(lambda: says in text(browser, "progress-text"))
        until(lambda: says == "Done" or ready(browser))


def begin(browser: Browser, address: str, name: str) -> None:
    browser.get(address)
    until(lambda: browser.find_element(By.ID, "rater").is_displayed())
    field = browser.find_element(By.ID, "rater")
    field.clear()
    field.send_keys(name + Keys.ENTER)


def pressed(browser: Browser) -> list[str]:
    """The clips that are chosen, and `none`."""
    return browser.execute_script(
        "return [...document.querySelectorAll('.clip:not([hidden])')]"
        ".map((b, n) => b.ariaPressed === 'true' && `${n + 1}`)"
        ".concat(document.querySelector('#none').ariaPressed === 'true' && 'none').filter(Boolean)"
    )


def test_chosen_by_keys_undone_reloaded_finished_and_reported(
    browser: Browser, serving: Serving, capsys: pytest.CaptureFixture[str]
):
    begin(browser, serving.url, "Anna")
    press(browser, "", "Prompt 1 of 3")
    press(browser, "12")
    assert pressed(browser) == ["1", "2"]
    press(browser, "1")
    assert pressed(browser) == ["2"]
    press(browser, "0")
    assert pressed(browser) == ["none"]
    press(browser, "zz")
    assert pressed(browser) == ["1", "2"]
    press(browser, "z" + Keys.ENTER, "Prompt 2 of 3")
    until(lambda: len(lines(serving, "anna")) == 1)  # on the disk before the next one is answered

    # nothing is chosen, which is told; then undo opens the first prompt again with its choice
    press(browser, Keys.ENTER)
    assert "Choose at least one clip" in text(browser, "notice")
    press(browser, "z", "Prompt 1 of 3")
    assert pressed(browser) == ["1"]
    until(lambda: [line["chosen"] is None for line in lines(serving, "anna")] == [False, True])
    press(browser, "12" + Keys.ENTER, "Prompt 2 of 3")

    # a page that is closed loses nothing, not even what was chosen and not saved; Z still takes back the last answer
    press(browser, "1")
    begin(browser, serving.url, "anna")
    press(browser, "", "Prompt 2 of 3")
    assert pressed(browser) == ["1"]
    press(browser, "z")
    press(browser, "", "Prompt 1 of 3")
    assert pressed(browser) == ["2"]
    press(browser, Keys.ENTER, "Prompt 2 of 3")
    press(browser, "0" + Keys.ENTER, "Prompt 3 of 3")
    press(browser, "12" + Keys.ENTER, "Done")
    assert "You would share 3 of 6 clips of 3 prompts" in text(browser, "done-count")
    until(lambda: "Your answers are saved" in text(browser, "done-text"))
    assert serious(browser) == []

    key = load_key(serving.folder)
    (anna,) = read_annotators([serving.folder / "answers" / "anna.jsonl"], key)
    assert sorted(len(answer.chosen or ()) for answer in anna.answers.values()) == [0, 1, 2]
    first = next(iter(anna.answers.values()))
    assert first.chosen == (first.shown[1],)
    assert first.ms > 0
    assert not anna.mixed
    assert main(["review", "report", str(serving.folder), "--resamples", "20"]) == 0
    assert "3 of 3" in capsys.readouterr().out


def test_the_page_hides_who_made_what(browser: Browser, serving: Serving):
    begin(browser, serving.url, "anna")
    press(browser, "", "Prompt 1 of 3")
    page = browser.execute_script("return document.documentElement.outerHTML + JSON.stringify(window.STUDY)")
    assert "lively" not in page
    assert "calm" not in page
    assert text(browser, "caption").startswith("a ")
    assert browser.find_element(By.CSS_SELECTOR, "#still img").get_attribute("alt").startswith("Still: a ")


def test_answers_reach_a_server_that_was_killed(browser: Browser, serving: Serving):
    begin(browser, serving.url, "ben")
    press(browser, "", "Prompt 1 of 3")
    serving.kill()
    press(browser, "1" + Keys.ENTER)
    until(lambda: "the server does not answer" in text(browser, "notice"))
    assert lines(serving, "ben") == []
    serving.start()
    until(lambda: len(lines(serving, "ben")) == 1)
    press(browser, "", "Prompt 2 of 3")  # clips that could not be loaded meanwhile are there, too
    until(lambda: not browser.find_element(By.ID, "notice").is_displayed())


def test_a_second_person_of_that_name_is_told(browser: Browser, serving: Serving):
    begin(browser, serving.url, "anna")
    press(browser, "", "Prompt 1 of 3")
    press(browser, "1" + Keys.ENTER, "Prompt 2 of 3")
    until(lambda: len(lines(serving, "anna")) == 1)
    browser.execute_script("localStorage.clear()")  # another browser, as it were
    begin(browser, serving.url, "Anna")
    until(lambda: browser.find_element(By.ID, "taken").is_displayed())
    assert "Somebody called “anna”" in text(browser, "taken-title")
    assert "1 of 3 prompts" in text(browser, "taken-text")
    browser.find_element(By.ID, "taken-other").click()
    begin(browser, serving.url, "anna")  # still told after a reload
    until(lambda: browser.find_element(By.ID, "taken").is_displayed())
    browser.find_element(By.ID, "taken-mine").click()
    press(browser, "", "Prompt 2 of 3")
    begin(browser, serving.url, "proxy")
    until(lambda: "reserved" in text(browser, "notice"))


def test_opened_as_a_file_the_answers_are_downloaded(browser: Browser, tmp_path: Path):
    key = tiny_review(tmp_path, prompts=1)
    begin(browser, (tmp_path / "review" / "site" / "index.html").as_uri(), "Cleo")
    press(browser, "", "Prompt 1 of 1")
    press(browser, "2" + Keys.ENTER, "Done")
    file = tmp_path / "downloads" / f"cleo-{key.review}.jsonl"
    until(file.is_file)
    (cleo,) = read_annotators([file], key)
    assert [len(answer.chosen or ()) for answer in cleo.answers.values()] == [1]


def test_on_a_phone_and_in_the_dark_all_is_in_reach_and_has_a_name(browser: Browser, tmp_path: Path):
    tiny_review(tmp_path, prompts=1, calm=2.0, lively=6.0, still=0.0)
    phone = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    begin(browser, (tmp_path / "review" / "site" / "index.html").as_uri(), "dora")
    press(browser, "", "Prompt 1 of 1")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
    shown = [button for button in browser.find_elements(By.TAG_NAME, "button") if button.is_displayed()]
    assert min(button.size["height"] for button in shown) >= 44
    assert all(button.accessible_name for button in shown)
    clips = browser.find_elements(By.CLASS_NAME, "clip")
    assert [clip.accessible_name for clip in clips] == ["Clip 1 of 3", "Clip 2 of 3", "Clip 3 of 3"]
    next_button = browser.find_element(By.ID, "next")
    box = browser.execute_script("return arguments[0].getBoundingClientRect().bottom", next_button)
    assert box <= 740  # the bar stays in sight
    clips[1].click()
    assert pressed(browser) == ["2"]
    browser.find_element(By.ID, "none").click()
    assert pressed(browser) == ["none"]
    browser.find_element(By.ID, "undo").click()
    assert pressed(browser) == ["2"]
    next_button.click()
    until(lambda: "You would share 1 of 3 clips of 1 prompt." in text(browser, "done-count"))
