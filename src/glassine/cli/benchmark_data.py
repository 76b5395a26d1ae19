"""The data of `glassine benchmark`: test sets, and the latent caches that methods are trained on."""

import argparse
from pathlib import Path

from glassine.bench.protocols import SETS
from glassine.bench.run import DATA, Run
from glassine.cli.benchmark_arguments import cache_latents
from glassine.utils.experiments import read_experiment


def test_sets(args: argparse.Namespace) -> dict[str, str]:
    """Shard folder of each test set; without the second domain where it is not at hand."""
    roots = dict.fromkeys(SETS, args.data) | {"second": args.second}
    if not Path(args.second).is_dir():
        print(f"the second domain is skipped: no shards in {args.second}, see `glassine data fetch world`")
        del roots["second"]
    return roots


def cache_latents_of(run: Run) -> None:
    """Write or complete the latent caches that a run is trained on."""
    for name in run.trained_on.caches if run.trained_on is not None else ():
        transparent = name.startswith("transparent")
        makers = latent_makers(run.budget.start, "codec" if transparent else "vae")
        cache_latents(name, run.budget.data or DATA, run.budget.latents, run.budget.accelerator, makers)


def latent_makers(start: Path | None, part: str) -> list[str]:
    """Arguments of `data cache-latents` for the VAE or codec that a YAML of `--start` names; none without one."""
    if start is None:
        return []
    network = read_experiment(start).get("model", {}).get("init_args", {}).get("generator", {}).get("init_args", {})
    source = network.get(part, {}).get("init_args", {}).get("source")
    return [f"--{part}", str(source)] if source is not None else []
