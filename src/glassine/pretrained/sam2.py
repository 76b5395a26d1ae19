"""SAM 2 in transformers' own format, from a hub id or a local path."""

from typing import Any

from safetensors import SafetensorError
from transformers import AutoConfig, Sam2VideoConfig, Sam2VideoModel

from glassine.errors import UserError


def sam2_video(source: str, revision: str | None = None) -> Sam2VideoModel:
    """SAM 2 with its memory, in eval mode, for use as a `class_path` in a YAML.

    Args:
        source: a hub id such as `facebook/sam2.1-hiera-tiny`, or the path of a local copy.
        revision: branch, tag or commit on the hub.

    Raises:
        UserError: neither the hub nor the path has it, or what lies there is another model or not all of this one.
    """
    revision = revision or "main"
    try:
        kind = AutoConfig.from_pretrained(source, revision=revision, trust_remote_code=False).model_type
        if kind != Sam2VideoConfig.model_type:
            # transformers would warn and go on with fresh weights
            raise UserError(f"{source!r} holds a {kind} model; give one of kind {Sam2VideoConfig.model_type}")
        loaded: Any = Sam2VideoModel.from_pretrained(
            source, revision=revision, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().partition("\n")[0][:200]
        raise UserError(
            f"no SAM 2 at {source!r} ({reason}): give a reachable hub id such as facebook/sam2.1-hiera-tiny "
            "or a local folder"
        ) from error
    network, report = loaded
    if missing := sorted(report["missing_keys"]):
        raise UserError(
            f"{source!r} lacks {len(missing)} of SAM 2's tensors, {missing[0]} among them: fetch or save it again"
        )
    return network.eval()
