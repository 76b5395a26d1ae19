"""Does time help? `python -m glassine.bench.ablate_depth --seeds 0 1 2`: ILDiff at several temporal depths.

The paper's table III. All depths are trained alike. Scores are those of the validation split, since a depth may be
chosen by them.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from glassine.bench.ablation import Arm, Trial, add_arguments, run_arms, trial_of
from glassine.bench.console import print_table
from glassine.bench.depth_report import depth_table, write_depth_report
from glassine.bench.records import Record
from glassine.utils.devices import keep_freed_memory
from glassine.utils.errors import UserError, exit_code

CONFIG = Path("experiments/ildiff/tiny_paper.yaml")
DEPTHS = (0, 3, 5, 8)
DEPTH = "--model.init_args.ildiff.init_args.adapter.init_args.depth"


def ablate_depth(
    depths: Sequence[int] = DEPTHS,
    trial: Trial | None = None,
    config: Path = CONFIG,
    benchmarks: Path = Path("benchmarks"),
) -> list[Record]:
    """Train, score, and write `ablate_depth.md` and `ablate_depth.png`.

    Args:
        depths: numbers of 3D convolutions.
        trial: how they are trained and scored.
        config: the YAML.
        benchmarks: folder of the records, the table and the plot.

    Raises:
        UserError: a negative depth, no such YAML, no data, or a training failed.
    """
    if min(depths) < 0:
        raise UserError(f"depth {min(depths)} came; a depth is 0 or more")
    arms = [depth_arm(depth, f"depth {depth}", config) for depth in depths]
    report = partial(write_depth_report, folder=benchmarks)
    records = run_arms(arms, trial or Trial(), benchmarks / "results" / "ablate_depth", "depth", report)
    print_table(depth_table(records), "ILDiff by temporal depth")
    print(f"wrote {benchmarks / 'ablate_depth.md'} and {benchmarks / 'ablate_depth.png'}")
    return records


def depth_arm(depth: int, title: str, config: Path = CONFIG) -> Arm:
    """The YAML's network with so many 3D convolutions."""
    return Arm(f"depth{depth}", title, config, (DEPTH, str(depth)))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns its exit code."""
    parser = argparse.ArgumentParser("python -m glassine.bench.ablate_depth", description=__doc__)
    parser.add_argument("--depths", type=int, nargs="+", default=list(DEPTHS))
    parser.add_argument("--config", type=Path, default=CONFIG)
    add_arguments(parser)
    args = parser.parse_args(arguments)
    keep_freed_memory()
    torch.set_float32_matmul_precision("high")
    return exit_code(lambda: ablate_depth(args.depths, trial_of(args), args.config))


if __name__ == "__main__":
    sys.exit(main())
