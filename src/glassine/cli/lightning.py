"""The verbs fit, validate, test and predict: LightningCLI over the project's tasks and its data module."""

import argparse
import warnings
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
from jsonargparse import ArgumentError
from lightning.pytorch import Trainer
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI, SaveConfigCallback

from glassine.cli.predictions import PredictionWriter
from glassine.data.datamodule import StickerDataModule
from glassine.errors import UserError
from glassine.pretrained.weights import read_state
from glassine.tasks.base import StickerTask

VERBS = ("fit", "validate", "test", "predict")


def run(arguments: Sequence[str]) -> LightningCLI:
    """Run `fit|validate|test|predict -c FILE.yaml [--overrides]`.

    Raises:
        UserError: the YAML or an override is not understood; one line that names the key.
    """
    # workers and precision are set in the YAML; Lightning's advice says otherwise on small machines
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*LightningCLI's args parameter.*")
    warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")
    # the averaged weights are the checkpoint's own: they are what is scored
    warnings.filterwarnings("ignore", ".*WeightAveraging state cannot be restored.*")
    warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated.*")  # Lightning's own use of torch
    warnings.filterwarnings("ignore", ".*module.s. in eval mode at the start of training.*")  # what does not learn
    torch.set_float32_matmul_precision("high")
    try:
        return StickerCLI(
            StickerTask,
            StickerDataModule,
            subclass_mode_model=True,
            trainer_class=Trainer,
            # other verbs would write theirs over the run's
            save_config_callback=SaveConfigCallback if arguments[0] == "fit" else None,
            save_config_kwargs={"overwrite": True},
            trainer_defaults={"callbacks": [PredictionWriter()] if arguments[0] == "predict" else []},
            auto_configure_optimizers=False,
            parser_kwargs={"exit_on_error": False, **{verb: {"exit_on_error": False} for verb in VERBS}},
            # a checkpoint may come from anywhere: read tensors, run no code
            args=[*arguments[:1], "--weights_only", "true", *arguments[1:]],
        )
    except (ArgumentError, argparse.ArgumentError) as error:
        message = one_line(str(error)).replace('"<unicode string>"', configs(arguments))
        raise UserError(f"{message} (see `glassine {arguments[0]} --help`)") from error
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):  # Lightning makes exit code 1 of it
            raise KeyboardInterrupt from stop
        raise


class StickerCLI(LightningCLI):
    """LightningCLI that says what is wrong with a checkpoint before it builds anything."""

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Raise UserError where `ckpt_path`, wherever it was set, is missing, damaged, or no checkpoint."""
        super().parse_arguments(parser, args)
        path = self.config[self.config.subcommand].get("ckpt_path")
        if path not in (None, "best", "last"):
            read_state(Path(path))


def configs(arguments: Sequence[str]) -> str:
    """The YAML files among `arguments`; the parser does not say which of them it could not read."""
    return " ".join(value for name, value in pairwise(arguments) if name in ("-c", "--config")) or "the configuration"


def one_line(message: str) -> str:
    """The parser's message without line breaks, the type it tried first, and the whole value that it was given."""
    message = " ".join(message.split())
    message = message.split(" - Expected a <class 'NoneType'>")[0]
    return message.rpartition("Errors: - ")[2]
