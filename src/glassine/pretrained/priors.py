"""A `LatentPrior` from a network of ours that has one.

TODO-DOC
Whose work cached latents and text embeddings are.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from glassine.pretrained.image_unet import load_own
from glassine.pretrained.video_unet import read_inside
from glassine.pretrained.weights import load_bundle, load_exactly
from glassine.utils.errors import UserError
from glassine.utils.tensors import weights_digest

MOTION = "motion."  # what only a `MotionPrior` has


def load_latent_mean(source: str) -> nn.Module:
    """The `latent_mean` of a generator, for use as a `class_path` in a YAML.

    Args:
        source: a bundle (`glassine:NAME` or a folder), or the checkpoint of a run, of a `TextToVideo`.

    Raises:
        UserError: nothing there, or a network that has none.
    """
    network: Any = load_own(source) or load_bundle(source)  # which complains of what is not there
    mean = getattr(network, "latent_mean", None)
    if mean is None:
        raise UserError(
            f"{source} holds no generator with a latent_mean; give one such as glassine:tiny-image, or null"
        )
    return mean


def with_latent_mean(source: str, latent_mean: nn.Module) -> nn.Module:
    """A `LatentPrior` or `MotionPrior` that starts from the `latent_mean` of a generator, as far as that goes.

    Args:
        source: as in `load_latent_mean`.
        latent_mean: of the same sizes; what only a `MotionPrior` has is left out or kept as it is.

    Raises:
        UserError: nothing there, a network that has none, or one of other sizes.
    """
    load_exactly(latent_mean, fitting(load_latent_mean(source).state_dict(), latent_mean), source)
    return latent_mean


def take_latent_mean(latent_mean: nn.Module, source: str) -> str:
    """Fill a `LatentPrior` from where `take_spatial_part` takes a UNet's spatial part; what was done, in words.

    A `MotionPrior` keeps its motion where a `LatentPrior` comes, a `LatentPrior` leaves it out.

    Raises:
        UserError: another architecture there, or none at all for one that is not to be trained.
    """
    state = read_inside(source, "latent_mean")
    if state:
        load_exactly(latent_mean, fitting(state, latent_mean), source)
        return f"latent_mean: from {source}"
    looks = [parameter for name, parameter in latent_mean.named_parameters() if not name.startswith(MOTION)]
    if not all(parameter.requires_grad for parameter in looks):
        raise UserError(f"{source} holds no latent_mean; train one with train_spatial, or set latent_mean to null")
    return f"latent_mean: {source} has none, it is trained from scratch"


def fitting(state: Mapping[str, Tensor], latent_mean: nn.Module) -> dict[str, Tensor]:
    """`state`, with the motion of `latent_mean` where it has none, without where `latent_mean` has none."""
    motion = {key: value for key, value in latent_mean.state_dict().items() if key.startswith(MOTION)}
    return motion | {key: value for key, value in state.items() if motion or not key.startswith(MOTION)}


def latent_identity(vae: nn.Module, text_encoder: Any, transparency: nn.Module | None = None) -> dict[str, str]:
    """Tells a VAE and a `TextEncoder` from others by digests, as the header of a cache has it.

    Args:
        vae: that made the latents.
        text_encoder: likewise of the embeddings.
        transparency: the transparency encoder that adjusted the latents, if one did.
    """
    texts = {f"text_{name}": value for name, value in text_encoder.identity.items()}
    alpha = {} if transparency is None else {"transparency": weights_digest(transparency)}
    return {"vae": weights_digest(vae), **texts, **alpha}


def check_latents(cached: Mapping[str, str] | None, vae: nn.Module, text_encoder: Any) -> None:
    """For a task, before it trains on a cache: refuse what other networks made; None is no cache.

    Raises:
        UserError: the cache is of another VAE or text encoder, or of latents that carry alpha.
    """
    if cached is None or dict(cached) == (ours := latent_identity(vae, text_encoder)):
        return
    if "transparency" in cached:
        raise UserError(
            "the cached latents carry alpha, and this task learns from opaque clips: run `glassine data cache-latents` "
            "without --transparent, or train on glassine.data.dataset.Stickers"
        )
    differ = [name for name in ours if cached.get(name) != ours[name]]
    theirs, own = (", ".join(f"{name} {one.get(name)}" for name in differ) for one in (cached, ours))
    raise UserError(
        f"the cached latents are of another VAE or text encoder ({theirs}) than this run's ({own}): run "
        "`glassine data cache-latents` with these, or train on glassine.data.dataset.Stickers"
    )
