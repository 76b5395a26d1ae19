"""Train the weights that ship in the package, one after the other: `python -m glassine.bench.pretrain`.

Each stage stands on the one before it. A stopped stage goes on at its last checkpoint; one whose foundation has been
trained anew since starts again.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from glassine.bench.fit_runs import FitRun, logger_folder, read_yaml
from glassine.bench.fit_trust import fit_trust
from glassine.bench.generation.caches import DATA_FOLDER, LATENTS, make_cache
from glassine.errors import UserError, exit_code
from glassine.hardware import pick_device
from glassine.pretrained.motion_adapter import keep_motion_modules
from glassine.pretrained.weights import ASSETS, load_bundle, save_model


@dataclass(frozen=True)
class Stage:
    """One network.

    Attributes:
        configs: its experiments, each of which starts from the weights of the one before; the last one's are shipped.
        part: the task's argument that holds it.
        asset: folder in `assets`.
        on: assets that it stands on.
        caches: latents that it is trained on, see `make_cache`.
        finish: what is done to the exported weights: called with their folder, the shard folder and the device.
    """

    configs: tuple[Path, ...]
    part: str
    asset: str
    on: tuple[str, ...] = ()
    caches: tuple[str, ...] = ()
    finish: Callable[[Path, str, torch.device], object] | None = None


EXPERIMENTS = Path("experiments")
STAGES = (
    Stage((EXPERIMENTS / "vae/tiny.yaml",), "vae", "tiny-vae"),
    Stage((EXPERIMENTS / "transparency/tiny.yaml",), "codec", "tiny-transparency", ("tiny-vae",)),
    Stage((EXPERIMENTS / "sam/tiny.yaml", EXPERIMENTS / "sam/tiny_prompts.yaml"), "sam", "tiny-sam"),
    Stage((EXPERIMENTS / "distill/shipped.yaml",), "reconstruction.encoder", "tiny-layout", ("tiny-sam",)),
    Stage((EXPERIMENTS / "matting_anything/tiny.yaml",), "network", "tiny-matting-anything", ("tiny-sam",)),
    Stage(
        (EXPERIMENTS / "ildiff/shipped.yaml", EXPERIMENTS / "ildiff/shipped_fine.yaml"),
        "ildiff",
        "tiny-ildiff",
        ("tiny-transparency", "tiny-layout"),
        finish=fit_trust,
    ),
    Stage((EXPERIMENTS / "text/tiny.yaml",), "student.network", "tiny-text"),
    Stage((EXPERIMENTS / "evaluators/image_text.yaml",), "clip", "tiny-clip", ("tiny-text",)),
    Stage((EXPERIMENTS / "evaluators/video.yaml",), "clip", "tiny-video", ("tiny-text",)),
    Stage((EXPERIMENTS / "evaluators/names.yaml",), "network", "tiny-names"),
    Stage(
        tuple(EXPERIMENTS / f"vsd2m/shipped_{part}.yaml" for part in ("images", "prompts", "subjects")),
        "generator",
        "tiny-image",
        ("tiny-vae", "tiny-text"),
        ("stickers", "stills"),
    ),
    Stage((EXPERIMENTS / "vsd2m/shipped.yaml",), "generator", "tiny-sti", ("tiny-image",), ("loops",)),
    Stage(
        (EXPERIMENTS / "layer_animate/shipped_images.yaml",),
        "generator.unet",
        "tiny-transparent-image",
        ("tiny-image", "tiny-transparency"),
        ("transparent_loops", "transparent_stills"),
        finish=lambda folder, *_: save_model(load_bundle(str(folder)), folder),  # so that it names no other bundle
    ),
    Stage(
        (EXPERIMENTS / "layer_animate/shipped_motion.yaml",),
        "generator",
        "tiny-motion",
        ("tiny-image", "tiny-transparency"),
        ("loops_16",),
        finish=lambda folder, *_: keep_motion_modules(folder),
    ),
    Stage(
        (EXPERIMENTS / "layer_animate/shipped_attention.yaml", EXPERIMENTS / "layer_animate/shipped.yaml"),
        "generator",
        "tiny-layer-animate",
        ("tiny-transparent-image", "tiny-motion"),
        ("transparent_loops",),
    ),
)


def pretrain(
    stages: Sequence[Stage] = STAGES,
    assets: Path = ASSETS,
    accelerator: str = "auto",
    only: Sequence[str] | None = None,
    overrides: Sequence[str] = (),
    data: str | None = None,
) -> None:
    """Train and export.

    Args:
        stages: in their order.
        assets: folder of the weights.
        accelerator: as Lightning's.
        only: names of assets; None for all.
        overrides: further arguments of `glassine fit`.
        data: shard folder; None for the YAMLs'.

    Raises:
        UserError: an experiment is missing, or a training failed.
    """
    from glassine.__main__ import main

    unknown = [name for name in only or () if name not in {stage.asset for stage in stages}]
    if unknown:
        raise UserError(f"asset {unknown[0]!r} came; choose from {', '.join(stage.asset for stage in stages)}")
    for stage in stages:
        weights = assets / stage.asset / "model.safetensors"
        below = [assets / name / "model.safetensors" for name in stage.on]  # what the next run stands on
        if only is None or stage.asset in only:
            for cache in stage.caches:
                make_cache(cache, data or DATA_FOLDER, LATENTS, accelerator)
            for config in stage.configs:
                run = fit_run(config, accelerator, [*overrides, *data_overrides(config, data)])
                changed = [path for path in below if run.checkpoint.is_file() and is_newer(path, run.checkpoint)]
                if changed:
                    print(f"{config}: {changed[0]} has changed since, so it starts again; the old run is kept beside")
                    run.folder.rename(f"{run.folder}.{int(time.time())}")
                print(f"{config}: {run.steps_done} of {run.steps} steps done", flush=True)
                run.finish()
                below = [run.checkpoint]
            if not weights.is_file() or is_newer(run.checkpoint, weights):
                new = assets / f".{stage.asset}"  # until it is finished
                if main(["export", "weights", str(run.checkpoint), "--part", stage.part, "--to", str(new)]):
                    raise UserError(f"{run.checkpoint} could not be exported")
                if stage.finish is not None:
                    stage.finish(new, data or DATA_FOLDER, pick_device(accelerator))
                weights.parent.mkdir(exist_ok=True)
                for file in new.iterdir():
                    file.replace(weights.parent / file.name)
                new.rmdir()


def fit_run(config: Path, accelerator: str, overrides: Sequence[str] = ()) -> FitRun:
    """The training run of an experiment, as long as its YAML says."""
    content = read_yaml(config)
    arguments = ("--trainer.accelerator", accelerator, *overrides)
    return FitRun(config, logger_folder(content), int(content["trainer"]["max_steps"]), arguments)


def data_overrides(config: Path, data: str | None) -> list[str]:
    """Arguments that train on other shards, where the experiment is trained on shards at all."""
    content = read_yaml(config)["data"]
    names = {"root": "--data.root", "thumbnails": "--data.thumbnails.init_args.root"}
    return [part for key, name in names.items() if key in content and data for part in (name, data)]


def is_newer(one: Path, other: Path) -> bool:
    """Whether `one` was written after `other`."""
    return one.is_file() and one.stat().st_mtime > other.stat().st_mtime


def command(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns its exit code."""
    parser = argparse.ArgumentParser("python -m glassine.bench.pretrain", description=__doc__)
    parser.add_argument("--accelerator", default="auto", help="auto, cpu or gpu")
    parser.add_argument("--only", nargs="+", metavar="ASSET", help=", ".join(stage.asset for stage in STAGES))
    parser.add_argument("--data", default=None, help="shard folder (default: the YAMLs')")
    args = parser.parse_args(arguments)
    return exit_code(lambda: pretrain(accelerator=args.accelerator, only=args.only, data=args.data))


if __name__ == "__main__":
    sys.exit(command())
