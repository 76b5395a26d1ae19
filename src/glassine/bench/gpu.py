"""Speed of full-size text-to-sticker networks on a CUDA GPU.

Weights are random, since time does not depend on them. The network with STI layers is measured against diffusers'
unmodified `UNet3DConditionModel` in the same run: sampling as in VSD2M's table 4 (one clip of 8 x 256 x 256, with
guidance), and a training step. The record is `results/gpu_generation.json`; its page is `gpu.md`.
"""

import contextlib
import gc
import json
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet3DConditionModel
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from glassine.bench.parameter_counts import stable_diffusion_vae
from glassine.bench.records import versions
from glassine.bench.speed import seconds, synchronize
from glassine.bench.tables import markdown
from glassine.models.sampling import SamplerConfig, make_solver
from glassine.models.video_unet import VideoUNet
from glassine.nn.sti import STI
from glassine.utils.devices import hardware
from glassine.utils.files import atomic_path

PAPER_SECONDS = 11.71  # for one clip by STI on one V100, VSD2M's table 4
# part of the device's name -> the vendor's dense bf16 TFLOP/s
PEAK_TFLOPS = {"H200": 989.0, "H100": 989.0, "A100": 312.0, "L40S": 362.0, "4090": 165.0, "V100": 125.0}


@dataclass(frozen=True)
class Size:
    """Sizes of networks and inputs, by default those of the paper.

    Attributes:
        unet: constructor arguments of both UNets.
        latents: shape `c f h w`.
        text: number of tokens and width of the prompt's embedding.
        repeats: number of measurements of each time, after warm-up.
        vae: builds the VAE.
    """

    unet: dict[str, Any] = field(default_factory=dict)
    latents: tuple[int, int, int, int] = (4, 8, 32, 32)
    text: tuple[int, int] = (77, 1024)
    repeats: int = 5
    vae: Callable[[], nn.Module] = stable_diffusion_vae


def built(make: Callable[[], nn.Module], device: torch.device) -> nn.Module:
    """The network in bf16 and eval mode, built directly on its device."""
    with device:
        return make().to(torch.bfloat16).eval().requires_grad_(False)


def inputs(size: Size, device: torch.device, clips: int = 1) -> tuple[Tensor, Tensor]:
    """Random latents `b c f h w` and prompt embeddings `b n d`, bf16."""
    noise = torch.randn(clips, *size.latents, device=device, dtype=torch.bfloat16)
    return noise, torch.randn(clips, *size.text, device=device, dtype=torch.bfloat16)


def free() -> None:
    """Free memory between networks."""
    gc.collect()
    torch.compiler.reset()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextlib.contextmanager
def quiet_compiler() -> Iterator[None]:
    """Suppress the autotuner's tables."""
    import torch._inductor.config as inductor

    with inductor.patch(autotune_num_choices_displayed=0):
        yield


def measure(size: Size, device: torch.device, compiled: bool = True) -> dict[str, Any]:
    """Measure everything in the record; `compiled` adds rows for `torch.compile`."""
    networks: dict[str, Callable[[], Any]] = {
        "diffusers UNet3D": lambda: UNet3DConditionModel(**size.unet),
        "STI": lambda: VideoUNet(temporal=STI(), **size.unet),
    }
    found: dict[str, Any] = {"sampling": {}, "training": {}}
    for name, make in networks.items():
        unet = built(make, device)
        found["sampling"][name] = sampling_times(unet, size, device)
        if name == "STI":
            found["profile"] = profiled(unet, size, device)
            found["decode_s"] = decode_time(size, device)
            if compiled:
                fast = torch.compile(unet.to(memory_format=torch.preserve_format), mode="max-autotune")
                found["sampling"]["STI, compiled with CUDA graphs"] = sampling_times(fast, size, device)
        elif compiled:
            fast = torch.compile(unet, mode="max-autotune")
            found["sampling"]["diffusers UNet3D, compiled with CUDA graphs"] = sampling_times(fast, size, device)
        del unet
        free()
    for checkpointing in (False, True):
        for spatial in (True, False):
            what = "all weights" if spatial else "temporal layers"
            name = f"{what}{', gradient checkpointing' if checkpointing else ''}"
            found["training"][name] = training_cost(networks["STI"], size, device, checkpointing, spatial)
            free()
    return found


@torch.no_grad()
def sample(unet: Callable[..., Any], size: Size, device: torch.device, steps: int, solver: str) -> Tensor:
    """Sample the latents of one clip with guidance, `1 c f h w`."""
    from diffusers import DDPMScheduler

    schedule = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False)
    stepper = make_solver(schedule, SamplerConfig(steps, solver=solver), device)  # type: ignore[arg-type]
    latents, _ = inputs(size, device)
    _, embeds = inputs(size, device, clips=2)
    for step in stepper.timesteps:
        both = unet(torch.cat([latents, latents]), step.expand(2), embeds).sample.clone()  # CUDA graphs reuse outputs
        noise_pred_uncond, noise_pred_text = both.chunk(2)
        noise_pred = noise_pred_uncond + 7.5 * (noise_pred_text - noise_pred_uncond)
        latents = stepper.step(noise_pred, step, latents).prev_sample.to(torch.bfloat16)
    return latents


def sampling_times(unet: Callable[..., Any], size: Size, device: torch.device) -> dict[str, float]:
    """Seconds per clip with the paper's 25 DDIM steps and with 8 DPM-Solver++ steps: median after two warm-up runs."""
    found = {}
    for name, steps, solver in (("ddim_25_s", 25, "ddim"), ("dpm_8_s", 8, "dpm++")):
        taken = [seconds(lambda s=steps, v=solver: sample(unet, size, device, s, v)) for _ in range(2 + size.repeats)]  # type: ignore[misc]
        found[name] = statistics.median(taken[2:])
    return found


@torch.no_grad()
def decode_time(size: Size, device: torch.device) -> float:
    """Seconds to decode the frames of one clip with the VAE: median after two warm-up runs."""
    vae: Any = built(size.vae, device)
    latents = torch.randn(size.latents[1], *size.latents[:1], *size.latents[2:], device=device, dtype=torch.bfloat16)
    return statistics.median([seconds(lambda: vae.decode(latents)) for _ in range(2 + size.repeats)][2:])


@torch.no_grad()
def profiled(unet: nn.Module, size: Size, device: torch.device) -> list[dict[str, Any]]:
    """The ten most expensive kinds of operations in a forward pass with guidance, and their shares of its time."""
    noise, embeds = inputs(size, device, clips=2)
    step = torch.tensor(500, device=device).expand(2)
    unet(noise, step, embeds)
    on_gpu = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as trace:
        unet(noise, step, embeds)
        synchronize()
    events = trace.key_averages()
    times = {e.key: float(e.self_device_time_total if on_gpu else e.self_cpu_time_total) for e in events}
    total = sum(times.values()) or 1.0
    top = sorted(times.items(), key=lambda pair: -pair[1])[:10]
    return [{"operation": name[:80], "share": round(taken / total, 4)} for name, taken in top]


def training_cost(
    make: Callable[[], nn.Module], size: Size, device: torch.device, checkpointing: bool, spatial: bool
) -> dict[str, float | None]:
    """Cost of a training step on one clip in bf16 autocast.

    Args:
        make: builds the UNet.
        size: of the inputs.
        device: where it runs.
        checkpointing: use gradient checkpointing.
        spatial: train all weights; otherwise only the temporal layers.

    Returns:
        `step_s` (seconds), `model_tflop_s`, `mfu` in [0, 1] (None if the peak is unknown or `spatial` is False), and
        `peak_gib` (None on a CPU).
    """
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
    # backward costs twice the forward if all weights are trained; recomputation by checkpointing is not counted
    flops = counter.get_total_flops() * (3 if spatial else 2)
    peak = peak_tflops(device)
    return {
        "step_s": taken,
        "model_tflop_s": flops / taken / 1e12,
        "mfu": flops / taken / 1e12 / peak if peak and spatial else None,
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else None,
    }


def peak_tflops(device: torch.device) -> float | None:
    """The vendor's dense bf16 TFLOP/s; None for a device that is not in `PEAK_TFLOPS`."""
    name = torch.cuda.get_device_name() if device.type == "cuda" else ""
    return next((peak for part, peak in PEAK_TFLOPS.items() if part in name), None)


def measure_speed(
    benchmarks: Path, device: torch.device, size: Size | None = None, compiled: bool = True
) -> dict[str, Any]:
    """Measure, write `results/gpu_generation.json` and `gpu.md` below `benchmarks`, and return the record."""
    size = size or Size()
    with quiet_compiler():
        found = measure(size, device, compiled)
    _, frames, height, width = size.latents
    record = {
        **found,
        "clip": [frames, 8 * height, 8 * width],
        "hardware": hardware(),
        "versions": versions(),
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
    }
    (benchmarks / "results").mkdir(parents=True, exist_ok=True)
    with atomic_path(benchmarks / "results" / "gpu_generation.json") as path:
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    with atomic_path(benchmarks / "gpu.md") as path:
        path.write_text(gpu_page(record), encoding="utf-8")
    return record


def gpu_page(record: dict[str, Any]) -> str:
    """Text of `gpu.md`."""
    rows = [
        [name, f"{times['ddim_25_s']:.3f}", f"{times['dpm_8_s']:.3f}"] for name, times in record["sampling"].items()
    ]
    sampling = markdown((["network", "25 DDIM steps, s", "8 DPM-Solver++ steps, s"], rows))
    rows = [
        [name, f"{cost['step_s']:.3f}", *(shown(cost[key]) for key in ("mfu", "peak_gib"))]
        for name, cost in record["training"].items()
    ]
    training = markdown((["trained", "s a step", "MFU", "peak GiB"], rows))
    top = markdown((["operation", "share"], [[e["operation"], f"{100 * e['share']:.1f}%"] for e in record["profile"]]))
    frames, height, width = record["clip"]
    return (
        f"# Full-size text to sticker on {record['hardware']['gpu']}\n\n"
        f"Generated by `glassine benchmark tables`. One clip of {frames} x {height} x {width}, guidance, bf16, random "
        f"weights; decoding takes {record['decode_s']:.3f} s more. The paper's V100 took {PAPER_SECONDS} s for 25 "
        f"steps.\n\n{sampling}\n\n## Training, one clip a step\n\n"
        f"{training}\n\n## Where a pass of STI spends its time\n\n{top}\n"
    )


def shown(value: float | None) -> str:
    """A number with two decimals; a dash for None."""
    return "–" if value is None else f"{value:.2f}"
