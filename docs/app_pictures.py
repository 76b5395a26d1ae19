"""Take the pictures of the app for these pages: `python docs/app_pictures.py [NAME...]`. Minutes; needs Chromium.

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
    """Opaque GIFs of the procedural renderer, and beside them transparent WebPs for the pack."""
    paths = []
    source = ProceduralStickers(seed=SEED, size=SIZE, num_frames=FRAMES, length=60)
    for (number, name), color in zip(NAMED.items(), COLORS, strict=True):
        frames = source[number].frames
        alpha = frames[..., 3:].astype(np.float32) / 255
        flat = (frames[..., :3] * alpha + np.float32(color) * (1 - alpha)).round().astype(np.uint8)
        flat = np.concatenate([flat, np.full_like(flat[..., :1], 255)], axis=-1)
        paths.append(folder / f"{name}.gif")
        write_sticker(Sticker(flat, (80,) * len(flat)), paths[-1])
        write_sticker(Sticker(frames, (80,) * len(flat)), paths[-1].with_suffix(".webp"))
    return paths


def browser() -> Any:
    """Chromium without a window."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    options.add_argument("--headless=new")
    options.add_argument("--disable-dev-shm-usage")
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))


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


def empty(driver: Any, address: str, stickers: list[Path]) -> None:
    """The page as it opens."""
    until(lambda: driver.find_elements(By.CSS_SELECTOR, "#platforms label"))


def cutout(driver: Any, address: str, stickers: list[Path]) -> None:
    """Several files, one of them compared with its original."""
    driver.find_element(By.ID, "chooser").send_keys("\n".join(map(str, stickers)))
    until(lambda: len(driver.find_elements(By.CSS_SELECTOR, "#cutout-files .file")) == len(stickers))
    until(lambda: "uploading" not in driver.page_source and quiet(driver))
    driver.execute_script("document.querySelectorAll('#cutout-files .file')[1].click()")


def phone(driver: Any, address: str, stickers: list[Path]) -> None:
    """The same on a phone, in the dark."""
    if not driver.find_elements(By.CSS_SELECTOR, "#cutout-files .file"):
        cutout(driver, address, stickers[:2])


def pack(driver: Any, address: str, stickers: list[Path]) -> None:
    """Stickers with emoji, packed for two platforms."""
    driver.execute_script("location.hash = 'pack'")
    driver.find_element(By.CSS_SELECTOR, "[data-choose=pack]").click()
    driver.find_element(By.ID, "chooser").send_keys("\n".join(str(path.with_suffix(".webp")) for path in stickers))
    until(lambda: len(driver.find_elements(By.CSS_SELECTOR, ".slot")) == len(stickers))
    for number, emoji in enumerate("👋🐼🤖🐟🎂💣"):
        script = f"const field = document.querySelectorAll('.slot input')[{number}]; field.value = '{emoji}'; "
        driver.execute_script(script + "field.dispatchEvent(new Event('change'))")
    driver.refresh()
    until(lambda: driver.find_elements(By.CSS_SELECTOR, "#platforms label"))
    driver.find_element(By.CSS_SELECTOR, "#pack-form button.strong").click()
    until(lambda: driver.find_elements(By.CSS_SELECTOR, ".pack-card"))
    until(
        lambda: all(driver.execute_script("return [...document.querySelectorAll('.pack-card img')].map(i => i.width)"))
    )
    driver.execute_script("scrollTo(0, 0)")


def generate(driver: Any, address: str, stickers: list[Path]) -> None:
    """Results of a prompt, one of them a favorite, while others are on their way."""
    driver.execute_script("location.hash = 'generate'")
    driver.find_element(By.ID, "prompt").send_keys("a red heart")
    driver.find_element(By.CSS_SELECTOR, "#generate-form button.strong").click()
    until(lambda: len(driver.find_elements(By.CSS_SELECTOR, "#generate-results .tile img")) >= 2)
    driver.execute_script("document.querySelectorAll('#generate-results .star')[1].click()")


SHOTS: dict[str, tuple[Callable[[Any, str, list[Path]], None], tuple[int, int], bool]] = {
    "empty": (empty, (1360, 860), False),
    "pack": (pack, (1360, 1400), False),
    "cutout": (cutout, (1360, 900), False),
    "phone": (phone, (390, 844), True),
    "generate": (generate, (1360, 860), False),
}


def main(folder: Path, names: list[str]) -> None:
    """Drive the page, and save what it looks like."""
    stickers = draw(folder)
    command = [sys.executable, "-m", "glassine", "app", "--port", "0", "--no-browser", "--folder", str(folder / "home")]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    address = server.stdout.readline().split()[0]
    driver = browser()
    try:
        for name in names:
            show, size, dark = SHOTS[name]
            look(driver, size, dark)
            driver.get("about:blank")
            driver.get(address)
            until(lambda: driver.find_elements(By.CSS_SELECTOR, "#platforms label"))
            show(driver, address, stickers)
            time.sleep(5)  # messages in the corner have gone by then
            driver.save_screenshot(str(IMAGES / f"app_{name}.png"))
            print(f"app_{name}.png", flush=True)
        for entry in driver.get_log("browser"):
            print(entry["level"], entry["message"], file=sys.stderr)
    finally:
        driver.quit()
        server.terminate()
        server.wait()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(temporary), sys.argv[1:] or list(SHOTS))
