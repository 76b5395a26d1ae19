"""Whose work cached latents and text embeddings are."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from glassine.digest import weights_digest
from glassine.errors import UserError


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
            "without --transparent, or set data.latents to null"
        )
    differ = [name for name in ours if cached.get(name) != ours[name]]
    theirs, own = (", ".join(f"{name} {one.get(name)}" for name in differ) for one in (cached, ours))
    raise UserError(
        f"the cached latents are of another VAE or text encoder ({theirs}) than this run's ({own}): run "
        "`glassine data cache-latents` with these, or set data.latents to null"
    )
