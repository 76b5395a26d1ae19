"""Write the mean and standard deviation of a VAE's latents into its bundle.

A diffusion model expects latents of mean 0 and standard deviation 1 per channel. `TextToVideo.normalize` reads both
from the VAE's configuration, under diffusers' names. The queue of `glassine pretrain` runs this module as
`python -m glassine.bench.latent_statistics`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from glassine.data.frame_cache import CachedFrames
from glassine.data.latent_cache import LatentFolder, texts_of
from glassine.nn.compositing import composite_on
from glassine.nn.priors import LatentPrior
from glassine.pretrained.weights import load_bundle, locate, save_bundle
from glassine.utils.errors import UserError, exit_code
from glassine.utils.files import atomic_path

BATCH = 32


@torch.no_grad()
def latent_statistics(vae: Any, frames: CachedFrames, background: float = 1.0) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation per channel, `c` each, of the latents over all pictures and positions.

    The latents are the means of the VAE's posteriors.

    Args:
        vae: with the interface of diffusers.
        frames: cached frames; one frame of each subject is used.
        background: level in [0, 1] of the gray on which they are composited.
    """
    count, total, squares = 0, torch.zeros(()), torch.zeros(())
    for start in range(0, len(frames), BATCH):
        rows = range(start, min(start + BATCH, len(frames)))
        rgba = torch.cat([frames[0, row]["rgba"] for row in rows])  # n 4 h w
        pictures = composite_on(rgba, rgba.new_full((1, 1, 1, 1), background))
        latents = vae.encode(pictures * 2 - 1).latent_dist.mean.double()  # n c h/8 w/8
        count += latents.numel() // latents.shape[1]
        total = total + latents.sum((0, 2, 3))
        squares = squares + latents.square().sum((0, 2, 3))
    mean = total / count
    return mean.float(), (squares / count - mean.square()).clamp(min=1e-12).sqrt().float()


def write_statistics(source: str, folders: Sequence[str], split: str = "train") -> None:
    """Measure the statistics and write `latents_mean` and `latents_std` into the bundle's `config.yaml`.

    Args:
        source: bundle, a folder or `glassine:NAME`.
        folders: caches of frames.
        split: of the stickers, or `all`.

    Raises:
        UserError: the bundle or the frames do not exist, or the bundle is not a VAE with `init_args`.
    """
    file = locate(source) / "config.yaml"
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    vae = load_bundle(source)
    if not hasattr(vae, "encode") or "init_args" not in content:
        raise UserError(f"{source} must be a VAE with init_args in its config.yaml, got a {type(vae).__name__}")
    mean, std = latent_statistics(vae, CachedFrames(list(folders), split))
    content["init_args"] |= {"latents_mean": rounded(mean), "latents_std": rounded(std)}
    with atomic_path(file) as temporary:
        temporary.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    print(f"{file}: mean {rounded(mean)}, standard deviation {rounded(std)}")


@torch.no_grad()
def write_captions(source: str, folders: Sequence[str]) -> None:
    """Store the embedding of each sticker's first English caption in the `LatentPrior` of a bundle.

    Args:
        source: bundle, a folder or `glassine:NAME`.
        folders: caches of latents.

    Raises:
        UserError: the bundle or a cache does not exist, or the bundle holds another network or has too little room.
    """
    folder = locate(source)
    prior = load_bundle(source).train()  # in eval mode, `pooled` would return the nearest known captions
    if not isinstance(prior, LatentPrior):
        raise UserError(f"{source} must hold a LatentPrior, got a {type(prior).__name__}")
    known: dict[str, Tensor] = {}
    for place in folders:
        cache = LatentFolder(Path(place), None, None, 0.0, 0, by_group=False)
        known.setdefault("", prior.pooled(cache.empty_prompt_embeds[None])[0])  # the unconditional prompt of guidance
        for number, stickers in enumerate(cache.about):
            embeds = cache.files.file(number).get_tensor("prompt_embeds").float()  # m n d
            for row, about in enumerate(stickers):
                if english := texts_of(about, row)[0]:
                    known.setdefault(about["caption"], prior.pooled(embeds[english[0]][None])[0])
    prior.remember(torch.stack(list(known.values())))
    content = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    save_bundle(prior, content, folder)
    print(f"{folder}: stored {len(known) - 1} captions and the empty one")


def rounded(values: Tensor) -> list[float]:
    """The values with four decimals, which is more precise than float16 weights."""
    return [round(float(value), 4) for value in values]


def command(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser("python -m glassine.bench.latent_statistics", description=__doc__)
    parser.add_argument("vae", help="bundle: a folder or glassine:NAME")
    parser.add_argument("frames", nargs="+", help="caches of `glassine data cache-frames`")
    parser.add_argument("--split", default="train", help="train, val, test or all (default: %(default)s)")
    args = parser.parse_args(arguments)
    return exit_code(lambda: write_statistics(args.vae, args.frames, args.split))


if __name__ == "__main__":
    sys.exit(command())
