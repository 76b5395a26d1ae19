"""Rows of ILDiff without one of its parts: networks that `make ablate-variants` trains, for a few steps each.

They compare with each other, and with the paper's ILDiff after as many steps; not with what ships. So they are scored
where the paper's table is measured, and not under all conditions.
"""

import dataclasses
import re
from pathlib import Path

import torch

from glassine.bench.decoder_methods import ildiff_method
from glassine.bench.fit_runs import steps_of
from glassine.bench.method import CPU, TITLES, Method
from glassine.bench.paper_tables import CONDITIONS

RUNS = Path("lightning_logs/ildiff")
ARMS = {
    "ildiff_paper": "depth5",
    "ildiff_no_layout": "variants-no_layout",
    "ildiff_no_time": "depth0",
    "ildiff_explicit_masks": "variants-explicit_masks",
}


def variant(name: str, runs: Path = RUNS, device: torch.device = CPU) -> Method:
    """The row of the longest run of that variant, of the lowest seed among those.

    Args:
        name: key of `ARMS`.
        runs: folder of the ablation's runs.
        device: where the network runs.
    """
    pattern = re.compile(re.escape(ARMS[name]) + r"-seed(\d+)-(\d+)steps")
    found = [(match, path) for path in runs.glob("*") if (match := pattern.fullmatch(path.name))]
    if not found:
        return Method(name, TITLES[name], missing="no run of it here; `make ablate-variants` trains it")
    match, path = min(found, key=lambda pair: (-int(pair[0][2]), int(pair[0][1])))
    done, steps = steps_of(path / "checkpoints" / "last.ckpt"), int(match[2])
    if done < steps:
        return Method(
            name, TITLES[name], missing=f"its run has {done} of {steps} steps; `make ablate-variants` goes on"
        )
    return dataclasses.replace(ildiff_method(str(path), device, TITLES[name], name), conditions=CONDITIONS)
