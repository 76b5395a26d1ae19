"""What a fresh ILDiff run reached: `python -m glassine.bench.after_training lightning_logs/ildiff/tiny`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from glassine.bench.console import print_scores, progress_bar
from glassine.bench.decoder_methods import CODEC, ildiff_method
from glassine.bench.held_out import CONDITION_TITLES, GLASS, HeldOut
from glassine.bench.methods import Sources, make_methods
from glassine.bench.scoring import score
from glassine.bench.side_by_side import draw
from glassine.data.sticker import Split
from glassine.pretrained.weights import read_run_config
from glassine.utils.devices import keep_freed_memory, pick_device
from glassine.utils.errors import UserError, exit_code
from glassine.utils.experiments import training_root

CONDITIONS = ("white", "gray", "own_color_jpeg75")
SHOWN = ("white", "own_color_jpeg75", "gray", GLASS, "own_color")


def after_training(
    run: Path,
    data: str | None = None,
    split: Split = "test",
    stickers: int = 16,
    size: int = 256,
    codec: str = CODEC,
    device: str = "auto",
) -> tuple[Path, Path]:
    """Score the run's ILDiff beside LayerDiffuse and two simple methods, print the table, draw the pictures.

    Args:
        run: folder with `config.yaml` and `checkpoints/last.ckpt`.
        data: shard folder; None for the one the run was trained on.
        split: of the stickers.
        stickers: how many, each of its own group.
        size: pixels.
        codec: bundle or run of LayerDiffuse's codec.
        device: `auto`, `cpu` or `cuda`.

    Returns:
        The PNG and the animated WebP.

    Raises:
        UserError: there is no such run, or no data.
    """
    config = read_run_config(run / "checkpoints" / "last.ckpt")
    root = data or training_root(config)
    if not root:
        raise UserError(f"{run} was trained on procedural stickers alone; give a shard folder by --data")
    held_out = HeldOut(root, split, size, limit=stickers)
    simple = make_methods(
        ["flood_fill", "color_projection", "layer_diffuse"], Sources(codec=codec), pick_device(device)
    )
    ildiff = ildiff_method(str(run), pick_device(device))
    if ildiff.function is None:
        raise UserError(ildiff.missing)
    with progress_bar() as progress:
        records = score([*simple, ildiff], held_out, run / "scores", CONDITIONS, data=held_out.name, progress=progress)
    print_scores(records, f"{run} on held-out stickers")
    shown = [name for name in SHOWN if name in held_out.conditions][: len(held_out)]
    rows = [(CONDITION_TITLES[name], held_out.dataset(name)) for name in shown]
    still, animated = draw(rows, (simple[-1], ildiff), run / "held_out")
    print(f"picture:   {still}\nanimation: {animated}")
    return still, animated


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns its exit code."""
    parser = argparse.ArgumentParser("python -m glassine.bench.after_training", description=__doc__)
    parser.add_argument("run", type=Path, help="for instance lightning_logs/ildiff/tiny")
    parser.add_argument("--data", help="shard folder; default: the one the run was trained on")
    parser.add_argument("--split", choices=("val", "test"), default="test")
    parser.add_argument("--stickers", type=int, default=16, help="how many held-out stickers")
    parser.add_argument("--size", type=int, default=256, help="pixels")
    parser.add_argument("--codec", default=CODEC, help="LayerDiffuse's codec: a bundle or a run")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    args = parser.parse_args(arguments)
    keep_freed_memory()
    return exit_code(
        lambda: after_training(args.run, args.data, args.split, args.stickers, args.size, args.codec, args.device)
    )


if __name__ == "__main__":
    sys.exit(main())
