"""Networks described in files: how much of a YAML is read, which classes it may name, and how they are instantiated.

Weights folders and checkpoints may come from anywhere, so their `class_path`s must be on an allow-list: the whole
description is checked before anything it names is imported or called. A YAML for `glassine fit` is effectively a
program: it chooses which code runs; see `glassine.bench.fit`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import yaml

from glassine.utils.errors import UserError

Built = TypeVar("Built")

ROOT = Path(__file__).parent.parent
ALLOW = "GLASSINE_ALLOW"
"""Environment variable: comma-separated modules or classes that descriptions may name in addition to the allow-list."""
MOST_BYTES, MOST_DEPTH, MOST_NODES = 4 << 20, 48, 200_000
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster

OWN_PACKAGES = ("glassine.models", "glassine.nn")
OWN_LOADERS = (
    "glassine.pretrained.clip.CLIP",
    "glassine.pretrained.efficientnet_lite.EfficientNetLiteFeatures",
    "glassine.pretrained.fast_vqa.FastVQA",
    "glassine.pretrained.fast_vqa.fast_vqa",
    "glassine.pretrained.i3d.I3D",
    "glassine.pretrained.i3d.i3d",
    "glassine.pretrained.image_unet.with_image_unet",
    "glassine.pretrained.priors.load_latent_mean",
    "glassine.pretrained.priors.with_latent_mean",
    "glassine.pretrained.layer_diffuse.with_codec_weights",
    "glassine.pretrained.layer_diffuse.with_layer_diffuse",
    "glassine.pretrained.motion_adapter.with_motion_adapter",
    "glassine.pretrained.raft.RAFTFlow",
    "glassine.pretrained.raft.raft",
    "glassine.pretrained.sam.segment_anything_model",
    "glassine.pretrained.sam.sam2_video",
    "glassine.pretrained.image_unet.stable_diffusion_vae",
    "glassine.pretrained.text_encoder.TextEncoder",
    "glassine.pretrained.text_encoder.minilm",
    "glassine.pretrained.text_encoder.small_bert",
    "glassine.pretrained.video_mae.VideoMAE",
    "glassine.pretrained.video_unet.with_image_weights",
    "glassine.pretrained.video_unet.with_video_weights",
    "glassine.pretrained.weights.load_bundle",
    "glassine.pretrained.weights.with_weights",
)
# public name to defining module; both are looked up
FOREIGN = {
    "diffusers.AutoencoderKL": "diffusers.models.autoencoders.autoencoder_kl.AutoencoderKL",
    "diffusers.AutoencoderTiny": "diffusers.models.autoencoders.autoencoder_tiny.AutoencoderTiny",
    "diffusers.DDIMScheduler": "diffusers.schedulers.scheduling_ddim.DDIMScheduler",
    "diffusers.DDPMScheduler": "diffusers.schedulers.scheduling_ddpm.DDPMScheduler",
    "diffusers.DPMSolverMultistepScheduler": (
        "diffusers.schedulers.scheduling_dpmsolver_multistep.DPMSolverMultistepScheduler"
    ),
    "diffusers.EulerDiscreteScheduler": "diffusers.schedulers.scheduling_euler_discrete.EulerDiscreteScheduler",
    "diffusers.FlowMatchEulerDiscreteScheduler": (
        "diffusers.schedulers.scheduling_flow_match_euler_discrete.FlowMatchEulerDiscreteScheduler"
    ),
    "diffusers.LCMScheduler": "diffusers.schedulers.scheduling_lcm.LCMScheduler",
    "diffusers.MotionAdapter": "diffusers.models.unets.unet_motion_model.MotionAdapter",
    "diffusers.UNet2DConditionModel": "diffusers.models.unets.unet_2d_condition.UNet2DConditionModel",
    "diffusers.UNet2DModel": "diffusers.models.unets.unet_2d.UNet2DModel",
    "diffusers.UNet3DConditionModel": "diffusers.models.unets.unet_3d_condition.UNet3DConditionModel",
    "diffusers.UNetMotionModel": "diffusers.models.unets.unet_motion_model.UNetMotionModel",
    "segment_anything.modeling.ImageEncoderViT": "segment_anything.modeling.image_encoder.ImageEncoderViT",
    "segment_anything.modeling.MaskDecoder": "segment_anything.modeling.mask_decoder.MaskDecoder",
    "segment_anything.modeling.PromptEncoder": "segment_anything.modeling.prompt_encoder.PromptEncoder",
    "segment_anything.modeling.Sam": "segment_anything.modeling.sam.Sam",
    "segment_anything.modeling.TwoWayTransformer": "segment_anything.modeling.transformer.TwoWayTransformer",
    "timm.models.ByobNet": "timm.models.byobnet.ByobNet",
    "timm.models.EfficientNet": "timm.models.efficientnet.EfficientNet",
    "timm.models.MobileNetV3": "timm.models.mobilenetv3.MobileNetV3",
    "timm.models.ResNet": "timm.models.resnet.ResNet",
    "timm.models.VisionTransformer": "timm.models.vision_transformer.VisionTransformer",
    "transformers.BertModel": "transformers.models.bert.modeling_bert.BertModel",
    "transformers.BertConfig": "transformers.models.bert.configuration_bert.BertConfig",
    "transformers.CLIPTextConfig": "transformers.models.clip.configuration_clip.CLIPTextConfig",
    "transformers.CLIPTextModel": "transformers.models.clip.modeling_clip.CLIPTextModel",
}


def read_yaml(path: Path) -> Any:
    """The plain values in a YAML file: UTF-8, no object tags, bounded in size, depth and alias expansion.

    Raises:
        UserError: the file does not exist, or cannot be read under these limits.
    """
    if not path.is_file():  # a pipe would hang
        raise UserError(f"no file at {path}: give a YAML file that exists")
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise UserError(f"{path} must be at most {MOST_BYTES >> 20} MiB to be read as YAML: give another file")
        text = data.decode("utf-8-sig")
        check_extent(text)
        return yaml.load(text, LOADER)
    except UnicodeDecodeError as error:
        raise UserError(f"{path} must be UTF-8 text, byte {error.start} is not: save it as UTF-8") from error
    except (yaml.YAMLError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
        reason = " ".join(str(error).split()).replace('"<unicode string>"', path.name)[:300]
        raise UserError(f"{path} cannot be read as YAML ({reason})") from error


def check_extent(text: str) -> None:
    """Raise ValueError if a YAML is too deep or too long with aliases expanded; nothing is constructed."""
    sizes: dict[str | None, int | None] = {}  # nodes below an anchor; None while it is open
    open_nodes: list[tuple[str | None, int]] = []
    nodes = 0
    for event in yaml.parse(text, LOADER):
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor is not None:
                sizes[anchor] = nodes - before
        elif isinstance(event, yaml.NodeEvent):
            anchor = event.anchor
            if isinstance(event, yaml.AliasEvent):
                size = sizes.get(anchor, 0)  # the loader reports undefined aliases
                if size is None:
                    raise ValueError(f"*{anchor} is inside the node it refers to")
                nodes += size
            elif isinstance(event, yaml.CollectionStartEvent):
                open_nodes.append((anchor, nodes))
                if anchor is not None:
                    sizes[anchor] = None
            elif anchor is not None:
                sizes[anchor] = 1
            nodes += 1
            if nodes > MOST_NODES:
                raise ValueError(f"it holds more than {MOST_NODES:,} values")
            if len(open_nodes) > MOST_DEPTH:
                raise ValueError(f"it is nested deeper than {MOST_DEPTH} levels")


def allowed_by_user() -> tuple[str, ...]:
    """Names from `--allow` or the environment."""
    return tuple(name.strip() for name in os.environ.get(ALLOW, "").split(",") if name.strip())


def allow(names: list[str]) -> None:
    """Also allow these modules or classes in descriptions, in this process and its child processes.

    Raises:
        UserError: an invalid name.
    """
    for name in names:
        if not is_dotted(name) or name.partition(".")[0] == "jsonargparse":
            raise UserError(f"--allow must be the name of a module or class, such as mylib.networks, got {name!r}")
    os.environ[ALLOW] = ",".join(dict.fromkeys([*allowed_by_user(), *names]))


def is_dotted(name: str) -> bool:
    """Whether `name` is a valid dotted Python name."""
    return all(part.isidentifier() for part in name.split("."))


def is_allowed(class_path: str) -> bool:
    """Whether a weights folder or checkpoint may use this class or function, judged by its name alone."""
    if not is_dotted(class_path):
        return False
    if class_path in OWN_LOADERS or class_path in FOREIGN or class_path in FOREIGN.values():
        return True
    if any(class_path == name or class_path.startswith(f"{name}.") for name in allowed_by_user()):
        return True
    module = class_path.rpartition(".")[0]
    if not f"{module}.".startswith(tuple(f"{package}." for package in OWN_PACKAGES)) or "._" in class_path:
        return False
    # a top-level name defined in one of our files: no imported names, no attributes of names
    place = ROOT.joinpath(*module.split(".")[1:])
    return place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()


def check_description(value: Any, origin: str) -> None:
    """Raise UserError unless a description contains only plain values and allowed `class_path`s, at every level."""
    pending: list[tuple[Any, str, int]] = [(value, "", 0)]
    count = 0
    while pending:
        value, place, depth = pending.pop()
        count += 1
        if depth > MOST_DEPTH or count > MOST_NODES:
            raise UserError(f"{origin} is nested deeper than {MOST_DEPTH} levels or too long to describe a network")
        if isinstance(value, Mapping):
            check_keys(value, place, origin)
            pending += [(inner, f"{place}.{name}", depth + 1) for name, inner in value.items()]
        elif isinstance(value, list | tuple):
            pending += [(inner, f"{place}[{index}]", depth + 1) for index, inner in enumerate(value)]
        elif not (value is None or isinstance(value, bool | int | float | str)):
            kind = type(value).__name__
            raise UserError(f"{origin}: {place[1:]} must be a plain value or a class_path, got a {kind}")
        elif isinstance(value, int) and abs(value) >= 2**63:
            raise UserError(f"{origin}: {place[1:]} must fit into 64 bits, got a number of {value.bit_length()} bits")
        elif value != value:
            raise UserError(f"{origin}: {place[1:]} must be a number, got nan")


def check_keys(value: Mapping[Any, Any], place: str, origin: str) -> None:
    """Raise UserError if a mapping names a class that is not allowed, or does not use `class_path` to do so."""
    where = f"{origin}: {place[1:]}" if place else origin
    if any(not isinstance(name, str) for name in value):
        raise UserError(f"{where} must have text as keys")
    if "class_path" not in value:
        if value.keys() & {"init_args", "dict_kwargs"}:
            raise UserError(f"{where} has init_args without a class_path")
        return
    class_path = value["class_path"]
    if not isinstance(class_path, str) or value.keys() - {"class_path", "init_args"}:
        raise UserError(f"{where} must be a class_path, which is text, and its init_args")
    if not is_allowed(class_path):
        raise UserError(
            f"{where} names {class_path[:200]!r}, which is not on the allow-list: only glassine's own models and some "
            f"parts of diffusers, segment-anything, timm and transformers are; if you trust both file and code, add "
            f"the module to {ALLOW}"
        )
    if not isinstance(value.get("init_args"), Mapping | None):
        raise UserError(f"{where} must have a mapping as init_args")


def build(kind: type[Built], description: Any, origin: str) -> Built:
    """Instantiate the `kind` that `class_path` and `init_args` describe.

    Nothing is imported or called unless `is_allowed` allows it, and networks larger than this machine's memory are not
    allocated.

    Raises:
        UserError: see `check_description`; the description is self-referring or too large; or an error of a
            constructor.
        Exception: any other error of the parser or a constructor for arguments that it cannot use.
    """
    from jsonargparse import ArgumentParser

    from glassine.utils.tensors import SizeGuard

    check_description(description, origin)
    packages = [*OWN_PACKAGES, *OWN_LOADERS, *FOREIGN, *FOREIGN.values(), *allowed_by_user()]
    with import_policy(packages), SizeGuard(origin):
        parser = ArgumentParser(exit_on_error=False)
        parser.add_argument("built", type=kind)
        return parser.instantiate(parser.parse_object({"built": description})).built


_POLICY = threading.RLock()


@contextmanager
def import_policy(allowed: list[str], denied: tuple[str, ...] = ()) -> Iterator[None]:
    """Restrict jsonargparse's imports to these names inside the block; the old policy is restored afterwards.

    This covers what checking the `class_path`s cannot see: strings given for a callable or a type.

    Args:
        allowed: modules or classes, including everything in them.
        denied: exceptions that are not allowed even in those.
    """
    from jsonargparse import set_parsing_settings
    from jsonargparse._common import parsing_settings

    with _POLICY:
        before = dict(parsing_settings)
        parsing_settings["import_path_verdicts"] = {}  # public settings only ever add to the policy
        try:
            set_parsing_settings(
                instantiate_subclass_spec_in_any=False,
                import_path_denylist=["*", *denied],
                import_path_allowlist=allowed,
            )
            yield
        finally:
            parsing_settings.update(before)
