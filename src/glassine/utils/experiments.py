"""Experiments as files: a complete YAML, or a short overlay over one.

The first line of an overlay is the command that runs it, `# glassine fit -c BASE.yaml -c OVERLAY.yaml`; LightningCLI
merges each file over the previous ones. An experiment is identified by its last file.
"""

import importlib
import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from glassine.utils.errors import UserError

_COMMAND = re.compile(r"# glassine \w+ (?=.*-c \S+ .*-c )")


def experiment_files(experiment: Path, over: Path | None = None) -> list[Path]:
    """The files to pass to `glassine fit` with `-c`, in order; the last one is `experiment` itself.

    Args:
        experiment: the experiment, or an overlay whose first line names its base.
        over: another YAML, laid over the base and below the overlay.

    Raises:
        UserError: a file does not exist, or an overlay's base is not where its first line says.
    """
    if over is not None:
        if not over.is_file():
            raise UserError(f"no experiment at {over}")
        base, *overlays = experiment_files(experiment)
        return [base, over, *overlays]
    if not experiment.is_file():
        raise UserError(f"no experiment at {experiment}: run this in the folder that contains `experiments`")
    with experiment.open(encoding="utf-8") as file:
        first = file.readline()
    if not _COMMAND.match(first):
        return [experiment]
    named = [Path(name) for name in re.findall(r"-c (\S+)", first)]
    root = Path(*experiment.parts[: len(experiment.parts) - len(named[-1].parts)])
    files = [*(root / name for name in named[:-1]), experiment]
    if experiment.parts[-len(named[-1].parts) :] != named[-1].parts or not all(file.is_file() for file in files):
        raise UserError(f"{experiment} must be next to its base, as in {first[2:].strip()!r}")
    return files


def config_arguments(experiment: Path, over: Path | None = None) -> list[str]:
    """`-c FILE` for each file of `experiment_files`, as arguments of `glassine fit`."""
    return [word for file in experiment_files(experiment, over) for word in ("-c", str(file))]


def read_experiment(experiment: Path, over: Path | None = None) -> dict[str, Any]:
    """The content of an experiment, with its overlay merged over the base.

    Args:
        experiment: YAML of the experiment.
        over: another YAML, merged over the base.

    Raises:
        UserError: see `experiment_files`.
    """
    content: dict[str, Any] = {}
    for file in experiment_files(experiment, over):
        content = laid_over(content, yaml.safe_load(file.read_text(encoding="utf-8")))
    return content


def laid_over(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `overlay` merged in recursively.

    As in LightningCLI, if the class changes, arguments that the new class also accepts are kept.
    """
    content = dict(base)
    for key, value in overlay.items():
        before = content.get(key)
        content[key] = laid_over(before, value) if isinstance(value, Mapping) and isinstance(before, Mapping) else value
    if content.get("class_path") != base.get("class_path") and isinstance(content.get("init_args"), Mapping):
        module, _, name = str(content["class_path"]).rpartition(".")
        parameters = inspect.signature(getattr(importlib.import_module(module), name)).parameters
        content["init_args"] = {key: value for key, value in content["init_args"].items() if key in parameters}
    return content


def dataset_arguments(content: Mapping[str, Any], name: str, value: str) -> list[str]:
    """Arguments for `glassine fit` that override an argument in every dataset of an experiment that sets it.

    Args:
        content: of the experiment.
        name: of the argument, such as `root`.
        value: the new value.
    """
    stages = [stage for stage in ("train", "val", "test") if name in dataset_values(content, stage)]
    return [word for stage in stages for word in (f"--data.{stage}.init_args.{name}", value)]


def dataset_values(content: Mapping[str, Any], stage: str) -> Mapping[str, Any]:
    """The arguments of an experiment's dataset for a stage; empty if it has no such dataset."""
    dataset = content.get("data", {}).get(stage) or {}
    return dataset.get("init_args") or {}


def training_root(content: Mapping[str, Any]) -> Any:
    """The shard folder of an experiment: from its training dataset, otherwise from validation or test."""
    roots = [dataset_values(content, stage).get("root") for stage in ("train", "val", "test")]
    roots.append(content.get("data", {}).get("root"))  # runs of earlier versions
    return next((root for root in roots if root), None)
