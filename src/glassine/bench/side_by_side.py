"""Input, truth and results side by side."""

from collections.abc import Sequence
from pathlib import Path

import torch
from einops import rearrange

from glassine.bench.clip_scores import pack, score_alpha, unmix
from glassine.bench.gallery import Cell, Pixels, draw_gallery, write_gallery
from glassine.bench.held_out import HeldOut
from glassine.bench.method import Method
from glassine.data.dataset import StickerDataset

# nothing of a third party's: the README shows them
DRAWN = {
    "line drawing on white": ("line_art", "white"),
    "emoji on its color, JPEG 75": ("emoji", "own_color_jpeg75"),
    "photo cut-out on gray": ("photo", "gray"),
    "flat drawing on its color": ("flat", "own_color"),
    "glass on white": ("glass", "white"),
}


def draw_procedural(held_out: HeldOut, methods: Sequence[Method], stem: Path) -> tuple[Path, Path]:
    """Our own drawings, of the same split."""
    return draw([(title, held_out.procedural(*drawn)) for title, drawn in DRAWN.items()], methods, stem)


def draw(shown: Sequence[tuple[str, StickerDataset]], methods: Sequence[Method], stem: Path) -> tuple[Path, Path]:
    """Input, truth and results: a row for a sticker of each named data set, evenly spread over them, none picked."""
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
    """`f 3 h w` and `f 1 h w` in [0, 1] to `f h w 4` uint8."""
    frames = rearrange(torch.cat([color, alpha], dim=1), "f c h w -> f h w c")
    return (frames * 255).round().byte().numpy()


def blank(clip: Pixels) -> Pixels:
    """Nothing to see, as large as `clip`: `f h w 4`."""
    return rgba(torch.zeros(len(clip), 3, *clip.shape[1:3]), torch.zeros(len(clip), 1, *clip.shape[1:3]))
