"""Speed of full-size text-to-sticker networks on a CUDA GPU: `python -m glassine.bench.generation.gpu`.

Weights are random: time does not depend on them. The network with STI layers is measured against diffusers' unmodified
`UNet3DConditionModel` in the same run, sampled as VSD2M's table 4 does (one clip of 8 x 256 x 256, guidance), and
trained. The record says what was measured, `gpu.md` shows it.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet3DConditionModel
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from glassine.bench.generation.gpu_report import report
from glassine.bench.generation.gpu_timing import Size, built, free, inputs, quiet_compiler, seconds, synchronize
from glassine.bench.generation.gpu_training import training_cost
from glassine.bench.records import versions
from glassine.models.sampling import SamplerConfig, make_solver
from glassine.models.video_unet import VideoUNet
from glassine.nn.sti import STI
from glassine.utils.devices import hardware, pick_device
from glassine.utils.errors import UserError, exit_code
from glassine.utils.files import atomic_path


def measure(size: Size, device: torch.device, compiled: bool = True) -> dict[str, Any]:
    """All numbers of the record."""
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
    """Latents of one clip, with guidance."""
    from diffusers import DDPMScheduler

    schedule = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False)
    stepper = make_solver(schedule, SamplerConfig(steps, solver=solver), device)  # type: ignore[arg-type]
    latents, _ = inputs(size, device)
    _, embeds = inputs(size, device, clips=2)
    for step in stepper.timesteps:
        both = unet(torch.cat([latents, latents]), step.expand(2), embeds).sample.clone()  # a graph reuses its output
        without, towards = both.chunk(2)
        latents = stepper.step(without + 7.5 * (towards - without), step, latents).prev_sample.to(torch.bfloat16)
    return latents


def sampling_times(unet: Callable[..., Any], size: Size, device: torch.device) -> dict[str, float]:
    """Seconds a clip with the paper's 25 steps of DDIM and with 8 of DPM-Solver++: median after two runs to warm up."""
    found = {}
    for name, steps, solver in (("ddim_25_s", 25, "ddim"), ("dpm_8_s", 8, "dpm++")):
        taken = [seconds(lambda s=steps, v=solver: sample(unet, size, device, s, v)) for _ in range(2 + size.repeats)]  # type: ignore[misc]
        found[name] = statistics.median(taken[2:])
    return found


@torch.no_grad()
def decode_time(size: Size, device: torch.device) -> float:
    """Seconds that the VAE takes for the frames."""
    vae: Any = built(size.vae, device)
    latents = torch.randn(size.latents[1], *size.latents[:1], *size.latents[2:], device=device, dtype=torch.bfloat16)
    return statistics.median([seconds(lambda: vae.decode(latents)) for _ in range(2 + size.repeats)][2:])


@torch.no_grad()
def profiled(unet: nn.Module, size: Size, device: torch.device) -> list[dict[str, Any]]:
    """The ten kinds of operations that take most of a pass with guidance, and their share."""
    noise, embeds = inputs(size, device, clips=2)
    step = torch.tensor(500, device=device).expand(2)
    unet(noise, step, embeds)
    on_gpu = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as trace:
        unet(noise, step, embeds)
        synchronize(device)
    events = trace.key_averages()
    times = {e.key: float(e.self_device_time_total if on_gpu else e.self_cpu_time_total) for e in events}
    total = sum(times.values()) or 1.0
    top = sorted(times.items(), key=lambda pair: -pair[1])[:10]
    return [{"operation": name[:80], "share": round(taken / total, 4)} for name, taken in top]


def run(to: Path, device: torch.device, size: Size | None = None, compiled: bool = True) -> dict[str, Any]:
    """Measure, write the record and the table, and return the record."""
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
    (to / "results").mkdir(parents=True, exist_ok=True)
    with atomic_path(to / "results" / "gpu_generation.json") as path:
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    with atomic_path(to / "gpu.md") as path:
        path.write_text(report(record), encoding="utf-8")
    return record


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns its exit code."""
    parser = argparse.ArgumentParser("python -m glassine.bench.generation.gpu", description=__doc__)
    parser.add_argument("--to", type=Path, default=Path("benchmarks"), help="folder of the record and the table")
    args = parser.parse_args(arguments)

    def work() -> None:
        if not torch.cuda.is_available():
            raise UserError("no CUDA GPU here; the full-size networks are measured on one")
        run(args.to, pick_device("cuda"))
        print(f"wrote {args.to / 'gpu.md'}")

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())
