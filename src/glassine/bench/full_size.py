"""Build full-size experiments without their weights, on the meta device, and list the files they would load.

Loaders are removed from a YAML's model, and networks from a hub id are replaced by ones of the published sizes without
weights. Nothing is read, downloaded or allocated, so a test can build every `paper.yaml`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import torch
from lightning.pytorch.cli import LightningArgumentParser
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

from glassine.bench.parameter_counts import clip_h_text
from glassine.tasks.base import StickerTask
from glassine.utils.experiments import read_experiment

TOKENS = 77  # of Stable Diffusion's text encoders
# loader -> (argument with the network, {argument with a file or hub id: subfolder that is read there})
LOADERS: dict[str, tuple[str, dict[str, str]]] = {
    "glassine.pretrained.weights.with_weights": ("network", {"weights": ""}),
    "glassine.pretrained.image_unet.with_image_unet": ("unet", {"source": "/unet"}),
    "glassine.pretrained.video_unet.with_image_weights": ("unet", {"source": "/unet"}),
    "glassine.pretrained.video_unet.with_video_weights": ("unet", {"source": "/unet"}),
    "glassine.pretrained.motion_adapter.with_motion_adapter": ("unet", {"source": ""}),
    "glassine.pretrained.layer_diffuse.with_layer_diffuse": ("unet", {"weights": ""}),
    "glassine.pretrained.layer_diffuse.with_codec_weights": ("codec", {"encoder": "", "decoder": ""}),
}
VAE = "glassine.pretrained.image_unet.stable_diffusion_vae"
SAM = "glassine.pretrained.sam.segment_anything_model"
TEXT = "glassine.pretrained.text_encoder.TextEncoder"


class BlankText(nn.Module):
    """A published text encoder without weights and tokenizer: every text has the same tokens.

    Args:
        source: hub id or path. Its name selects FLAN-T5-XL (contains `t5`), Stable Diffusion 2's OpenCLIP ViT-H with 23
            layers (contains `diffusion-2`), or else Stable Diffusion 1's CLIP ViT-L.
    """

    def __init__(self, source: str) -> None:
        super().__init__()
        if "t5" in source:
            self.network = t5_xl_encoder()
        else:
            self.network = clip_h_text(23) if "diffusion-2" in source else clip_l_text()
        self.length, self.width = TOKENS, int(cast(Any, self.network.config).hidden_size)
        self.requires_grad_(False).eval()

    def forward(self, texts: list[str]) -> Tensor:
        """Embeddings of the texts, `b n d`."""
        device = next(self.parameters()).device
        tokens = torch.zeros(len(texts), TOKENS, dtype=torch.long, device=device)
        return self.network(input_ids=tokens).last_hidden_state


def clip_l_text() -> nn.Module:
    """The text encoder of CLIP ViT-L/14, which Stable Diffusion 1.5 uses."""
    sizes = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
    return CLIPTextModel(CLIPTextConfig(**sizes, projection_dim=768))  # type: ignore[arg-type]


def t5_xl_encoder() -> nn.Module:
    """The encoder of FLAN-T5-XL (arXiv 2210.11416, T5 1.1)."""
    sizes = {"d_model": 2048, "d_kv": 64, "d_ff": 5120, "num_layers": 24, "num_heads": 32, "vocab_size": 32128}
    return T5EncoderModel(T5Config(**sizes, feed_forward_proj="gated-gelu"))  # type: ignore[arg-type]


def without_files(described: Any, files: list[str]) -> Any:
    """Replace the loaders in a part of a YAML by the networks that they would load weights into.

    Args:
        described: the part of the YAML.
        files: paths and hub ids that the loaders would read are appended.
    """
    if isinstance(described, list):
        return [without_files(one, files) for one in described]
    if not isinstance(described, Mapping):
        return described
    name, arguments = described.get("class_path"), described.get("init_args") or {}
    if name in LOADERS:
        inner, named = LOADERS[name]
        network = without_files(arguments[inner], files)
        files += [f"{arguments[argument]}{below}" for argument, below in named.items()]
        return network
    if name == VAE:
        files.append(f"{arguments['source']}/vae")
        return {"class_path": "glassine.bench.parameter_counts.stable_diffusion_vae"}
    if name == SAM:
        files.append(str(arguments["checkpoint"]))
        return {"class_path": SAM, "init_args": {**arguments, "checkpoint": None}}
    if name == TEXT:
        below = ("/text_encoder", "/tokenizer") if arguments.get("subfolder") else ("",)
        files += [f"{arguments['source']}{part}" for part in below]
        return {"class_path": f"{__name__}.BlankText", "init_args": {"source": arguments["source"]}}
    content = {key: without_files(value, files) for key, value in described.items()}
    start = (content.get("init_args") or {}).get("init_from")
    if start is not None:
        files.append(start)
        content["init_args"] = {**content["init_args"], "init_from": None}
    return content


@dataclass(frozen=True)
class FullSize:
    """An experiment whose networks were built without weights.

    Attributes:
        content: of its YAML, with overlays applied.
        task: with all its networks.
        files: paths, and hub ids with subfolders, that a training would read, in the order of the YAML.
    """

    content: dict[str, Any]
    task: StickerTask
    files: tuple[str, ...] = field(default=())

    @property
    def parameters(self) -> int:
        """Number of parameters of all networks, including frozen ones."""
        return sum(p.numel() for p in self.task.parameters())

    @property
    def trained(self) -> int:
        """Number of parameters that are trained."""
        return sum(p.numel() for p in self.task.parameters() if p.requires_grad)


def build_full_size(experiment: Path, device: Callable[[], Any] = lambda: torch.device("meta")) -> FullSize:
    """Build an experiment's task at full size without its weights.

    Args:
        experiment: a YAML, or an overlay beside its base.
        device: returns a context manager in which the networks are built; by default, the meta device.

    Raises:
        UserError: see `read_experiment`.
    """
    content = read_experiment(experiment)
    files: list[str] = []
    model = without_files(content["model"], files)
    parser = LightningArgumentParser(exit_on_error=False)
    parser.add_lightning_class_args(StickerTask, "model", subclass_mode=True)
    parsed = parser.parse_object({"model": model})
    # meta tensors have no data to compute a digest of
    with patch("glassine.models.sam.weights_digest", lambda _: "none"), device():
        task = parser.instantiate_classes(parsed).model
    return FullSize(content, task, tuple(dict.fromkeys(files)))
