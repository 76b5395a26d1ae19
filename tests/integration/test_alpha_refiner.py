"""From rendered stickers to a trained alpha refiner, through the commands."""

import re
from pathlib import Path

import pytest
import yaml

from glassine.__main__ import main
from glassine.data.cut_cache import CachedCuts
from glassine.pretrained.weights import load_bundle

STEPS = 3


def cache(folder: Path, *arguments: str) -> int:
    return main(["data", "cache-cuts", "--count", "6", "--size", "64", "--to", str(folder), *arguments])


def test_a_cache_of_rendered_stickers_trains_a_network_that_can_be_exported(tmp_path: Path, capsys):
    assert cache(tmp_path / "train") == 0
    assert cache(tmp_path / "val", "--split", "val") == 0
    assert "6 pictures, 1 new files" in " ".join(capsys.readouterr().out.split())
    first, second = (CachedCuts(str(tmp_path / name)) for name in ("train", "val"))
    assert {one["key"] for one in first}.isdisjoint(one["key"] for one in second)
    for sample in first:
        assert sample["picture"].shape == (3, 64, 64)
        assert 0 < sample["alpha"].mean() < 1

    config = yaml.safe_load(Path("experiments/cutout/refiner.yaml").read_text(encoding="utf-8"))
    network = config["model"]["init_args"]["network"]
    network["init_args"] = {"block_out_channels": [8, 8, 8], "layers_per_block": 1}
    config["data"]["train"]["init_args"]["folders"] = [str(tmp_path / "train")]
    config["data"]["val"]["init_args"]["folders"] = [str(tmp_path / "val")]
    config["data"]["batch_size"] = 2
    config["trainer"] |= {"max_steps": STEPS, "val_check_interval": STEPS, "accelerator": "cpu"}
    config["trainer"]["logger"]["init_args"]["save_dir"] = str(tmp_path / "runs")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    assert main(["fit", "-c", str(tmp_path / "config.yaml")]) == 0
    checkpoint = tmp_path / "runs" / "cutout" / "refiner" / "checkpoints" / "last.ckpt"
    assert main(["export", "weights", str(checkpoint), "--part", "network", "--to", str(tmp_path / "mine")]) == 0
    assert type(load_bundle(str(tmp_path / "mine"))).__name__ == "AlphaRefiner"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--count", "0"], "--count must be at least 1"),
        (["--procedural", "1"], r"--procedural in \[0, 1\)"),
        (["--size", "8"], "--size at least 16"),
    ],
)
def test_numbers_out_of_range_are_named(arguments, said, tmp_path: Path, capsys):
    assert cache(tmp_path / "cuts", *arguments) == 2

    assert re.search(said, capsys.readouterr().err)
    assert not (tmp_path / "cuts").exists()
