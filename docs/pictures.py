"""Draw the pictures of the README and of these pages: `python docs/pictures.py`. About six minutes on two cores.

Every drawing is the suite's own: stickers of the procedural renderer and what the shipped networks make.
"""

import tempfile
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from glassine.__main__ import main
from glassine.bench.gallery import PROMPTS as GRID_PROMPTS
from glassine.data.codecs import read_sticker, write_sticker
from glassine.data.sources.procedural import ProceduralStickers
from glassine.data.sticker import Sticker
from glassine.utils.colors import checkerboard

IMAGES = Path(__file__).with_name("images")
SEED, FRAMES, SIZE = 11, 12, 192
# number in the series, color of the background
SHOWN = ((9, (255, 255, 255)), (27, (255, 214, 10)), (12, (52, 199, 89)), (33, (255, 255, 255)), (57, (90, 200, 250)))
GAP, PAPER = 12, (255, 255, 255)
PROMPTS = ("rocket", "pizza", "ghost")


def over(frames: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Straight RGBA `f h w 4` on `h w 3` or `h w 1`: `f h w 3` uint8."""
    alpha = frames[..., 3:].astype(np.float32) / 255
    mixed = frames[..., :3] * alpha + background.astype(np.float32) * (1 - alpha)
    return mixed.round().astype(np.uint8)


def opaque(frames: np.ndarray) -> np.ndarray:
    """`f h w 3` with an alpha of 255."""
    return np.concatenate([frames, np.full_like(frames[..., :1], 255)], axis=-1)


def grid(rows: list[list[np.ndarray]]) -> np.ndarray:
    """Clips `f h w 3` of one size, side by side and one row below the other."""
    frames, height, width, _ = rows[0][0].shape
    down, across = len(rows), max(len(row) for row in rows)
    page = np.full((frames, down * (height + GAP) + GAP, across * (width + GAP) + GAP, 3), PAPER, np.uint8)
    for y, row in enumerate(rows):
        for x, clip in enumerate(row):
            top, left = GAP + y * (height + GAP), GAP + x * (width + GAP)
            page[:, top : top + height, left : left + width] = clip
    return page


def write(pages: np.ndarray, name: str, milliseconds: int = 100) -> None:
    """An animated WebP of `f h w 3`."""
    sticker = Sticker(opaque(pages), (milliseconds,) * len(pages))
    write_sticker(sticker, IMAGES / name, quality=85)


def repeated(frames: np.ndarray, count: int) -> np.ndarray:
    """`count` frames of a loop, whatever its length."""
    return frames[np.arange(count) * len(frames) // count]


def resized(frames: np.ndarray, size: int) -> np.ndarray:
    """`f h w c` at `size` x `size`."""
    return np.stack([np.asarray(Image.fromarray(frame).resize((size, size))) for frame in frames])


def drawn(source: ProceduralStickers, number: int) -> np.ndarray:
    """Frames `f h w 4` of one sticker of the series."""
    return next(islice(source, number, None)).frames


def before_and_after(folder: Path) -> None:
    """Opaque stickers above, what `glassine cutout` makes of them below."""
    source = ProceduralStickers(seed=SEED, size=256, num_frames=FRAMES, length=60)
    board = checkerboard(SIZE, SIZE, 12)
    above, below = [], []
    for number, color in SHOWN:
        frames = drawn(source, number)
        given, made = folder / f"{number}.gif", folder / f"{number}.webp"
        flat = over(frames, np.broadcast_to(np.uint8(color), (*frames.shape[1:3], 3)))
        write_sticker(Sticker(opaque(flat), (100,) * len(flat)), given.with_suffix(".png"))
        main(["cutout", str(given.with_suffix(".png")), str(made), "--quiet"])
        above.append(resized(flat, SIZE))
        below.append(over(resized(read_sticker(made).frames, SIZE), board))
    write(grid([above, below]), "before_after.webp")
    write(grid([[above[1], below[1]]]), "cutout.webp")


def generated(folder: Path) -> None:
    """Seed 0 of three prompts, as `glassine generate` makes them."""
    board = checkerboard(SIZE, SIZE, 12)
    row = []
    for prompt in PROMPTS:
        made = folder / f"{prompt}.webp"
        main(["generate", prompt, str(made), "--seed", "0", "--transparent", "--quiet"])
        row.append(over(resized(read_sticker(made).frames, SIZE), board))
    write(grid([row]), "generate.webp", 125)


def generated_frames(folder: Path) -> None:
    """Seed 0 of each prompt of the grids, opaque, its frames side by side."""
    rows = []
    for number, prompt in enumerate(GRID_PROMPTS):
        made = folder / f"frames{number}.webp"
        main(["generate", prompt, str(made), "--seed", "0", "--quiet"])
        frames = repeated(read_sticker(made).frames[..., :3], 8)
        rows.append([frame[None] for frame in resized(frames, 96)])
    write(grid(rows), "generated_frames.webp")


def moved(folder: Path) -> None:
    """Seed 0 of each prompt of the grids transparent, moving."""
    board, rows = checkerboard(128, 128, 12), []
    for number, prompt in enumerate(GRID_PROMPTS):
        made = folder / f"moved{number}.webp"
        main(["generate", prompt, str(made), "--seed", "0", "--transparent", "--quiet"])
        if number % 6 == 0:
            rows.append([])
        rows[-1].append(over(read_sticker(made).frames, board))
    write(grid(rows), "latents_moving.webp", 125)


def animated(folder: Path) -> None:
    """A still, and what `glassine animate` makes of it."""
    source = ProceduralStickers(seed=SEED, size=256, num_frames=1, length=60)
    still, made = folder / "still.png", folder / "moving.webp"
    Image.fromarray(drawn(source, SHOWN[1][0])[0]).save(still)
    main(["animate", str(still), "waves hello", str(made), "--quiet"])
    board = checkerboard(SIZE, SIZE, 12)
    frames = over(resized(read_sticker(made).frames, SIZE), board)
    first = over(resized(read_sticker(still).frames, SIZE), board)
    write(grid([[np.repeat(first, len(frames), axis=0), frames]]), "animate.webp", 125)


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        before_and_after(Path(folder))
        generated(Path(folder))
        generated_frames(Path(folder))
        moved(Path(folder))
        animated(Path(folder))
