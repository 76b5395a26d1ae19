"""Take the picture of the review's page: `python docs/review_picture.py [FOLDER]`. Needs Chromium.

The clips are the procedural renderer's, changed as teachers with other recipes might. With a folder, more pictures go
there: dark, on a phone, the first page and the last.
"""

import hashlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from app_pictures import IMAGES, browser, look, until
from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from glassine.data.sources.procedural import ProceduralStickers
from glassine.review.build import build_review
from glassine.review.clip_writer import ClipWriter

FRAMES, SIZE, FPS = 8, 192, 8.0
SHOWN = (12, 27, 33, 9)
TEACHERS = ("fast", "slow", "first", "middle")


def changed(frames: np.ndarray) -> dict[str, np.ndarray]:
    """A clip by each teacher."""
    sway = [round(6 * np.sin(2 * np.pi * frame / FRAMES)) for frame in range(FRAMES)]
    return {
        "fast": frames[[0, 2, 4, 6, 0, 2, 4, 6]],
        "slow": frames[[0, 0, 1, 1, 2, 2, 1, 1]],
        "first": np.stack([np.roll(frame, step, axis=1) for frame, step in zip(frames, sway, strict=True)]),
        "middle": np.roll(frames, FRAMES // 2, axis=0),
    }


def build(folder: Path) -> Path:
    """A review of procedural clips."""
    source = ProceduralStickers(seed=11, size=SIZE, num_frames=FRAMES, length=60)
    teachers = {
        name: {"weights": hashlib.sha256(name.encode()).hexdigest(), "recipe": {"name": name}} for name in TEACHERS
    }
    with ClipWriter(folder / "clips", FRAMES, (SIZE, SIZE), FPS, teachers) as writer:
        for number in SHOWN:
            frames, caption = source[number].frames, source.info(number)["description"].partition(",")[0]
            about: dict[str, Any] = {"caption": caption, "group": f"drawn{number}", "split": "train"}
            for name, clip in changed(frames).items():
                writer.write(f"p{number}", name, 0, clip, frames[0], source="procedural", licence="MIT", **about)
        manifest = writer.finish()
    build_review(folder / "review", manifest, seed=3)
    return folder / "review"


def shoot(driver: Any, path: Path) -> None:
    """Save what is seen, in 256 colors."""
    time.sleep(0.6)
    driver.save_screenshot(str(path))
    Image.open(path).convert("RGB").quantize(256).save(path, optimize=True)


def main(folder: Path, more: Path | None) -> None:
    """Serve the review, choose two clips, and save what it looks like."""
    review = build(folder)
    command = [sys.executable, "-m", "glassine", "review", "serve", str(review), "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    driver = browser()
    try:
        assert server.stdout is not None
        driver.get(server.stdout.readline().split()[0])
        look(driver, (1180, 800))
        until(lambda: driver.find_element(By.ID, "rater").is_displayed())
        if more:
            shoot(driver, more / "start.png")
        driver.find_element(By.ID, "rater").send_keys("anna" + Keys.ENTER)
        until(lambda: driver.find_elements(By.CSS_SELECTOR, "#clips:not([aria-busy]) .clip img"))
        for key in "14":
            driver.switch_to.active_element.send_keys(key)
        shoot(driver, IMAGES / "review.png")
        if more:
            look(driver, (1180, 800), dark=True)
            shoot(driver, more / "dark.png")
            look(driver, (390, 844), dark=True)
            shoot(driver, more / "phone.png")
            look(driver, (1180, 800))
            for _ in SHOWN:
                driver.switch_to.active_element.send_keys(Keys.ENTER)
                time.sleep(1)
                driver.switch_to.active_element.send_keys("2")
            until(lambda: driver.find_element(By.ID, "done").is_displayed())
            shoot(driver, more / "done.png")
    finally:
        driver.quit()
        server.kill()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(temporary), Path(sys.argv[1]) if sys.argv[1:] else None)
