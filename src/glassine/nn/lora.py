"""Low-rank adaptation of linear layers (LoRA, Hu et al., arXiv 2106.09685)."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from glassine.nn.diffusion import zero_module
from glassine.utils.errors import UserError

Attentions = Literal["all", "spatial", "motion"]
# the four projections of diffusers' attention layers
PROJECTION = re.compile(r".*\.attn[12]\.(to_q|to_k|to_v|to_out\.0)")
MOTION = ".motion_modules."


class LoRALinear(nn.Linear):
    """`x W + scale * x A B`, W frozen; B is zero-initialized, so the initial layer is unchanged, bit for bit.

    W keeps its name without LoRA, so that weights of the plain network load; LoRA's own parameters are `lora_down` and
    `lora_up`. The paper's `alpha / rank` is `scale`, which is not a parameter and is not saved.

    Args:
        base: linear layer; its weight and bias are shared, not copied.
        rank: rank of A B.

    Raises:
        UserError: a rank below 1.
    """

    def __init__(self, base: nn.Linear, rank: int) -> None:
        if rank < 1:
            raise UserError(f"rank of LoRA must be at least 1 (usually 4 to 64), got {rank}")
        super().__init__(base.in_features, base.out_features, base.bias is not None, device="meta")
        self.weight, self.bias = base.weight, base.bias
        self.scale = 1.0
        device, dtype = base.weight.device, base.weight.dtype
        self.lora_down = nn.Linear(base.in_features, rank, bias=False, device=device, dtype=dtype)  # A
        self.lora_up = nn.Linear(rank, base.out_features, bias=False, device=device, dtype=dtype)  # B
        nn.init.normal_(self.lora_down.weight, std=1 / rank)
        zero_module(self.lora_up)

    def forward(self, x: Tensor) -> Tensor:
        """`... d` to `... k`."""
        plain = super().forward(x)
        return plain + self.scale * self.lora_up(self.lora_down(x)) if self.scale else plain

    def merged_weight(self) -> Tensor:
        """`k d`: the layer as a single matrix."""
        with torch.no_grad():
            return self.weight + self.scale * self.lora_up.weight @ self.lora_down.weight


def add_lora(network: nn.Module, rank: int, attentions: Attentions = "all") -> None:
    """Add LoRA to the q, k, v and output projections of a diffusers network's attention layers.

    Args:
        network: modified in place; `requires_grad` of its parameters is unchanged.
        rank: rank in every layer.
        attentions: `spatial` (those of the image network), `motion` (those of motion modules), or `all`.

    Raises:
        UserError: no such layer, or a rank below 1.
    """
    found = {name: layer for name, layer in network.named_modules() if PROJECTION.fullmatch(name)}
    wanted = {name: layer for name, layer in found.items() if attentions in ("all", kind_of(name))}
    if not wanted:
        raise UserError(f"{type(network).__name__} has no {attentions} attention for LoRA")
    for name, layer in wanted.items():
        assert isinstance(layer, nn.Linear)
        network.set_submodule(name, LoRALinear(layer, rank))


def with_lora(network: nn.Module, rank: int = 16, attentions: Attentions = "all") -> nn.Module:
    """A network that only trains its LoRA, for use as a `class_path` in a YAML.

    Its bundle contains only LoRA; the frozen weights are loaded from the source in its configuration.

    Args:
        network: network with loaded weights.
        rank: see `add_lora`.
        attentions: see `add_lora`.

    Raises:
        UserError: see `add_lora`.
    """
    network.requires_grad_(False)
    add_lora(network, rank, attentions)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(is_lora(name))
    return network


@contextmanager
def lora_scale(network: nn.Module, scale: float, attentions: Attentions = "all") -> Iterator[None]:
    """Set the scale of `network`'s LoRA for `attentions`: 0 is off, 1 as trained, below 0 the opposite."""
    layers = [
        layer
        for name, layer in network.named_modules()
        if isinstance(layer, LoRALinear) and attentions in ("all", kind_of(name))
    ]
    before = [layer.scale for layer in layers]
    for layer in layers:
        layer.scale = scale
    try:
        yield
    finally:
        for layer, own in zip(layers, before, strict=True):
            layer.scale = own


def has_lora(network: nn.Module, attentions: Attentions = "all") -> bool:
    """Whether `network` has LoRA for `attentions`."""
    named = ((name, layer) for name, layer in network.named_modules() if isinstance(layer, LoRALinear))
    return any(attentions in ("all", kind_of(name)) for name, _ in named)


def kind_of(name: str) -> Attentions:
    """The kind of attention that a layer called `name` belongs to."""
    return "motion" if MOTION in f".{name}" else "spatial"


def is_lora(name: str) -> bool:
    """Whether a parameter called `name` is one of LoRA's."""
    return ".lora_down." in name or ".lora_up." in name
