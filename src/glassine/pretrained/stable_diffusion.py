"""Networks in diffusers' own format, from a hub id or a local path."""

from diffusers import AutoencoderKL

from glassine.errors import UserError


def stable_diffusion_vae(source: str, subfolder: str | None = "vae", revision: str | None = None) -> AutoencoderKL:
    """The VAE of a Stable Diffusion checkpoint, for use as a `class_path` in a YAML.

    Args:
        source: a hub id such as `stable-diffusion-v1-5/stable-diffusion-v1-5`, or the path of a local copy.
        subfolder: where the VAE lies in it; null if `source` is the VAE itself.
        revision: branch, tag or commit on the hub.

    Raises:
        UserError: neither the hub nor the path has it.
    """
    try:
        return AutoencoderKL.from_pretrained(source, subfolder=subfolder, revision=revision, use_safetensors=True)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"no VAE at {source!r} ({reason}): give a reachable hub id or a local folder") from error
