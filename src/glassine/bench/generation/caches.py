"""Latents that generators are trained on, cached under a name each: `python -m glassine.bench.generation.caches`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from glassine.utils.errors import UserError, exit_code

DATA_FOLDER = "data/fluent"
LATENTS = Path("data/latents")
# what `glassine data cache-latents` is asked for; DATA stands for the shard folder
DATA = "DATA"
CACHES = {
    "stickers": (DATA, "--animated-only", "--views", "4"),
    "stills": (DATA, "--stills-only", "--views", "1", "--flip"),
    "procedural": ("--procedural", "1600", "--views", "4"),
    # whole stickers end where they begin, so what learns from them makes loops
    "loops": (DATA, "--animated-only", "--whole"),
    "loops_16": (DATA, "--animated-only", "--whole", "--frames", "16"),
    "transparent_loops": (DATA, "--transparent", "--animated-only", "--whole", "--frames", "16"),
    "transparent_stills": (DATA, "--transparent", "--stills-only", "--views", "1", "--flip"),
}


def make_cache(name: str, data: str, folder: Path, device: str) -> None:
    """Write a cache, or what is missing of it, to `folder/name`.

    Args:
        name: key of `CACHES`.
        data: shard folder.
        folder: of all caches.
        device: as `glassine data cache-latents` takes it.

    Raises:
        UserError: no such data, or what is there is a cache of other networks.
    """
    from glassine.__main__ import main

    asked = [data if word == DATA else word for word in CACHES[name]]
    if main(["data", "cache-latents", *asked, "--to", str(folder / name), "--device", device]):
        raise UserError(f"the latents of {name} could not be cached, see above; the same command goes on")


def command(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns its exit code."""
    parser = argparse.ArgumentParser("python -m glassine.bench.generation.caches", description=__doc__)
    parser.add_argument("names", nargs="+", choices=CACHES, metavar="NAME", help=", ".join(CACHES))
    parser.add_argument("--data", default=DATA_FOLDER, help="shard folder (default: %(default)s)")
    parser.add_argument("--to", type=Path, default=LATENTS, help="folder of all caches (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu or gpu")
    args = parser.parse_args(arguments)

    def work() -> None:
        for name in args.names:
            make_cache(name, args.data, args.to, args.device)

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(command())
