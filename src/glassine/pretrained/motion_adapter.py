"""AnimateDiff's motion modules (arXiv 2307.04725) for the video network of Layer-Animate."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from diffusers import MotionAdapter
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor, nn

from glassine.pretrained.hub import check_complete, hub_errors
from glassine.pretrained.image_unet import MOTION, load_own, merged_state
from glassine.pretrained.partial_loading import LoadReport, load_partial, misfit
from glassine.pretrained.weights import load_bundle, read_state, save_model
from glassine.utils.errors import UserError

FILES = (".ckpt", ".safetensors", ".pt", ".pth", ".bin")
PREFIX = re.compile(r"^(module\.|generator\.|unet\.)*")
# everything except motion modules; and LoRA and position tables within these
BEYOND = re.compile(r"((?!.*\.motion_modules\.).*|.*\.lora_(down|up)\..*|.*\.pos_embed\.pe)")
# AnimateDiff's own names, and diffusers'
RENAMED = {
    ".temporal_transformer": "",
    ".attention_blocks.0": ".attn1",
    ".attention_blocks.1": ".attn2",
    ".norms.0": ".norm1",
    ".norms.1": ".norm2",
    ".ff_norm": ".norm3",
}


def with_motion_adapter(unet: nn.Module, source: str, revision: str | None = None) -> nn.Module:
    """A `MotionUNet` with pretrained motion modules, for use as a `class_path` in a YAML.

    Args:
        unet: the network; its other layers keep their values.
        source: a hub id of diffusers' `MotionAdapter` such as `guoyww/animatediff-motion-adapter-v1-5-2`, or the path
            of a local copy; an original AnimateDiff file such as `mm_sd_v15_v2.ckpt`; or one of our bundles or
            checkpoints with a `MotionUNet` or `MotionAdapter`, such as `glassine:tiny-motion`.
        revision: branch, tag or commit on the hub.

    Raises:
        UserError: `source` does not exist, has no motion modules, or is incompatible.
    """
    rank_zero_info(str(load_motion_adapter(unet, source, revision)))
    return unet


def load_motion_adapter(unet: nn.Module, source: str, revision: str | None = None) -> LoadReport:
    """Implements `with_motion_adapter`.

    Raises:
        UserError: see there.
    """
    own: Any = unet
    misfits: list[str] = []
    if (network := load_own(source, foreign=True)) is not None:
        donor: Any = getattr(network, "unet", network)
        state = merged_state(donor)
        settings = {name: getattr(donor, "config", {}).get(name) for name in ("motion_num_attention_heads",)}
        misfits = [misfit(n, own.config[n], v) for n, v in settings.items() if v not in (None, own.config[n])]
    elif Path(source).suffix in FILES:
        state = renamed(read_state(Path(source)))
    else:
        adapter = load_adapter(source, revision)
        state = adapter.state_dict()
        misfits = [
            misfit(name, own.config[here], adapter.config[name])
            for name, here in {
                "motion_num_attention_heads": "motion_num_attention_heads",
                "motion_norm_num_groups": "norm_num_groups",
                "motion_max_seq_length": "motion_max_seq_length",
                "use_motion_mid_block": "use_motion_mid_block",
            }.items()
            if adapter.config[name] != own.config[here]
        ]
        if adapter.config["conv_in_channels"]:
            misfits.append(misfit("conv_in_channels", "0 (not PIA)", adapter.config["conv_in_channels"]))
    state = {name: tensor for name, tensor in state.items() if MOTION in name}
    if not state and not misfits:
        raise UserError(f"{source!r} must hold motion modules: give those of AnimateDiff or of one of our runs")
    positions = {tensor.shape[1] for name, tensor in state.items() if name.endswith("pos_embed.pe")}
    if positions - {own.config["motion_max_seq_length"]}:
        misfits.append(misfit("motion_max_seq_length", own.config["motion_max_seq_length"], max(positions)))
    weights = {name: tensor for name, tensor in state.items() if not name.endswith("pos_embed.pe")}
    return load_partial(unet, weights, None, BEYOND.fullmatch, source, misfits)


def load_adapter(source: str, revision: str | None) -> Any:
    """diffusers' adapter at `source`; raises UserError if it is incomplete."""
    with hub_errors("motion adapter", source, "a reachable hub id, a local folder, or a weight file"):
        name = MotionAdapter.load_config(source, revision=revision).get("_class_name")
        if name != "MotionAdapter":
            raise UserError(f"{source!r} must hold a MotionAdapter, got a {name}")
        adapter, report = MotionAdapter.from_pretrained(source, revision=revision, output_loading_info=True)
    check_complete(report, source)
    return adapter


def keep_motion_modules(folder: Path) -> None:
    """Reduce the bundle of a network with a `MotionUNet` to its motion modules, as diffusers' `MotionAdapter`."""
    network: Any = load_bundle(str(folder))
    with TemporaryDirectory() as place:
        network.unet.save_motion_modules(place)
        save_model(MotionAdapter.from_pretrained(place, low_cpu_mem_usage=False), folder)


def renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A file's motion modules and position tables under diffusers' names."""
    found = {}
    for name, tensor in state.items():
        name = PREFIX.sub("", name)
        for theirs, ours in RENAMED.items():
            name = name.replace(theirs, ours)
        found[re.sub(r"\.attn[12]\.pos_encoder\.pe$", ".pos_embed.pe", name)] = tensor
    return found
