"""Gradient checkpointing for layers whose own code has none."""

from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def checkpoint_layer(layer: nn.Module, enable: bool = True) -> None:
    """Let `layer` forget what it computed inside and compute it again in the backward pass, or end that.

    Set on the instance: names, state dict and copies stay right.
    """
    layer.__dict__.pop("forward", None)
    if enable:
        layer.forward = partial(recomputed, layer)


def recomputed(layer: nn.Module, *inputs: Any, **options: Any) -> Any:
    """What the layer's class computes, checkpointed where gradients are wanted."""
    forward = type(layer).forward
    if not torch.is_grad_enabled():
        return forward(layer, *inputs, **options)
    return checkpoint(forward, layer, *inputs, use_reentrant=False, **options)
