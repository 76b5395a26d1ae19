"""The evaluator that names stickers is trained, stopped, resumed, exported and asked, as the shipped YAML has it."""

from pathlib import Path

import pytest
import torch
import yaml
from tests.unit.data.test_thumbnails import write

from glassine.__main__ import main
from glassine.bench.prompts import names_network


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    """The shipped YAML, made small; it starts from random weights, as the extra `train` may be missing."""
    folder = tmp_path_factory.mktemp("names")
    content = yaml.safe_load(Path("experiments/evaluators/names.yaml").read_text(encoding="utf-8"))
    arguments = content["model"]["init_args"]
    arguments["start"] = None
    arguments["network"]["init_args"]["encoder"]["init_args"] |= {"name": "test_resnet", "size": 32, "kept_stages": 0}
    arguments["network"]["init_args"]["classes"] = 8
    arguments["lr_scheduler"]["init_args"]["total_steps"] = 4
    places = {"root": write(folder / "shards"), "folder": str(folder / "thumbnails"), "size": 16}
    content["data"] |= {"batch_size": 8}
    content["data"]["train"]["init_args"] |= {**places, "held_out": "in turn"}
    content["trainer"] |= {"max_steps": 4, "val_check_interval": 4, "accelerator": "cpu"}
    content["trainer"]["logger"]["init_args"]["save_dir"] = str(folder / "runs")
    (folder / "small.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder / "small.yaml"


def checkpoint(config: Path, version: str) -> Path:
    return config.parent / "runs/evaluators" / version / "checkpoints/last.ckpt"


def test_train_stop_resume_export_and_ask(config):
    version = "--trainer.logger.init_args.version"
    assert main(["fit", "-c", str(config), version, "through"]) == 0
    assert main(["fit", "-c", str(config), version, "stopped", "--trainer.max_steps", "2"]) == 0
    stopped = str(checkpoint(config, "stopped"))
    assert main(["fit", "-c", str(config), version, "resumed", "--ckpt_path", stopped]) == 0
    through, resumed = (
        torch.load(checkpoint(config, name), weights_only=True)["state_dict"] for name in ("through", "resumed")
    )
    torch.testing.assert_close(resumed, through, rtol=0, atol=0)

    folder = config.parent / "mine"
    path = str(checkpoint(config, "through"))
    assert main(["export", "weights", path, "--part", "network", "--to", str(folder)]) == 0
    network = names_network(str(folder))
    assert network.names == [f"g{group}" for group in range(6)]  # averaged weights keep them
    assert network(torch.rand(2, 3, 20, 20)).shape == (2, 6)
    assert names_network(str(config.parent / "runs/evaluators/through")).names == network.names


def test_a_run_is_not_resumed_on_other_stickers(config, tmp_path, capsys):
    root = write(tmp_path / "more", groups=7)
    version = ["--trainer.logger.init_args.version", "more", "--data.train.init_args.root", root]
    place = ["--data.train.init_args.folder", str(tmp_path / "thumbnails")]
    path = str(checkpoint(config, "through"))
    assert main(["fit", "-c", str(config), *version, *place, "--ckpt_path", path, "--trainer.max_steps", "6"]) == 2
    assert "the groups must be those the run started with" in capsys.readouterr().err
