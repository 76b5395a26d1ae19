"""Take the pictures of the app for these pages: `python docs/app_pictures.py`. Minutes; needs Chromium and its driver.

The app runs with its shipped networks; the stickers are the procedural renderer's.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from glassine.data.codecs import write_sticker
from glassine.data.sources.procedural import ProceduralStickers
from glassine.data.sticker import Sticker

IMAGES = Path(__file__).with_name("images")
SEED, FRAMES, SIZE = 11, 12, 256
NAMED = {9: "hello", 27: "panda", 12: "robot", 33: "fish", 57: "birthday", 40: "boom"}
COLORS = ((255, 255, 255), (255, 214, 10), (52, 199, 89), (255, 255, 255), (90, 200, 250), (255, 255, 255))


def draw(folder: Path) -> list[Path]:
    """Opaque GIFs of the procedural renderer."""
    paths = []
    source = ProceduralStickers(seed=SEED, size=SIZE, num_frames=FRAMES, length=60)
    for (number, name), color in zip(NAMED.items(), COLORS, strict=True):
        frames = source[number].frames
        alpha = frames[..., 3:].astype(np.float32) / 255
        flat = (frames[..., :3] * alpha + np.float32(color) * (1 - alpha)).round().astype(np.uint8)
        flat = np.concatenate([flat, np.full_like(flat[..., :1], 255)], axis=-1)
        paths.append(folder / f"{name}.gif")
        write_sticker(Sticker(flat, (80,) * len(flat)), paths[-1])
    return paths


def browser(size: tuple[int, int], dark: bool = False) -> Any:
    """Chromium without a window."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    options.add_argument("--headless=new")
    options.add_argument(f"--window-size={size[0]},{size[1]}")
    options.add_argument("--disable-dev-shm-usage")
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    look(driver, size, dark)
    return driver


def look(driver: Any, size: tuple[int, int], dark: bool = False) -> None:
    """Change the size of the page, a phone's if it is narrow, and the color scheme."""
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


def until(wanted: Callable[[], Any], seconds: float = 600) -> Any:
    """Wait until it is true, and return it."""
    end = time.monotonic() + seconds
    while not (value := wanted()):
        if time.monotonic() > end:
            raise TimeoutError("the page did not get there")
        time.sleep(0.2)
    return value


def quiet(driver: Any) -> bool:
    """Whether nothing runs."""
    script = "return fetch('/v1/status').then((reply) => reply.json()).then((status) => status.active)"
    return driver.execute_script(script) == 0


def main(folder: Path) -> None:
    """Drive the page, and save what it looks like."""
    stickers = draw(folder)
    command = [sys.executable, "-m", "glassine", "app", "--port", "0", "--no-browser", "--folder", str(folder / "home")]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    address = server.stdout.readline().split()[0]
    driver = browser((1360, 860))
    try:
        driver.get(address)
        until(lambda: driver.find_elements(By.CSS_SELECTOR, "#platforms label"))
        driver.save_screenshot(str(IMAGES / "app_empty.png"))
        driver.find_element(By.ID, "chooser").send_keys("\n".join(map(str, stickers)))
        until(lambda: len(driver.find_elements(By.CSS_SELECTOR, "#cutout-files .file")) == len(stickers))
        until(lambda: "uploading" not in driver.page_source and quiet(driver))
        driver.execute_script("document.querySelectorAll('#cutout-files .file')[1].click()")
        time.sleep(4)
        driver.save_screenshot(str(IMAGES / "app_cutout.png"))
        for number in range(len(stickers)):
            driver.execute_script(f"document.querySelectorAll('#cutout-files .file')[{number}].click()")
            time.sleep(0.5)
            driver.execute_script("document.querySelector('#to-pack').click()")
        driver.get(f"{address}#pack")
        driver.refresh()
        until(lambda: len(driver.find_elements(By.CSS_SELECTOR, ".slot")) == len(stickers))
        for number, emoji in enumerate("👋🐼🤖🐟🎂💣"):
            script = f"const field = document.querySelectorAll('.slot input')[{number}]; field.value = '{emoji}'; "
            driver.execute_script(script + "field.dispatchEvent(new Event('change'))")
        driver.refresh()
        until(lambda: driver.find_elements(By.CSS_SELECTOR, "#platforms label"))
        driver.find_element(By.CSS_SELECTOR, "#pack-form button.strong").click()
        until(lambda: driver.find_elements(By.CSS_SELECTOR, ".pack-card"), 900)
        until(
            lambda: all(
                driver.execute_script("return [...document.querySelectorAll('.pack-card img')].map(i => i.width)")
            )
        )
        time.sleep(4)
        look(driver, (1360, 1500))
        driver.execute_script("scrollTo(0, 0)")
        time.sleep(0.5)
        driver.save_screenshot(str(IMAGES / "app_pack.png"))
        look(driver, (390, 844), dark=True)
        driver.get(f"{address}#cutout")
        time.sleep(3)
        driver.save_screenshot(str(IMAGES / "app_phone.png"))
        look(driver, (1360, 1000))
        driver.get(f"{address}#generate")
        driver.find_element(By.ID, "prompt").send_keys("a red heart")
        driver.find_element(By.CSS_SELECTOR, "#generate-form button.strong").click()
        until(lambda: len(driver.find_elements(By.CSS_SELECTOR, "#generate-results .tile img")) >= 3, 500)
        driver.execute_script("document.querySelectorAll('#generate-results .star')[1].click()")
        time.sleep(1)
        driver.save_screenshot(str(IMAGES / "app_generate.png"))
        for entry in driver.get_log("browser"):
            print(entry["level"], entry["message"], file=sys.stderr)
    finally:
        driver.quit()
        server.terminate()
        server.wait()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(temporary))
