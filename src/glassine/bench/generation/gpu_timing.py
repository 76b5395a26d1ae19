"""What the measurements on a GPU share: their size, networks in bf16, and times with the GPU's work in them."""

import contextlib
import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from glassine.bench.parameter_counts import stable_diffusion_vae


@dataclass(frozen=True)
class Size:
    """What is made: the paper's by default.

    Attributes:
        unet: arguments of both UNets.
        latents: `c f h w`.
        text: tokens and width of the prompt's embedding.
        repeats: how often each time is taken.
        vae: makes the VAE.
    """

    unet: dict[str, Any] = field(default_factory=dict)
    latents: tuple[int, int, int, int] = (4, 8, 32, 32)
    text: tuple[int, int] = (77, 1024)
    repeats: int = 5
    vae: Callable[[], nn.Module] = stable_diffusion_vae


def built(make: Callable[[], nn.Module], device: torch.device) -> nn.Module:
    """The network in bf16, made on its device."""
    with device:
        return make().to(torch.bfloat16).eval().requires_grad_(False)


def inputs(size: Size, device: torch.device, clips: int = 1) -> tuple[Tensor, Tensor]:
    """Noise `b c f h w` and prompt embeddings `b n d`, bf16."""
    noise = torch.randn(clips, *size.latents, device=device, dtype=torch.bfloat16)
    return noise, torch.randn(clips, *size.text, device=device, dtype=torch.bfloat16)


def seconds(work: Callable[[], Any]) -> float:
    """Wall time of one call, with the GPU's work in it."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    synchronize(device)
    start = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - start


def synchronize(device: torch.device) -> None:
    """Wait for the GPU's work."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def free() -> None:
    """Give memory back between networks."""
    gc.collect()
    torch.compiler.reset()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextlib.contextmanager
def quiet_compiler() -> Iterator[None]:
    """Without the autotuner's tables."""
    import torch._inductor.config as inductor

    with inductor.patch(autotune_num_choices_displayed=0):
        yield
