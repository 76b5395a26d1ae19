"""`fit`, `validate`, `test` and `predict` as functions: LightningCLI over the project's tasks and its data module.

A YAML of these verbs is a program: it says which classes are imported and called, and with what. Run one only if you
trust its author, as you would a script. Its names are restricted all the same: to torch, lightning, glassine, the
classes that a folder of weights may name, and what `--allow` adds; classes that load or start other code are refused.
"""

import argparse
import re
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentError
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI, SaveConfigCallback

from glassine.data.datamodule import StickerDataModule
from glassine.pretrained.weights import read_state
from glassine.tasks.base import StickerTask
from glassine.tasks.checkpoints import write_atomically
from glassine.utils.class_paths import FOREIGN, allow, allowed_by_user, import_policy, read_yaml
from glassine.utils.errors import UserError, output_error
from glassine.utils.files import atomic_path, sole_writer
from glassine.utils.renamed import check_data_arguments, current_name
from glassine.utils.signals import forward_sigterm

VERBS = ("fit", "validate", "test", "predict")
EPILOG = """A YAML is a program: it chooses the classes that are imported and called. Run one only if you trust who
wrote it. It may name what is in torch, lightning and glassine and the parts of diffusers, timm, transformers and
segment-anything that glassine uses; --allow MODULE (as often as needed, on the command line only) adds a module of
your own."""
ROOTS = ("torch", "lightning", "glassine", "torchmetrics")
LOADS_CODE = (  # within those: what unpickles, compiles, downloads or starts code
    "glassine.bench",
    "lightning.fabric.cli",
    "lightning.pytorch.cli",
    "torch.classes",
    "torch.distributed.elastic",
    "torch.distributed.launch",
    "torch.distributed.launcher",
    "torch.distributed.rpc",
    "torch.distributed.run",
    "torch.export",
    "torch.fx",
    "torch.hub",
    "torch.jit",
    "torch.load",
    "torch.multiprocessing",
    "torch.ops",
    "torch.package",
    "torch.serialization",
    "torch.utils.benchmark",
    "torch.utils.bottleneck",
    "torch.utils.cpp_extension",
    "torch.utils.model_zoo",
)


def fit(files: Sequence[Path], overrides: Sequence[str] = (), checkpoint: Path | None = None) -> LightningCLI:
    """Train.

    Args:
        files: YAMLs, each laid over the ones before it.
        overrides: arguments such as `--seed_everything 1`, laid over the YAMLs.
        checkpoint: to resume from.

    Raises:
        UserError: see `run_lightning`.
    """
    configs = [word for file in files for word in ("-c", str(file))]
    resume = ["--ckpt_path", str(checkpoint)] if checkpoint is not None else []
    return run_lightning(["fit", *configs, *overrides, *resume])


def run_lightning(arguments: Sequence[str], callbacks: Sequence[Callback] = ()) -> LightningCLI:
    """Run `fit|validate|test|predict -c FILE.yaml [--overrides]`.

    Args:
        arguments: the verb, then those of LightningCLI.
        callbacks: of the trainer, beside those of the YAML.

    Raises:
        UserError: the YAML or an override is not understood, or names what it may not; one line that names the key.
    """
    arguments = take_allowed(arguments)
    check_data_arguments(data_arguments(arguments), "the command line")
    for file in config_files(arguments):
        content = read_yaml(file)
        check_names(content, str(file))
        if isinstance(content, dict) and isinstance(content.get("data"), dict):
            check_data_arguments(content["data"], str(file))
    # workers and precision are set in the YAML; Lightning's advice says otherwise on small machines
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*LightningCLI's args parameter.*")
    warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")
    # the averaged weights are the checkpoint's own: they are what is scored
    warnings.filterwarnings("ignore", ".*WeightAveraging state cannot be restored.*")
    warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated.*")  # Lightning's own use of torch
    warnings.filterwarnings("ignore", ".*module.s. in eval mode at the start of training.*")  # what does not learn
    torch.set_float32_matmul_precision("high")
    how = {"exit_on_error": False, "epilog": EPILOG}
    try:
        with policy():
            return StickerCLI(
                StickerTask,
                StickerDataModule,
                subclass_mode_model=True,
                trainer_class=Trainer,
                # other verbs would write theirs over the run's
                save_config_callback=WholeConfig if arguments[0] == "fit" else None,
                save_config_kwargs={"overwrite": True},
                trainer_defaults={"callbacks": list(callbacks)},
                auto_configure_optimizers=False,
                parser_kwargs={"exit_on_error": False, **dict.fromkeys(VERBS, how)},
                # a checkpoint may come from anywhere: read tensors, run no code
                args=[*arguments[:1], "--weights_only", "true", *arguments[1:]],
            )
    except (ArgumentError, argparse.ArgumentError) as error:
        message = one_line(str(error)).replace('"<unicode string>"', configs(arguments))
        raise UserError(f"{message} (see `glassine {arguments[0]} --help`)") from error
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):  # Lightning makes exit code 1 of it
            raise stop.__context__ from stop
        raise


def policy() -> AbstractContextManager[None]:
    """While it is entered, the parser imports what a YAML may name and nothing else."""
    return import_policy([*ROOTS, *FOREIGN, *FOREIGN.values(), *allowed_by_user()], LOADS_CODE)


class StickerCLI(LightningCLI):
    """LightningCLI that says what is wrong with a checkpoint before it builds anything."""

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """The trainer, which writes checkpoints whole and lets SIGTERM end it."""
        trainer = super().instantiate_trainer(**kwargs)
        write_atomically(trainer)
        forward_sigterm(trainer)
        return trainer

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Raise UserError where `ckpt_path`, wherever it was set, is missing, damaged, or no checkpoint."""
        super().parse_arguments(parser, args)
        path = self.config[self.config.subcommand].get("ckpt_path")
        if path not in (None, "best", "last"):
            read_state(Path(path))

    def _run_subcommand(self, subcommand: str) -> None:
        """Run it; a training keeps others out of its folders meanwhile.

        Raises:
            UserError: another training writes into one of them.
        """
        with ExitStack() as locks:
            if subcommand == "fit":
                for folder in written_folders(self.trainer):
                    locks.enter_context(sole_writer(folder, "a training"))
            super()._run_subcommand(subcommand)

    def _parse_ckpt_path(self) -> None:
        """Take no settings from a checkpoint: Lightning would build the class that one names."""


class WholeConfig(SaveConfigCallback):
    """The run's `config.yaml`, which appears whole or not at all, since `glassine export` needs it."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write it; all processes must ask for the folder together."""
        folder = str(trainer.log_dir)
        if "://" in folder:  # of an object store, which replaces whole files itself
            super().setup(trainer, pl_module, stage)
        elif trainer.is_global_zero and not self.already_saved:
            Path(folder).mkdir(parents=True, exist_ok=True)
            with atomic_path(Path(folder, self.config_filename)) as path:
                self.parser.save(self.config, str(path), skip_none=False, overwrite=True, multifile=False)
            self.already_saved = True


def written_folders(trainer: Trainer) -> list[Path]:
    """Folders of this disk that a training writes into, made if need be; none in the processes that help the first."""
    log_dir = trainer.log_dir  # all processes must ask for it together
    if not trainer.is_global_zero:
        return []
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    checkpoints = [callback for callback in callbacks if isinstance(callback, ModelCheckpoint)]
    found = [str(callback.dirpath) for callback in checkpoints if callback.dirpath]
    if trainer.loggers and log_dir:
        found.append(log_dir)
    elif len(found) < len(checkpoints):
        found.append(str(Path(trainer.default_root_dir, "checkpoints")))
    folders = sorted({Path(folder) for folder in found if "://" not in folder})
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(folder, error) from error
    return folders


def take_allowed(arguments: Sequence[str]) -> list[str]:
    """The arguments without `--allow MODULE`, which is done; UserError where it names no module.

    It is no argument of the parser's, or a YAML could give itself leave.
    """
    rest, names = [], []
    pending = iter(arguments)
    for argument in pending:
        name, given, value = argument.partition("=")
        if name == "--allow":
            names += (value if given else next(pending, "")).split(",")
        else:
            rest.append(argument)
    allow(names)
    return rest


def check_names(content: Any, origin: str) -> None:
    """UserError where a configuration names a class that it may not, whether or not the parser would come to it."""
    allowed = (*ROOTS, *FOREIGN, *FOREIGN.values(), *allowed_by_user())
    pending = [content]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending += value.values()
            for renamed in (v for v in value.values() if isinstance(v, str) and current_name(v) != v):
                raise UserError(f"{origin} names {renamed!r}, which is {current_name(renamed)} now: change it there")
            name = value.get("class_path")
            if not isinstance(name, str) or "." not in name:  # the parser finds short names among what is imported
                continue
            if not covers(allowed, name) or (covers(LOADS_CODE, name) and not covers(allowed_by_user(), name)):
                raise UserError(
                    f"{origin} names {name[:200]!r}, which must be in {', '.join(ROOTS)} and not load other code: give "
                    "--allow MODULE if you trust who wrote it"
                )
        elif isinstance(value, list):
            pending += value


def covers(names: Sequence[str], name: str) -> bool:
    """Whether `name` is one of `names` or in one of them."""
    return any(f"{name}.".startswith(f"{prefix}.") for prefix in names)


def config_files(arguments: Sequence[str]) -> list[Path]:
    """The YAML files that `arguments` name as configurations."""
    files = [value for name, value in pairwise(arguments) if name in ("-c", "--config")]
    files += [value for name, _, value in (a.partition("=") for a in arguments) if name == "--config" and value]
    return [Path(file) for file in files if len(file) < 1000 and "\n" not in file and Path(file).exists()]


def data_arguments(arguments: Sequence[str]) -> list[str]:
    """The part after `--data.` of each of the arguments, up to the next dot or equals sign."""
    return [re.split(r"[.=+]", argument)[1] for argument in arguments if argument.startswith("--data.")]


def configs(arguments: Sequence[str]) -> str:
    """The YAML files among `arguments`; the parser does not say which of them it could not read."""
    return " ".join(value for name, value in pairwise(arguments) if name in ("-c", "--config")) or "the configuration"


def one_line(message: str) -> str:
    """The parser's message without line breaks, the type it tried first, and the whole value that it was given."""
    message = " ".join(message.split())
    message = message.split(" - Expected a <class 'NoneType'>")[0]
    message = message.rpartition("Errors: - ")[2]
    return re.sub(r"denied by the \S+ entry .* to allow it\.", "if you trust it, give --allow MODULE.", message)
