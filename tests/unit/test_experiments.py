"""Every YAML under experiments/ is understood by the command line and has its row in the README there."""

from pathlib import Path

import pytest
from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser

from glassine.bench.fit import check_names, policy
from glassine.bench.pretrain import read_steps
from glassine.data.datamodule import StickerDataModule
from glassine.tasks.base import StickerTask
from glassine.utils.class_paths import read_yaml

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
YAMLS = sorted(set(EXPERIMENTS.rglob("*.yaml")) - {EXPERIMENTS / "pretrain.yaml"})  # the queue is no experiment


def test_the_queue_names_experiments_that_are_there():
    steps = read_steps(EXPERIMENTS / "pretrain.yaml")
    fits = {step.fit for step in steps if step.fit is not None}
    assert fits
    assert all((EXPERIMENTS.parent / fit).is_file() for fit in fits)


def test_there_are_experiments():
    assert len(YAMLS) >= 5


@pytest.mark.parametrize("file", YAMLS, ids=lambda file: str(file.relative_to(EXPERIMENTS)))
def test_it_is_parsed(file):
    from lightning.pytorch import Trainer

    parser = LightningArgumentParser(exit_on_error=False)
    parser.add_argument("--seed_everything", type=bool | int)
    parser.add_lightning_class_args(Trainer, "trainer")
    parser.add_lightning_class_args(StickerDataModule, "data")
    parser.add_lightning_class_args(StickerTask, "model", subclass_mode=True)
    check_names(read_yaml(file), str(file))
    with policy():
        config = parser.parse_path(file)
    assert isinstance(config.model, Namespace)


@pytest.mark.parametrize("file", YAMLS, ids=lambda file: str(file.relative_to(EXPERIMENTS)))
def test_it_has_a_row_in_the_readme(file):
    assert f"`{file.relative_to(EXPERIMENTS)}`" in (EXPERIMENTS / "README.md").read_text(encoding="utf-8")
