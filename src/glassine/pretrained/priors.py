"""The `LatentPrior` of our networks, and the identity of the networks behind cached latents and embeddings."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from glassine.pretrained.image_unet import load_own
from glassine.pretrained.partial_loading import load_partial
from glassine.pretrained.video_unet import read_inside
from glassine.pretrained.weights import load_bundle
from glassine.utils.errors import UserError
from glassine.utils.tensors import weights_digest

MOTION = "motion."  # parameters that only a `MotionPrior` has


def load_latent_mean(source: str) -> nn.Module:
    """The `latent_mean` of a generator, for use as a `class_path` in a YAML.

    Args:
        source: a bundle (`glassine:NAME` or a folder), or the checkpoint of a run, of a `TextToVideo`.

    Raises:
        UserError: there is no network, or it has no `latent_mean`.
    """
    network: Any = load_own(source) or load_bundle(source)  # which raises if there is nothing
    mean = getattr(network, "latent_mean", None)
    if mean is None:
        raise UserError(
            f"{source} must hold a generator with a latent_mean, such as glassine:tiny-image; or set it to null"
        )
    return mean


def with_latent_mean(source: str, latent_mean: nn.Module) -> nn.Module:
    """A `LatentPrior` or `MotionPrior` with the weights of a generator's `latent_mean`, as far as it has them.

    Args:
        source: as in `load_latent_mean`.
        latent_mean: prior of the same size; the motion part of a `MotionPrior` is skipped, or keeps its initialization.

    Raises:
        UserError: `source` does not exist, has no `latent_mean`, or is incompatible.
    """
    load_prior(latent_mean, load_latent_mean(source).state_dict(), source)
    return latent_mean


def load_latent_prior(latent_mean: nn.Module, source: str) -> str:
    """Load a `LatentPrior` from a source of `load_spatial_part`; returns a summary.

    Raises:
        UserError: `source` is incompatible, or has no `latent_mean` although `latent_mean` is not trained.
    """
    state = read_inside(source, "latent_mean")
    if state:
        load_prior(latent_mean, state, source)
        return f"latent_mean: from {source}"
    looks = [parameter for name, parameter in latent_mean.named_parameters() if not name.startswith(MOTION)]
    if not all(parameter.requires_grad for parameter in looks):
        raise UserError(f"{source} must hold a latent_mean: train one with train_spatial, or set latent_mean to null")
    return f"latent_mean: {source} has none, it is trained from scratch"


def load_prior(latent_mean: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """`load_partial` between priors with and without a motion part."""
    moves = any(name.startswith(MOTION) for name in latent_mean.state_dict())
    load_partial(
        latent_mean,
        state,
        rename=lambda name: name if moves or not name.startswith(MOTION) else None,
        allow_missing=lambda name: name.startswith(MOTION),
        source=source,
    )


def latent_identity(vae: nn.Module, text_encoder: Any, transparency: nn.Module | None = None) -> dict[str, str]:
    """Identity of a VAE and a `TextEncoder` by digests, as stored in the header of a cache.

    Args:
        vae: VAE of the latents.
        text_encoder: text encoder of the embeddings.
        transparency: the transparency encoder that adjusted the latents, if any.
    """
    texts = {f"text_{name}": value for name, value in text_encoder.identity.items()}
    alpha = {} if transparency is None else {"transparency": weights_digest(transparency)}
    return {"vae": weights_digest(vae), **texts, **alpha}


def check_latents(cached: Mapping[str, str] | None, vae: nn.Module, text_encoder: Any) -> None:
    """Reject a cache from other networks before a task trains on it; None means no cache.

    Raises:
        UserError: the cache is from another VAE or text encoder, or its latents carry alpha.
    """
    if cached is None or dict(cached) == (ours := latent_identity(vae, text_encoder)):
        return
    if "transparency" in cached:
        raise UserError(
            "the cached latents carry alpha, but this task trains on opaque clips: run `glassine data cache-latents` "
            "without --transparent, or train on glassine.data.dataset.Stickers"
        )
    differ = [name for name in ours if cached.get(name) != ours[name]]
    theirs, own = (", ".join(f"{name} {one.get(name)}" for name in differ) for one in (cached, ours))
    raise UserError(
        f"the cached latents are from another VAE or text encoder ({theirs}) than this run's ({own}): run "
        "`glassine data cache-latents` with these, or train on glassine.data.dataset.Stickers"
    )
