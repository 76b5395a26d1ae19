"""Every experiment is understood by the command line, overlays over their base, and has its row in the README."""

from pathlib import Path

import pytest
import yaml
from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser

from glassine.bench.fit import check_names, policy
from glassine.bench.pretrain import read_steps
from glassine.data.datamodule import StickerDataModule
from glassine.tasks.base import StickerTask
from glassine.utils.class_paths import read_yaml
from glassine.utils.errors import UserError
from glassine.utils.experiments import (
    config_arguments,
    dataset_arguments,
    experiment_files,
    laid_over,
    read_experiment,
    training_root,
)

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
CURATIONS = set((EXPERIMENTS / "curation" / "settings").glob("*.yaml"))  # of `glassine curate`, which trains nothing
# the queue is no experiment
YAMLS = sorted(set(EXPERIMENTS.rglob("*.yaml")) - {EXPERIMENTS / "pretrain.yaml"} - CURATIONS)
OVERLAYS = [file for file in YAMLS if len(experiment_files(file)) > 1]


def test_the_queue_names_experiments_that_are_there():
    steps = read_steps(EXPERIMENTS / "pretrain.yaml")
    fits = {step.fit for step in steps if step.fit is not None}
    assert fits
    assert all((EXPERIMENTS.parent / fit).is_file() for fit in fits)


def test_there_are_experiments():
    assert len(YAMLS) >= 5


@pytest.fixture(scope="module")
def parser() -> LightningArgumentParser:
    from lightning.pytorch import Trainer

    parser = LightningArgumentParser(exit_on_error=False)
    parser.add_argument("-c", "--config", action="config")
    parser.add_argument("--seed_everything", type=bool | int)
    parser.add_lightning_class_args(Trainer, "trainer")
    parser.add_lightning_class_args(StickerDataModule, "data")
    parser.add_lightning_class_args(StickerTask, "model", subclass_mode=True)
    return parser


@pytest.mark.parametrize("file", YAMLS, ids=lambda file: str(file.relative_to(EXPERIMENTS)))
def test_it_is_parsed(file, parser):
    check_names(read_yaml(file), str(file))
    with policy():
        config = parser.parse_args(config_arguments(file))
    assert isinstance(config.model, Namespace)


@pytest.mark.parametrize("file", OVERLAYS, ids=lambda file: str(file.relative_to(EXPERIMENTS)))
def test_an_overlay_lies_over_a_whole_file_and_writes_into_a_folder_of_its_own(file):
    base, last = experiment_files(file)
    assert last == file
    whole, content = yaml.safe_load(base.read_text(encoding="utf-8")), read_experiment(file)
    assert {"seed_everything", "model", "data", "trainer"} == content.keys() == whole.keys()
    versions = [one["trainer"]["logger"]["init_args"]["version"] for one in (whole, content)]
    assert versions[0] != versions[1]


def test_another_class_keeps_only_the_arguments_that_it_has():
    base = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 1.0, "amsgrad": True}}
    other = {"class_path": "torch.optim.SGD", "init_args": {"momentum": 0.5}}
    content = laid_over({"optimizer": base, "steps": [1]}, {"optimizer": other, "steps": [2]})
    assert content == {"optimizer": other | {"init_args": {"lr": 1.0, "momentum": 0.5}}, "steps": [2]}


def test_an_overlay_without_its_base_is_one_clear_line(tmp_path):
    (tmp_path / "a.yaml").write_text("# glassine fit -c runs/base.yaml -c runs/a.yaml\n")
    with pytest.raises(UserError, match=r"must be next to its base, as in 'glassine fit -c runs/base\.yaml"):
        experiment_files(tmp_path / "a.yaml")
    with pytest.raises(UserError, match="run this in the folder that contains `experiments`"):
        experiment_files(tmp_path / "none.yaml")


def test_datasets_are_changed_where_they_are_given_the_argument():
    content = {"data": {"train": {"init_args": {"folders": "a"}}, "val": {"init_args": {"root": "b"}}}}
    assert dataset_arguments(content, "root", "c") == ["--data.val.init_args.root", "c"]
    assert training_root(content) == "b"


@pytest.mark.parametrize("file", YAMLS, ids=lambda file: str(file.relative_to(EXPERIMENTS)))
def test_it_has_a_row_in_the_readme(file):
    assert f"`{file.relative_to(EXPERIMENTS)}`" in (EXPERIMENTS / "README.md").read_text(encoding="utf-8")
