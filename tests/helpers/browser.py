"""A real browser for tests: Chromium without a window, driven through its own driver."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
MARKS = [
    pytest.mark.full,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="needs Chromium and its driver: apt-get install chromium chromium-driver"
    ),
]
Browser = Any


@contextmanager
def opened(downloads: Path, *flags: str) -> Iterator[Browser]:
    """A browser with more flags that saves to `downloads`."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    arguments = ["--headless=new", "--window-size=1280,800", "--force-device-scale-factor=1", "--disable-dev-shm-usage"]
    for argument in [*arguments, *flags, *(["--no-sandbox"] if os.geteuid() == 0 else [])]:
        options.add_argument(argument)
    # several downloads in a row need a person's click otherwise, and a script's is none
    automatic = "profile.default_content_setting_values.automatic_downloads"
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads), automatic: 1})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_script_timeout(60)
    try:
        yield driver
    finally:
        driver.quit()


def until(wanted: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait until it is true, and return it."""
    end = time.monotonic() + seconds
    while not (value := wanted()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)
    return value


def serious(browser: Browser) -> list[str]:
    """Errors in the browser's console."""
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
