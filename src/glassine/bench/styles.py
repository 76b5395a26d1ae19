"""Cut-out over styles and backgrounds: stickers of several kinds, on flat and other backgrounds, clean and damaged.

A small check for one core and a few minutes, by which settings of the closed form are chosen on `train` and `val`
groups; `test` groups are for the tables alone. `python -m glassine.bench.styles --shards data/world/noto ...`.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from glassine.data.alpha import composite_frames
from glassine.data.shards import StickerShards, resize_frames
from glassine.data.transforms import (
    Background,
    Checkerboard,
    Degradation,
    FlatBackground,
    GifPalette,
    Gradient,
    Jpeg,
    OwnColor,
    TwoColors,
)
from glassine.models.classic import ColorProjection, for_damaged_files
from glassine.pipelines.cutout import METHODS, CutoutPipeline
from glassine.procedural.stickers import StickerRenderer

Frames = NDArray[np.uint8]  # f h w 4
Cut = Callable[[Frames, bool], Frames]  # opaque frames, whether they are damaged -> alpha f h w
SIZE, FRAMES, BEST = 256, 3, 60.0
FAMILIES = ("flat", "line_art", "text", "holes", "pixel", "border", "group", "photo")
WHITE, GRAY = FlatBackground((1.0, 1.0, 1.0), "white"), FlatBackground((0.5, 0.5, 0.5), "gray")
BACKGROUNDS: tuple[Background, ...] = (WHITE, GRAY, OwnColor(), Gradient(), TwoColors(), Checkerboard())
DAMAGES: dict[str, Degradation | None] = {
    "": None,
    " + JPEG 75": Jpeg((75, 75), full_color=0.0),
    " + GIF": GifPalette((64, 64), dither=1.0, shared=1.0),
}


def stickers(shards: Sequence[Path], split: str, limit: int, rendered: int) -> list[tuple[str, Frames]]:
    """Style and frames of up to `limit` stickers of each folder, and `rendered` ones of each family."""
    found = []
    for folder in shards:
        source = StickerShards(folder)
        rows = source.select(split)  # type: ignore[arg-type]
        for row in rows[np.linspace(0, len(rows) - 1, min(limit, len(rows))).round().astype(int)].tolist():
            count = len(source.durations(row))
            chosen = [count // 5, min(count - 1, count // 5 + 1), count * 3 // 5]
            found.append((folder.name, resize_frames(source.read(row, chosen), SIZE, SIZE, keep_shape=True)))
    series = {"train": 901, "val": 902, "test": 903}[split]
    for family in FAMILIES:
        renderer = StickerRenderer(series, SIZE, 12, max(1, rendered), [family])
        found += [(f"rendered {family}", renderer.render(number, [2, 3, 8])) for number in range(rendered)]
    return found


def on_background(frames: Frames, background: Background, damage: Degradation | None, seed: int) -> Frames:
    """What a user would bring: opaque frames `f h w 4`."""
    rng = np.random.default_rng(seed)
    behind = background(frames.astype(np.float32) / np.float32(255), rng)
    behind = np.broadcast_to(behind, (*frames.shape[:3], 3)) * np.float32(255)
    share = frames[..., 3:].astype(np.float32) / 255
    clip = (frames[..., :3] * share + behind * (1 - share)).round().clip(0, 255).astype(np.uint8)
    if damage is not None:
        clip = damage(clip, rng)
    return np.concatenate([clip, np.full_like(clip[..., :1], 255)], axis=-1)


def psnr(alpha: Frames, truth: Frames) -> float:
    """Mean over frames of alpha PSNR in dB, at most `BEST`."""
    error = np.square(alpha.astype(np.float64) - truth).mean(axis=(1, 2))
    return float(np.minimum(10 * np.log10(255**2 / np.maximum(error, 1e-9)), BEST).mean())


def rows() -> dict[str, Cut]:
    """What is compared: the pipeline by each method, and flood fill with color projection."""
    pipeline = CutoutPipeline.from_pretrained(device="cpu")

    def by(method: str) -> Cut:
        def cut(frames: Frames, _: bool) -> Frames:
            done = pipeline.stream(((frame, 40) for frame in frames), method=method)  # type: ignore[arg-type]
            return np.stack([frame[..., 3] for frame, _ in done])

        return cut

    def projection(network: Callable[[bool], torch.nn.Module]) -> Cut:
        def cut(frames: Frames, damaged: bool) -> Frames:
            clip = torch.from_numpy(composite_frames(frames, (128, 128, 128))).permute(0, 3, 1, 2)[None].float() / 255
            return (network(damaged)(clip, None)[0, :, 0].numpy() * 255).round().astype(np.uint8)

        return cut

    fill = {damaged: ColorProjection((12 if damaged else 1) / 255 + 1e-4, band=1) for damaged in (False, True)}
    classic = {
        "flood fill + color projection": projection(lambda damaged: fill[damaged]),
        "color projection, calm": projection(lambda damaged: for_damaged_files()),
    }
    return {**{method: by(method) for method in METHODS}, **classic}


def table(kinds: Sequence[tuple[str, Frames]], methods: dict[str, Cut]) -> str:
    """Markdown: a row a method and condition, a column a style; the share of stickers under 20 dB at the end."""
    styles = list(dict.fromkeys(style for style, _ in kinds))
    lines = [
        "| condition | method | " + " | ".join(styles) + " | mean | under 20 dB |",
        "|---" * (len(styles) + 4) + "|",
    ]
    for background in BACKGROUNDS:
        for damage_name, damage in DAMAGES.items():
            clips = [on_background(frames, background, damage, n) for n, (_, frames) in enumerate(kinds)]
            for name, cut in methods.items():
                scores = np.array(
                    [
                        psnr(cut(clip, damage is not None), kind[1][..., 3])
                        for clip, kind in zip(clips, kinds, strict=True)
                    ]
                )
                of_style = [scores[[s == style for s, _ in kinds]].mean() for style in styles]
                cells = [f"{value:.1f}" for value in (*of_style, scores.mean())]
                share = f"{(scores < 20).mean():.0%}"
                lines.append(f"| {background.name}{damage_name} | {name} | " + " | ".join([*cells, share]) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=Path, nargs="*", default=[], help="folders of shards, a style each")
    parser.add_argument("--split", choices=["train", "val", "test"], default="val")
    parser.add_argument("--limit", type=int, default=4, help="stickers of each folder (default: %(default)s)")
    parser.add_argument("--rendered", type=int, default=2, help="of each family (default: %(default)s)")
    parser.add_argument("--methods", nargs="*", help="some rows only")
    args = parser.parse_args()
    methods = {name: cut for name, cut in rows().items() if not args.methods or name in args.methods}
    print(table(stickers(args.shards, args.split, args.limit, args.rendered), methods))


if __name__ == "__main__":
    main()
