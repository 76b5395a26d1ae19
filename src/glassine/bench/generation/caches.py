"""The latents that generators are trained on, cached under a name each."""

from pathlib import Path

from glassine.errors import UserError

DATA_FOLDER = "data/fluent"
LATENTS = Path("data/latents")
# what `glassine data cache-latents` is asked for; DATA stands for the shard folder
DATA = "DATA"
CACHES = {
    "stickers": (DATA, "--animated-only", "--views", "4"),
    "stills": (DATA, "--stills-only", "--views", "1", "--flip"),
    "procedural": ("--procedural", "1600", "--views", "4"),
    "transparent": (DATA, "--transparent", "--animated-only", "--views", "4"),
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
