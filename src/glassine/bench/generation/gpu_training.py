"""What a training step of a full-size network costs on a CUDA GPU."""

import statistics
from collections.abc import Callable

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from glassine.bench.generation.gpu_timing import Size, inputs, seconds

# dense bf16 TFLOP/s that makers state, by a part of the device's name
PEAK_TFLOPS = {"H200": 989.0, "H100": 989.0, "A100": 312.0, "L40S": 362.0, "4090": 165.0, "V100": 125.0}


def training_cost(
    make: Callable[[], nn.Module], size: Size, device: torch.device, checkpointing: bool, spatial: bool
) -> dict[str, float | None]:
    """Seconds and model-FLOP utilization of a training step on one clip in bf16 autocast, and the peak of memory."""
    with device:
        unet = make()
    unet.train()
    if not spatial:
        unet.freeze_spatial()  # type: ignore[operator]
    if checkpointing:
        unet.enable_gradient_checkpointing()  # type: ignore[operator]
    optimizer = torch.optim.AdamW((p for p in unet.parameters() if p.requires_grad), lr=1e-5)
    noise, embeds = (x.float() for x in inputs(size, device))
    step = torch.tensor([500], device=device)

    def once() -> None:
        with torch.autocast(device.type, torch.bfloat16):
            loss = unet(noise, step, embeds).sample.float().square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    once()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    taken = statistics.median([seconds(once) for _ in range(size.repeats)])
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        unet(noise, step, embeds)
    # backward is twice the forward where all weights learn; what checkpointing computes again is no model FLOP
    flops = counter.get_total_flops() * (3 if spatial else 2)
    peak = peak_tflops(device)
    return {
        "step_s": taken,
        "model_tflop_s": flops / taken / 1e12,
        "mfu": flops / taken / 1e12 / peak if peak and spatial else None,
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else None,
    }


def peak_tflops(device: torch.device) -> float | None:
    """What the maker states for dense bf16; None where it is not known here."""
    name = torch.cuda.get_device_name() if device.type == "cuda" else ""
    return next((peak for part, peak in PEAK_TFLOPS.items() if part in name), None)
