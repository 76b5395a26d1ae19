"""The pages where test stickers are chosen and domains are labelled, in a real browser."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.helpers.browser import MARKS, Browser, opened, serious, until
from tests.helpers.small_crawl import sticker

from glassine.__main__ import main
from glassine.curation.blocks import write_rows
from glassine.data.shards import ShardFormat, ShardWriter, StickerShards

pytest.importorskip("selenium.webdriver", reason="needs the package selenium: pip install '.[full]'")
pytestmark = MARKS

from selenium.webdriver.common.by import By  # noqa: E402

HOSTILE = "<img src=x onerror=document.title=1>"
WORDS = {HOSTILE: ("a0000000", "b0000001"), "bye": ("c0000002", "a0000003")}


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with opened(tmp_path / "downloads") as driver:
        yield driver


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Four stickers of a finished curation, two words with two candidates each."""
    to = tmp_path / "dataset"
    keys = [key * 2 for pair in WORDS.values() for key in pair]
    with ShardWriter(to / "shards", ShardFormat(codec="png")) as writer:
        for number, key in enumerate(keys):
            writer.write(key, sticker(number), {"description": "a blob", "group": key})
    rows = [{"key": key, "group": key, "sha": key * 4, "domain": "cartoon", "frames": 6} for key in keys]
    write_rows(to / "stickers.jsonl", rows)
    asked = [{"word": word, "count": 2, "candidates": [key * 2 for key in pair]} for word, pair in WORDS.items()]
    write_rows(to / "tests" / "VSD-C.candidates.jsonl", asked)
    return to


@contextmanager
def page(browser: Browser, *arguments: str) -> Iterator[None]:
    """`glassine curate ...` in a process of its own, open in the browser."""
    command = [sys.executable, "-m", "glassine", "curate", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        browser.get(process.stdout.readline().split()[0])
        until(lambda: "answered" in browser.find_element(By.ID, "state").text)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def sections(browser: Browser) -> list[Browser]:
    return browser.find_elements(By.TAG_NAME, "section")


def state(browser: Browser, count: str) -> None:
    until(lambda: browser.find_element(By.ID, "state").text.startswith(count))


def test_a_test_set_is_chosen_by_hand_and_frozen(browser: Browser, dataset: Path, tmp_path: Path) -> None:
    arguments = ("choose", str(dataset), "--set", "VSD-C", "--by", "Ann")
    with page(browser, *arguments):
        assert [one.find_element(By.TAG_NAME, "h2").text for one in sections(browser)] == [f"{HOSTILE} (2)", "bye (2)"]
        assert browser.title != "1"
        buttons = sections(browser)[0].find_elements(By.TAG_NAME, "button")
        assert [one.accessible_name for one in buttons] == ["Sticker 1", "Sticker 2", "none of them"]
        shown = "return [...document.querySelectorAll('section img')].every((one) => one.naturalWidth > 0)"
        until(lambda: browser.execute_script(shown))
        buttons[0].click()
        buttons[1].click()  # on second thought
        state(browser, "1 of 2")
        browser.find_element(By.TAG_NAME, "body").send_keys("3")  # none of the second word's
        state(browser, "2 of 2")
        assert serious(browser) == []
    with page(browser, *arguments):  # as it was left
        state(browser, "2 of 2")
        pressed = [one.accessible_name for one in browser.find_elements(By.CSS_SELECTOR, "[aria-pressed=true]")]
        assert pressed == ["Sticker 2", "none of them"]
    frozen = tmp_path / "VSD-C.json"
    assert main(["curate", "freeze", str(dataset), "--set", "VSD-C", "--to", str(frozen)]) == 0
    content = json.loads(frozen.read_text())
    assert content["chosen_by"] == "Ann"
    assert [(one["word"], one["key"]) for one in content["stickers"]] == [(HOSTILE, "b0000001" * 2)]


def test_domains_are_labelled_by_keys(browser: Browser, dataset: Path, tmp_path: Path) -> None:
    with page(browser, "label", str(dataset), "--count", "3"):
        assert len(sections(browser)) == 3
        for number, key in enumerate("213", 1):
            browser.find_element(By.TAG_NAME, "body").send_keys(key)
            state(browser, f"{number} of 3")
        assert serious(browser) == []
    assert main(["curate", "label", str(dataset), "--export", str(tmp_path / "labels")]) == 0
    shards = StickerShards(tmp_path / "labels")
    assert sorted(shards.metadata(row).domain for row in range(len(shards))) == ["cartoon", "real"]
