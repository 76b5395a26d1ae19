"""Matting Anything's published head (arXiv 2306.05399; SHI-Labs/Matting-Anything, `networks/m2ms/conv_sam.py`)."""

import re
from pathlib import Path

from torch import nn

from glassine.pretrained.partial_loading import load_partial
from glassine.pretrained.weights import read_state
from glassine.utils.errors import UserError

STAGES = {"layer2": "stages.0", "layer3": "stages.1", "layer4": "stages.2"}
HEADS = {"refine_OS8": "heads.0", "refine_OS4": "heads.1", "refine_OS1": "heads.2"}
PARTS = {"conv1": "branch.0", "bn1": "branch.1", "conv2": "branch.3", "bn2": "branch.4"}
SHORTCUT = {"upsample.1": "shortcut.0", "upsample.2": "shortcut.1"}
# of a convolution with spectral normalization
NORMALIZED = {
    "module.weight_bar": "parametrizations.weight.original",
    "module.weight_u": "parametrizations.weight.0._u",
    "module.weight_v": "parametrizations.weight.0._v",
}
BLOCK = re.compile(r"(layer[234])\.(\d+)\.(upsample\.[12]|[a-z]+[12])\.(.+)")


def with_head_weights(head: nn.Module, weights: str) -> nn.Module:
    """A `MaskToMatte` with the authors' weights, in eval mode, for use as a `class_path` in a YAML.

    Args:
        head: of the published sizes, its defaults.
        weights: path of the authors' checkpoint, for instance `mam_vitb.pth`; it is read without running code in it.

    Raises:
        UserError: the file is missing, holds something else, or does not fit.
    """
    state = read_state(Path(weights))
    state = {name.removeprefix("module."): tensor for name, tensor in state.items()}  # of data-parallel training
    if "refine_OS1.0.weight" not in state:
        raise UserError(f"{weights} must be a checkpoint of Matting Anything's head: give the authors' mam_*.pth")
    blocks = len({match[2] for name in state if (match := BLOCK.fullmatch(name)) and match[1] == "layer4"})
    load_partial(head, state, lambda name: our_name(name, blocks), source=weights)
    return head.eval()


def our_name(name: str, blocks: int) -> str:
    """The name in `MaskToMatte` for one of the authors'; the last stage has so many `blocks` before the end."""
    for theirs, ours in NORMALIZED.items():
        name = name.replace(theirs, ours)
    if match := BLOCK.fullmatch(name):
        stage, number, part, rest = match.groups()
        return f"{STAGES[stage]}.{number}.{(PARTS | SHORTCUT).get(part, part)}.{rest}"
    layer, _, rest = name.partition(".")
    return f"{(HEADS | {'conv1': f'stages.2.{blocks}', 'bn1': f'stages.2.{blocks + 1}'}).get(layer, layer)}.{rest}"
