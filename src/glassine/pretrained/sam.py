"""SAM's published checkpoints, through `segment_anything`."""

from pathlib import Path
from typing import Literal

from segment_anything import sam_model_registry
from segment_anything.modeling import Sam

from glassine.errors import UserError
from glassine.pretrained.weights import read_state

SamName = Literal["vit_b", "vit_l", "vit_h"]
WIDTHS = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}


def segment_anything_model(model: SamName, checkpoint: str | None) -> Sam:
    """SAM at its 1024 px, for use as a `class_path` in a YAML.

    Args:
        model: `vit_b`, `vit_l` or `vit_h`.
        checkpoint: path of Meta's file, for instance `sam_vit_h_4b8939.pth`; read without running any code in it. None
            leaves the network as it was initialised.

    Raises:
        UserError: an unknown model, no such file, or the file of another model.
    """
    if model not in WIDTHS.values():
        raise UserError(f"SAM model {model!r} came; choose from {', '.join(WIDTHS.values())}")
    if checkpoint is None:
        return sam_model_registry[model]()
    state = read_state(Path(checkpoint))
    positions = state.get("image_encoder.pos_embed")  # 1 64 64 d
    if positions is None or positions.ndim != 4:
        raise UserError(f"{checkpoint} is no SAM checkpoint: give one of Meta's sam_vit_*.pth files")
    found = WIDTHS.get(positions.shape[-1], f"a SAM of width {positions.shape[-1]}")
    if found != model:
        raise UserError(f"{checkpoint} is {found}, but {model} was asked for: set the model to what the file holds")
    network = sam_model_registry[model]()
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"{checkpoint} does not fit SAM {model} ({reason}): fetch it again") from error
    return network
