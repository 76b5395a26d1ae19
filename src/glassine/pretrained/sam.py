"""Public SAM checkpoints: SAM through `segment_anything`, SAM 2 in transformers' format or Meta's."""

from pathlib import Path
from typing import Literal

from segment_anything import sam_model_registry
from segment_anything.modeling import Sam
from transformers import Sam2VideoConfig, Sam2VideoModel

from glassine.pretrained.hub import load_transformers
from glassine.pretrained.partial_loading import load_partial
from glassine.pretrained.weights import read_state
from glassine.utils.errors import UserError

SamName = Literal["vit_b", "vit_l", "vit_h"]
WIDTHS = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}


def segment_anything_model(model: SamName, checkpoint: str | None) -> Sam:
    """SAM at its native 1024 px, for use as a `class_path` in a YAML.

    Args:
        model: `vit_b`, `vit_l` or `vit_h`.
        checkpoint: path of Meta's file, for instance `sam_vit_h_4b8939.pth`; read without running any code in it. None
            keeps the random initialization.

    Raises:
        UserError: an unknown model, a missing file, or a file of another model.
    """
    if model not in WIDTHS.values():
        raise UserError(f"model must be one of {', '.join(WIDTHS.values())}, got {model!r}")
    if checkpoint is None:
        return sam_model_registry[model]()
    return sam_of_file(Path(checkpoint), model)


def sam_of_file(checkpoint: Path, model: SamName | None = None) -> Sam:
    """SAM from one of Meta's files, read without running any code in it.

    Args:
        checkpoint: for instance `sam_vit_b_01ec64.pth`.
        model: what it must hold; None takes any.

    Raises:
        UserError: no such file, one of something else, or of another model.
    """
    state = read_state(checkpoint)
    positions = state.get("image_encoder.pos_embed")  # 1 64 64 d
    if positions is None or positions.ndim != 4:
        raise UserError(f"{checkpoint} must be a checkpoint of SAM: give one of Meta's sam_vit_*.pth files")
    found = WIDTHS.get(positions.shape[-1], f"a SAM of width {positions.shape[-1]}")
    if found not in ((model,) if model else WIDTHS.values()):
        needed = model or f"one of {', '.join(WIDTHS.values())}"
        raise UserError(f"{checkpoint} must hold {needed}, got {found}: change one of the two")
    network = sam_model_registry[found]()
    load_partial(network, state, source=str(checkpoint))
    return network


def sam2_video(source: str, revision: str | None = None) -> Sam2VideoModel:
    """SAM 2 with its memory, in eval mode, for use as a `class_path` in a YAML.

    Args:
        source: a hub id such as `facebook/sam2.1-hiera-tiny`, the path of a local copy, or one of Meta's files such as
            `sam2.1_hiera_tiny.pt`.
        revision: branch, tag or commit on the hub.

    Raises:
        UserError: the model is not on the hub or at the path, is a different model, or is incomplete.
    """
    if Path(source).is_file():
        from glassine.pretrained.sam2 import sam2_from_meta

        return sam2_from_meta(Path(source))
    return load_transformers(Sam2VideoModel, Sam2VideoConfig, "SAM 2", source, revision, "facebook/sam2.1-hiera-tiny")
