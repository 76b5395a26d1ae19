"""Take the picture of the page without a server: `python docs/web_picture.py FOLDER` (of `glassine export web`)."""

import functools
import http.server
import sys
import tempfile
import threading
from pathlib import Path

from app_pictures import IMAGES, browser, draw, look, until
from selenium.webdriver.common.by import By

from glassine.data.codecs import read_sticker, write_sticker
from glassine.data.sticker import Sticker


def main(site: Path, folder: Path) -> None:
    """Cut two frames out and save what the page looks like then."""
    whole = read_sticker(draw(folder)[1])
    write_sticker(Sticker(whole.frames[:2], (400, 400)), folder / "panda.gif")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(site))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    driver = browser()
    try:
        look(driver, (1360, 860))
        driver.get(f"http://127.0.0.1:{server.server_port}/")
        driver.save_screenshot(str(IMAGES / "web_empty.png"))
        driver.find_element(By.ID, "chooser").send_keys(str(folder / "panda.gif"))
        until(lambda: "a frame" in driver.find_element(By.ID, "state").text)
        driver.save_screenshot(str(IMAGES / "web_cutout.png"))
    finally:
        driver.quit()
        server.shutdown()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(sys.argv[1]), Path(temporary))
