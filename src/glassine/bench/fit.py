"""`fit`, `validate`, `test` and `predict` as functions: LightningCLI over the project's tasks and its data module.

A YAML for these verbs is a program: it chooses which classes are imported and called, and with which arguments. Run one
only if you trust its author, as you would with a script. As a second line of defense, class names are restricted to
torch, lightning, glassine, the classes that a folder of weights may name, and modules added with `--allow`. Classes
that load or start other code are refused.
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
from glassine.nn.diffusion import float32_attention
from glassine.pretrained.weights import read_state
from glassine.tasks.base import StickerTask
from glassine.tasks.checkpoints import write_atomically
from glassine.utils.class_paths import FOREIGN, allow, allowed_by_user, import_policy, read_yaml
from glassine.utils.devices import cpu_computes_in_bfloat16
from glassine.utils.errors import UserError, output_error
from glassine.utils.files import atomic_path, sole_writer
from glassine.utils.renamed import check_data_arguments, current_name
from glassine.utils.signals import forward_sigterm

VERBS = ("fit", "validate", "test", "predict")
EPILOG = """A YAML is a program: it chooses which classes are imported and called. Run one only if you trust its author.
It may name classes in torch, torchmetrics, lightning and glassine, and those parts of diffusers, timm, transformers and
segment-anything that glassine uses. --allow MODULE (repeatable, on the command line only) adds a module of your own."""
ROOTS = ("torch", "lightning", "glassine", "torchmetrics")
LOADS_CODE = (  # refused parts of ROOTS: these unpickle, compile, download or start code
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
        files: YAMLs; later ones override earlier ones.
        overrides: arguments such as `--seed_everything 1`, which override the YAMLs.
        checkpoint: to resume from; None to start anew.

    Raises:
        UserError: see `run_lightning`.
    """
    configs = [word for file in files for word in ("-c", str(file))]
    resume = ["--ckpt_path", str(checkpoint)] if checkpoint is not None else []
    return run_lightning(["fit", *configs, *overrides, *resume])


def run_lightning(arguments: Sequence[str], callbacks: Sequence[Callback] = ()) -> LightningCLI:
    """Run `fit|validate|test|predict -c FILE.yaml [--overrides]`.

    Args:
        arguments: the verb, then the arguments of LightningCLI.
        callbacks: of the trainer, in addition to those in the YAML.

    Returns:
        The CLI object, with the trainer and the task.

    Raises:
        UserError: the YAML or an override cannot be parsed, or names a class that is not allowed. The message is one
            line that names the key.
    """
    arguments = take_allowed(arguments)
    check_data_arguments(data_arguments(arguments), "the command line")
    for file in config_files(arguments):
        content = read_yaml(file)
        check_names(content, str(file))
        if isinstance(content, dict) and isinstance(content.get("data"), dict):
            check_data_arguments(content["data"], str(file))
    # workers and precision are set in the YAML on purpose; Lightning's advice does not suit small machines
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*LightningCLI's args parameter.*")
    warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")
    # the checkpoint's own weights are the averaged ones, which are those to be scored
    warnings.filterwarnings("ignore", ".*WeightAveraging state cannot be restored.*")
    warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated.*")  # Lightning's own use of torch
    warnings.filterwarnings("ignore", ".*module.s. in eval mode at the start of training.*")  # frozen parts
    torch.set_float32_matmul_precision("high")
    how = {"exit_on_error": False, "epilog": EPILOG}
    try:
        with policy():
            return StickerCLI(
                StickerTask,
                StickerDataModule,
                subclass_mode_model=True,
                trainer_class=Trainer,
                # other verbs would overwrite the run's config
                save_config_callback=WholeConfig if arguments[0] == "fit" else None,
                save_config_kwargs={"overwrite": True},
                trainer_defaults={"callbacks": list(callbacks)},
                auto_configure_optimizers=False,
                parser_kwargs={"exit_on_error": False, **dict.fromkeys(VERBS, how)},
                # a checkpoint may come from anywhere: load tensors without running pickled code
                args=[*arguments[:1], "--weights_only", "true", *arguments[1:]],
            )
    except (ArgumentError, argparse.ArgumentError) as error:
        message = one_line(str(error)).replace('"<unicode string>"', configs(arguments))
        raise UserError(f"{message} (see `glassine {arguments[0]} --help`)") from error
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):  # Lightning turns it into exit code 1
            raise stop.__context__ from stop
        raise


def policy() -> AbstractContextManager[None]:
    """A context in which the parser may import only what a YAML may name."""
    return import_policy([*ROOTS, *FOREIGN, *FOREIGN.values(), *allowed_by_user()], LOADS_CODE)


def possible_precision(precision: Any, accelerator: Any) -> Any:
    """The trainer's precision, or `32-true` in the place of `bf16-mixed` on a CPU without bfloat16 instructions.

    torch then multiplies bfloat16 matrices one by one: 1 GFLOP/s a core, where float32 reaches 40.
    """
    gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not gpu)
    if precision != "bf16-mixed" or not on_cpu or cpu_computes_in_bfloat16():
        return precision
    print("this CPU has no bfloat16 instructions: precision is 32-true instead of bf16-mixed")
    return "32-true"


class StickerCLI(LightningCLI):
    """LightningCLI that reports a bad checkpoint before it builds anything, and locks the folders of a training."""

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """The trainer, with atomic checkpoints and a clean stop on SIGTERM."""
        trainer = super().instantiate_trainer(**kwargs)
        write_atomically(trainer)
        forward_sigterm(trainer)
        return trainer

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse, set a precision that is fast here, then check `ckpt_path`, wherever it was set.

        Raises:
            UserError: the checkpoint is missing or damaged, or the file is no checkpoint.
        """
        super().parse_arguments(parser, args)
        trainer = self.config[self.config.subcommand].trainer
        trainer.precision = possible_precision(trainer.precision, trainer.accelerator)
        path = self.config[self.config.subcommand].get("ckpt_path")
        if path not in (None, "best", "last"):
            read_state(Path(path))

    def _run_subcommand(self, subcommand: str) -> None:
        """Run a verb; `fit` locks its output folders against other trainings, and is fast in bfloat16 on a CPU.

        Raises:
            UserError: another training writes into one of the folders.
        """
        with ExitStack() as contexts:
            if subcommand == "fit":
                for folder in written_folders(self.trainer):
                    contexts.enter_context(sole_writer(folder, "a training"))
                if self.trainer.precision == "bf16-mixed":
                    contexts.enter_context(float32_attention())
            super()._run_subcommand(subcommand)

    def _parse_ckpt_path(self) -> None:
        """Do nothing: Lightning would take settings from the checkpoint and build the class that it names."""


class WholeConfig(SaveConfigCallback):
    """Writes the run's `config.yaml` atomically, since `glassine export` depends on it."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the file; `trainer.log_dir` is collective, so all processes must read it."""
        folder = str(trainer.log_dir)
        if "://" in folder:  # an object store, whose writes are atomic anyway
            super().setup(trainer, pl_module, stage)
        elif trainer.is_global_zero and not self.already_saved:
            Path(folder).mkdir(parents=True, exist_ok=True)
            with atomic_path(Path(folder, self.config_filename)) as path:
                self.parser.save(self.config, str(path), skip_none=False, overwrite=True, multifile=False)
            self.already_saved = True


def written_folders(trainer: Trainer) -> list[Path]:
    """Local folders that a training writes into, created if missing; empty except on rank 0.

    Raises:
        UserError: a folder cannot be created.
    """
    log_dir = trainer.log_dir  # collective: all processes must read it
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
    """Apply every `--allow MODULE` and return the other arguments.

    It is not an argument of the parser, since then a YAML could allow its own modules.

    Raises:
        UserError: `--allow` names no module.
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
    """Check all class names in a configuration, including those in parts that the parser would not reach.

    Args:
        content: of the YAML.
        origin: name of the file, for the message.

    Raises:
        UserError: a class is not allowed, or was renamed.
    """
    allowed = (*ROOTS, *FOREIGN, *FOREIGN.values(), *allowed_by_user())
    pending = [content]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending += value.values()
            for renamed in (v for v in value.values() if isinstance(v, str) and current_name(v) != v):
                raise UserError(f"{origin} names {renamed!r}, which is {current_name(renamed)} now: change it there")
            name = value.get("class_path")
            if not isinstance(name, str) or "." not in name:  # the parser looks up short names in imported modules
                continue
            if not covers(allowed, name) or (covers(LOADS_CODE, name) and not covers(allowed_by_user(), name)):
                raise UserError(
                    f"{origin} names {name[:200]!r}, but a class must be in {', '.join(ROOTS)} and must not load other "
                    "code: if you trust its author, give --allow MODULE"
                )
        elif isinstance(value, list):
            pending += value


def covers(names: Sequence[str], name: str) -> bool:
    """Whether `name` is one of the modules `names` or inside one of them."""
    return any(f"{name}.".startswith(f"{prefix}.") for prefix in names)


def config_files(arguments: Sequence[str]) -> list[Path]:
    """The existing YAML files given with `-c FILE`, `-cFILE`, `-c=FILE`, `--config FILE` or `--config=FILE`."""
    files = [value for name, value in pairwise(arguments) if name in ("-c", "--config")]
    files += [value for name, _, value in (a.partition("=") for a in arguments) if name == "--config" and value]
    files += [a[2:].removeprefix("=") for a in arguments if a.startswith("-c") and len(a) > 2]
    return [Path(file) for file in files if len(file) < 1000 and "\n" not in file and Path(file).exists()]


def data_arguments(arguments: Sequence[str]) -> list[str]:
    """The names after `--data.` in the arguments, each up to the next dot, equals sign or plus sign."""
    return [re.split(r"[.=+]", argument)[1] for argument in arguments if argument.startswith("--data.")]


def configs(arguments: Sequence[str]) -> str:
    """The YAML files among `arguments`, for messages: the parser does not say which of them it could not read."""
    return " ".join(value for name, value in pairwise(arguments) if name in ("-c", "--config")) or "the configuration"


def one_line(message: str) -> str:
    """The parser's message on one line, reduced to the innermost errors, without the one for None and the value."""
    message = " ".join(message.split())
    message = message.split(" - Expected a <class 'NoneType'>")[0]
    message = message.rpartition("Errors: - ")[2]
    return re.sub(r"denied by the \S+ entry .* to allow it\.", "if you trust it, give --allow MODULE.", message)
