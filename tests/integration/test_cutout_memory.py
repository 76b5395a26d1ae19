"""However large the frames, and whatever the format, cutting out takes less than 2 GiB, child processes included."""

import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

pytestmark = [
    pytest.mark.full,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc"),
]
WIDTH, HEIGHT, FRAMES = 8192, 4096, 3  # the largest that is read: 2**25 pixels
MOST_BYTES = 2**31
VIDEOS = {
    "a.webm": ("libvpx-vp9", "yuv420p", {"cpu-used": "8", "deadline": "realtime"}),
    "a.mp4": ("libvpx-vp9", "yuv420p", {"cpu-used": "8", "deadline": "realtime"}),
    "prores.mov": ("prores_ks", "yuva444p10le", {"profile": "4"}),
    "png.mov": ("png", "rgb24", {}),
}


def frame(number: int) -> np.ndarray:
    """A square that moves over a flat background, and a lot of small ones, `h w 3` uint8."""
    pixels = np.full((HEIGHT, WIDTH, 3), 245, np.uint8)
    chance = np.random.default_rng(0)
    for left, top, side in chance.integers((500, 300, 50), (WIDTH - 1500, HEIGHT - 900, 500), (40, 3)).tolist():
        left += 60 * number
        pixels[top : top + side, left : left + side] = chance.integers(0, 200, 3)
    return pixels


def write(path: Path) -> None:
    """Three frames, or one of a still, in the format that the name says."""
    if path.name in VIDEOS:
        codec, pixels, options = VIDEOS[path.name]
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, 12, options=options)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixels
            for number in range(FRAMES):
                shown = av.VideoFrame.from_ndarray(frame(number), "rgb24").reformat(format=pixels)
                shown.pts, shown.time_base = number, Fraction(1, 12)
                container.mux(stream.encode(shown))
            container.mux(stream.encode(None))
        return
    pictures = [Image.fromarray(frame(number)) for number in range(1 if path.name == "still.png" else FRAMES)]
    if path.suffix == ".gif":
        pictures = [picture.quantize(64, Image.Quantize.FASTOCTREE) for picture in pictures]
    many = {"save_all": True, "append_images": pictures[1:], "duration": 80} if len(pictures) > 1 else {}
    extra = {"compress_level": 1} if path.suffix == ".png" else {}
    pictures[0].save(path, **many, **extra)


def peak_of_tree(command: list[str]) -> tuple[int, int]:
    """Exit code, and the most memory that a program and its children held at once, in bytes."""
    most = 0
    with subprocess.Popen(command) as process:
        while process.poll() is None:
            most = max(most, sum(map(resident, family(process.pid))))
            time.sleep(0.05)
    return process.returncode, most


def family(process: int) -> list[int]:
    found = [process]
    try:
        for task in Path(f"/proc/{process}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += family(int(child))
    except OSError:  # it has ended meanwhile
        pass
    return found


def resident(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * 4096
    except (OSError, IndexError):
        return 0


@pytest.mark.parametrize("name", ["a.gif", "still.png", "a.png", "a.webp", *VIDEOS])
def test_the_largest_frames_are_cut_out_in_two_gibibytes(tmp_path, name):
    write(tmp_path / name)
    out = tmp_path / "out.webp"
    command = [sys.executable, "-m", "glassine", "cutout", str(tmp_path / name), str(out), "--quiet"]
    code, most = peak_of_tree(command)
    assert code == 0
    assert out.is_file()
    assert most < MOST_BYTES
