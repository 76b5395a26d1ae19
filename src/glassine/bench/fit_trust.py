"""Fit ILDiff's trust on the validation groups: `python -m glassine.bench.fit_trust FOLDER` with exported weights.

See `glassine.bench.stacking`. The weights are changed in place. What the fit is worth on stickers that it has not seen
is printed, too: from a fit on one half of the groups that is scored on the other.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from glassine.bench.console import print_table, progress_bar
from glassine.bench.held_out import CONDITION_TITLES, HeldOut
from glassine.bench.loading import load_network
from glassine.bench.rows import percent
from glassine.bench.stacking import Answers, collect, cross_fitted, fit
from glassine.bench.tables import Table
from glassine.data.clips import ShardClips
from glassine.data.dataset import StickerDataset
from glassine.data.transforms import StickerTransform
from glassine.models.ildiff import ILDiff, LayoutHint
from glassine.models.vae import RoundTrip
from glassine.pretrained.weights import load_bundle, save_bundle
from glassine.utils.devices import pick_device
from glassine.utils.errors import UserError, exit_code

# what people bring: a flat background, damaged as files are. Not the faded ones, which no picture tells from pale ones
CONDITIONS = ("white", "gray", "own_color", "own_color_jpeg75", "white_gif_palette", "vae_decoded")
TRAINING = "as in training"
DRAWS = 2  # of training's own backgrounds and damages


def fit_trust(
    folder: Path, data: str, device: torch.device, size: int = 256, vae: str = "glassine:tiny-vae", steps: int = 800
) -> Table:
    """Fit and save.

    Args:
        folder: weights of an `ILDiff` with a hint, as `glassine export weights` writes them.
        data: shard folder; its validation groups are used.
        device: where the network answers.
        size: height and width of the clips.
        vae: of the condition `vae_decoded`.
        steps: of each fit.

    Returns:
        PSNR by condition, cross-fitted: before, and after.

    Raises:
        UserError: no such weights, a network without a hint, or no animated sticker in the validation groups.
    """
    network = load_bundle(str(folder))
    if not isinstance(network, ILDiff) or not isinstance(network.hint, LayoutHint):
        raise UserError(f"{folder} holds no ILDiff with a LayoutHint; trust is the hint's")
    round_trip = RoundTrip(load_network(vae, "vae").network)
    answers = ask(network.to(device), data, size, round_trip)
    hint = network.cpu().hint
    assert isinstance(hint, LayoutHint)
    with torch.no_grad():
        before = hint.weigh(answers.statistics)
    after = cross_fitted(hint, answers, steps)
    fit(hint, answers, steps=steps)
    save_bundle(network, yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8")), folder)
    return compared(answers, before, after)


def ask(network: ILDiff, data: str, size: int, round_trip: RoundTrip) -> Answers:
    """The network's answers for one animated sticker of each validation group, two frames of it in every condition."""
    held_out = HeldOut(data, "val", size, num_frames=2, round_trip=round_trip)
    sets = [(name, held_out.dataset(name)) for name in CONDITIONS]
    parts = [ShardClips(held_out.shards, held_out.rows)]
    how = (held_out.num_frames, (size, size), StickerTransform())
    sets += [(TRAINING, StickerDataset(parts, *how, seed=draw)) for draw in range(DRAWS)]

    def samples(tell: Any) -> Iterator[tuple[str, dict[str, Any]]]:
        for place, (name, clips) in enumerate(sets):
            for row in range(len(clips)):
                tell(name, place * len(clips) + row, len(sets) * len(clips))
                yield name, clips[row]

    with progress_bar() as tell:
        return collect(network, samples(tell))


def compared(answers: Answers, before: torch.Tensor, after: torch.Tensor) -> Table:
    """Mean PSNR and share under 20 dB by condition."""
    lines = []
    for name in dict.fromkeys(answers.conditions):
        rows = torch.tensor([place for place, condition in enumerate(answers.conditions) if condition == name])
        scores = [answers.psnr(trust, rows) for trust in (before, after)]
        cells = [f"{score.mean():.1f} ({percent((score < 20).float().mean().item())})" for score in scores]
        lines.append([CONDITION_TITLES.get(name, name), *cells])
    return ["alpha PSNR, dB", "before", "fitted, on the other half"], lines


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns its exit code."""
    parser = argparse.ArgumentParser("python -m glassine.bench.fit_trust", description=__doc__)
    parser.add_argument("folder", type=Path, help="exported weights; they are changed")
    parser.add_argument("--data", default="data/fluent", help="shard folder (default: %(default)s)")
    parser.add_argument("--size", type=int, default=256, help="pixels (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu or gpu")
    args = parser.parse_args(arguments)
    return exit_code(lambda: print_table(fit_trust(args.folder, args.data, pick_device(args.device), args.size)))


if __name__ == "__main__":
    sys.exit(main())
