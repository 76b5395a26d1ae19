"""LayerDiffuse's official transparency codec (arXiv 2402.17113), from its two files."""

from pathlib import Path
from typing import Any

from torch import nn

from glassine.pretrained.weights import load_exactly, read_state


def with_codec_weights(codec: nn.Module, encoder: str, decoder: str) -> nn.Module:
    """A `LatentTransparency` whose encoder and decoder are filled, for use as a `class_path` in a YAML.

    Args:
        codec: the network; its VAE stays as it is.
        encoder: path of `layer_sd15_vae_transparent_encoder.safetensors`.
        decoder: path of `layer_sd15_vae_transparent_decoder.safetensors`.

    Raises:
        UserError: a file is missing, unreadable, or made for another network; the message names the first misfit.
    """
    parts: Any = codec
    for part, source in ((parts.encoder, encoder), (parts.decoder, decoder)):
        load_exactly(part, read_state(Path(source)), source)
    return codec
