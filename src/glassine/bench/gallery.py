"""Pictures of results, still and animated: grids of labelled cells, mattes with input and truth, grids of seeds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from glassine.bench.evaluate import pack, score_alpha, unmix
from glassine.bench.methods import AlphaMethod
from glassine.bench.progress import progress_bar
from glassine.bench.protocols import AlphaEvalSet
from glassine.data.codecs import write_sticker
from glassine.data.dataset import StickerDataset
from glassine.data.sticker import Sticker
from glassine.models.sampling import Progress as StepProgress
from glassine.utils.colors import checkerboard

Pixels = NDArray[np.uint8]
CELL, GAP, MARGIN, CAPTION, HEAD = 208, 14, 20, 26, 34  # pixels
PAPER, INK, SOFT_INK = (250, 250, 248), (28, 28, 30), (110, 110, 115)
SQUARE = 13  # pixels
# procedural stickers, so that the README shows no third-party art: title -> (family, condition)
DRAWN = {
    "line drawing on white": ("line_art", "white"),
    "emoji on its color, JPEG 75": ("emoji", "own_color_jpeg75"),
    "photo cut-out on gray": ("photo", "gray"),
    "flat drawing on its color": ("flat", "own_color"),
    "glass on white": ("glass", "white"),
}
SEEDS = tuple(range(8))
PROMPTS = (
    "grinning face", "red heart", "rocket", "pizza", "a dancing cat", "thumbs up", "ghost", "birthday cake",
    "crying face", "a waving panda", "blue car", "微笑的脸",
)  # fmt: skip
# the font has no Chinese characters
SHOWN = dict.fromkeys(("笑脸", "微笑的脸"), "smiling face, in Chinese")
# (prompt, seeds, progress) -> a sticker for each seed
Make = Callable[[str, Sequence[int], StepProgress], Sequence[Sticker]]
# way of generating stickers -> name of its picture
WAYS = {
    "opaque": "generated",
    "ildiff": "generated_ildiff",
    "latents": "generated_latents",
    "still": "generated_stills",
}


@dataclass(frozen=True)
class Cell:
    """One picture and its caption.

    Attributes:
        frames: `f h w 3` or straight RGBA `f h w 4`, uint8, square; RGBA is shown on a checkerboard.
        caption: shown below, a few words.
    """

    frames: Pixels
    caption: str = ""


def draw_gallery(rows: Sequence[Sequence[Cell]], columns: Sequence[str]) -> Pixels:
    """Lay out `rows` of cells under the names of the `columns`, `f H W 3` uint8.

    All cells must have the same number of frames.
    """
    height = HEAD + len(rows) * (CELL + CAPTION + GAP) - GAP + 2 * MARGIN
    width = len(columns) * (CELL + GAP) - GAP + 2 * MARGIN
    page = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(page)
    for number, name in enumerate(columns):
        center = MARGIN + number * (CELL + GAP) + CELL // 2
        draw.text((center, MARGIN + 10), name, INK, ImageFont.load_default(19), anchor="mm")
    places = []
    for line, row in enumerate(rows):
        top = MARGIN + HEAD + line * (CELL + CAPTION + GAP)
        for number, cell in enumerate(row):
            left = MARGIN + number * (CELL + GAP)
            places.append((top, left, over_checkerboard(fit(cell.frames))))
            middle = (left + CELL // 2, top + CELL + CAPTION // 2)
            draw.text(middle, cell.caption, SOFT_INK, ImageFont.load_default(15), anchor="mm")
    frames = np.repeat(np.asarray(page)[None], len(places[0][2]), axis=0)  # f H W 3
    for top, left, clip in places:
        frames[:, top : top + CELL, left : left + CELL] = clip
    return frames


def fit(frames: Pixels) -> Pixels:
    """Resize frames to the size of a cell; RGBA becomes premultiplied."""
    how = cv2.INTER_AREA if frames.shape[1] >= CELL else cv2.INTER_LINEAR
    return np.stack([cv2.resize(frame, (CELL, CELL), interpolation=how) for frame in premultiplied(frames)])


def premultiplied(frames: Pixels) -> Pixels:
    """RGBA with colors multiplied by alpha, so that resizing does not mix in the color of clear pixels."""
    if frames.shape[-1] == 3:
        return frames
    alpha = frames[..., 3:].astype(np.uint16)
    return np.concatenate([((frames[..., :3] * alpha + 127) // 255).astype(np.uint8), frames[..., 3:]], axis=-1)


def over_checkerboard(frames: Pixels) -> Pixels:
    """Premultiplied `f h w 4` composited on a checkerboard; `f h w 3` unchanged."""
    if frames.shape[-1] == 3:
        return frames
    return laid_over(frames, checkerboard(frames.shape[1], frames.shape[2], SQUARE))


def laid_over(frames: Pixels, behind: Pixels) -> Pixels:
    """Premultiplied `... h w 4` over a picture `h w 3` (or `h w 1`): `... h w 3`."""
    mixed = frames[..., :3] + (behind * (255 - frames[..., 3:].astype(np.int64)) + 127) // 255
    return mixed.clip(0, 255).astype(np.uint8)


def write_gallery(frames: Pixels, frame_ms: Sequence[int], stem: Path) -> tuple[Path, Path]:
    """Write `stem`.png (the first frame) and `stem`.webp (all), and return both paths."""
    opaque = np.concatenate([frames, np.full_like(frames[..., :1], 255)], axis=-1)  # f H W 4
    still, animated = stem.with_suffix(".png"), stem.with_suffix(".webp")
    write_sticker(Sticker(opaque[:1], (frame_ms[0],)), still)
    write_sticker(Sticker(opaque, tuple(frame_ms)), animated, quality=90)
    return still, animated


def draw_procedural(eval_set: AlphaEvalSet, methods: Sequence[AlphaMethod], stem: Path) -> tuple[Path, Path]:
    """Draw input, truth and results of the procedural stickers in `DRAWN`; see `draw`."""
    return draw([(title, eval_set.procedural(*drawn)) for title, drawn in DRAWN.items()], methods, stem)


def draw(shown: Sequence[tuple[str, StickerDataset]], methods: Sequence[AlphaMethod], stem: Path) -> tuple[Path, Path]:
    """Draw input, truth and results in a row for each data set.

    Args:
        shown: title and data set of each row. One sticker of each is drawn, at evenly spread positions, not
            hand-picked.
        methods: the columns after input and truth; those without weights get a blank cell.
        stem: path of the files without suffix.

    Returns:
        The PNG and the animated WebP.
    """
    rows, duration = [], 125
    for number, (title, dataset) in enumerate(shown):
        sample = pack(dataset[(2 * number + 1) * len(dataset) // (2 * len(shown))])
        clip = rearrange(sample["clip"], "f c h w -> f h w c").numpy()
        truth = rgba(sample["foreground"].float() / 255, sample["alpha"])
        cells = [Cell(clip, title), Cell(truth, "")]
        for method in methods:
            if method.function is None:
                cells.append(Cell(blank(clip), "no weights"))
                continue
            pixels = sample["clip"].float().unsqueeze(0) / 255  # 1 f 3 h w
            alpha = method.alpha(pixels)
            psnr = score_alpha(alpha, sample).compute()["psnr_mean"]
            cells.append(Cell(rgba(unmix(pixels, alpha)[0], alpha[0]), f"{psnr:.1f} dB"))
        rows.append(cells)
    frames = draw_gallery(rows, ("input", "truth", *(method.title for method in methods)))
    return write_gallery(frames, [duration] * len(frames), stem)


def rgba(color: torch.Tensor, alpha: torch.Tensor) -> Pixels:
    """Join color `f 3 h w` and alpha `f 1 h w`, both in [0, 1], to `f h w 4` uint8."""
    frames = rearrange(torch.cat([color, alpha], dim=1), "f c h w -> f h w c")
    return (frames * 255).round().byte().numpy()


def blank(clip: Pixels) -> Pixels:
    """Transparent frames `f h w 4` of the size of `clip`."""
    return rgba(torch.zeros(len(clip), 3, *clip.shape[1:3]), torch.zeros(len(clip), 1, *clip.shape[1:3]))


def make_grid(
    make: Make, to: Path, prompts: Sequence[str] = PROMPTS, seeds: Sequence[int] = SEEDS
) -> tuple[Path, Path]:
    """Write a picture and an animation with a row for each prompt and a column for each seed.

    Args:
        make: generates the stickers of a row from a prompt, seeds and `progress`.
        to: path of both files without suffix.
        prompts: one for each row.
        seeds: one for each column.

    Returns:
        The PNG and the animated WebP.
    """
    stickers: list[Sticker] = []
    with progress_bar() as tell:
        for row, prompt in enumerate(prompts):
            progress = partial(in_row, tell=partial(tell, "making"), row=row, rows=len(prompts))
            stickers += make(prompt, seeds, progress)
    asked = [prompt for prompt in prompts for _ in seeds]
    cells = [Cell(sticker.frames, SHOWN.get(prompt, prompt)) for sticker, prompt in zip(stickers, asked, strict=True)]
    rows = [cells[start : start + len(seeds)] for start in range(0, len(cells), len(seeds))]
    frames = draw_gallery(rows, [f"seed {seed}" for seed in seeds])
    return write_gallery(frames, stickers[0].durations, to)


def in_row(done: int, of: int, tell: Callable[[int, int], None], row: int, rows: int) -> None:
    """Report the progress of the whole grid, given that of one row."""
    tell(row * of + done, rows * of)


def grid_maker(way: str, weights: str | None, device: str) -> Make:
    """A pipeline for one of `WAYS`, with its default size and number of frames.

    Args:
        way: key of `WAYS`.
        weights: of the generator; None for the shipped ones.
        device: `auto`, `cpu` or `cuda`.
    """
    from glassine.pipelines.animate import TINY as ANIMATES
    from glassine.pipelines.animate import AnimatePipeline
    from glassine.pipelines.cutout import CutoutPipeline
    from glassine.pipelines.motion import MotionPipeline, MovedStickerPipeline
    from glassine.pipelines.text_to_sticker import STILL, TINY, TextToStickerPipeline

    if way == "latents":
        animate = AnimatePipeline.from_pretrained(weights or ANIMATES, device=device)
        if weights is not None:
            return lambda prompt, seeds, progress: animate(prompt, seed=seeds, progress=progress)
        moved = MovedStickerPipeline(animate, MotionPipeline.from_pretrained(device=device))
        return lambda prompt, seeds, progress: moved(prompt, seed=seeds, progress=progress)
    cut_out = CutoutPipeline.from_pretrained(device=device) if way in ("ildiff", "still") else None
    shipped, frames = (STILL, 1) if way == "still" else (TINY, None)
    generate = TextToStickerPipeline.from_pretrained(weights or shipped, cut_out, device=device)
    return lambda prompt, seeds, progress: generate(prompt, frames, seed=seeds, progress=progress)
