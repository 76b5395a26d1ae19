"""Weights, checkpoints and YAMLs that somebody sent: what they may make each verb do."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from glassine.__main__ import main
from glassine.bench.fit import take_allowed
from glassine.data.codecs import write_sticker
from glassine.data.sticker import Sticker
from glassine.pretrained.weights import save_bundle

YAML = Path(__file__).parents[1] / "helpers" / "ildiff_small.yaml"


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What an attack makes when it succeeds; the working folder holds an input and a poisoned folder of weights."""
    monkeypatch.chdir(tmp_path)
    write_sticker(Sticker(np.full((1, 32, 32, 4), 100, np.uint8), (100,)), tmp_path / "in.webp")
    evil = linear(tmp_path / "sprung")
    save_bundle(nn.Linear(2, 2), evil, tmp_path / "weights")
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    torch.save({"state_dict": {"part.weight": torch.zeros(2, 2)}}, tmp_path / "run" / "checkpoints" / "last.ckpt")
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump({"model": {"init_args": {"part": evil}}}))
    return tmp_path / "sprung"


def linear(marker: Path) -> dict:
    """A layer whose untyped argument runs a command."""
    code = f"open({str(marker)!r}, 'w')"
    device = {"class_path": "subprocess.run", "init_args": {"args": [sys.executable, "-c", code]}}
    return {"class_path": "torch.nn.Linear", "init_args": {"in_features": 2, "out_features": 2, "device": device}}


@pytest.mark.parametrize(
    "command",
    [
        "cutout in.webp out.webp --weights weights",
        "generate cat out.webp --weights weights",
        "generate cat out.webp --transparent --transparency latents --weights weights",
        "animate in.webp waves out.webp --weights weights",
        "export onnx weights --to out.onnx",
        "export weights run/checkpoints/last.ckpt --part part --to out",
    ],
)
def test_a_poisoned_folder_runs_nothing_in_any_verb(marker, capsys, command):
    assert main(command.split()) == 2
    said = capsys.readouterr().err
    assert said.startswith("glassine: ")
    assert "names 'torch.nn.Linear', which is not on the allow-list" in said or "subprocess.run" in said
    assert not marker.exists()
    assert not list(Path.cwd().glob("out*"))


def poisoned(marker: Path, where: str) -> list[str]:
    """The arguments of a run that has the attack in its YAML or in the overrides of that."""
    content = yaml.safe_load(YAML.read_text())
    evil = linear(marker)
    overrides = ["--model.init_args.ildiff.init_args.vae", str(evil)] if where == "override" else []
    if where == "part":
        content["model"]["init_args"]["ildiff"]["init_args"]["vae"] = evil
    elif where == "callback":
        content["trainer"]["callbacks"].append(evil["init_args"]["device"])
    elif where == "optimizer":
        content["model"]["init_args"]["optimizer"]["init_args"]["foreach"] = evil["init_args"]["device"]
    elif where == "within torch":
        content["model"]["init_args"]["ildiff"]["init_args"]["vae"] = {
            "class_path": "torch.load",
            "init_args": {"f": "evil.pt", "weights_only": False},
        }
    Path("run.yaml").write_text(yaml.safe_dump(content))
    return ["fit", "-c", "run.yaml", "--trainer.logger.init_args.save_dir", "logs", *overrides]


@pytest.mark.parametrize("where", ["part", "callback", "optimizer", "within torch"])
def test_a_run_names_nothing_outside_of_what_it_may(marker, capsys, where):
    assert main(poisoned(marker, where)) == 2
    said = capsys.readouterr().err
    assert "must be in torch, lightning, glassine" in said
    assert "--allow MODULE" in said
    assert not marker.exists()


def test_nor_does_an_override_of_it(marker, capsys):
    assert main(poisoned(marker, "override")) == 2
    assert "Importing 'subprocess.run' is not allowed" in capsys.readouterr().err
    assert not marker.exists()
    assert main([*poisoned(marker, "none"), "--trainer.callbacks+", "subprocess.Popen"]) == 2
    assert "--allow MODULE" in capsys.readouterr().err


def test_settings_in_a_checkpoint_build_nothing(marker):
    code = f"open({str(marker)!r}, 'w')"
    content = {"_class_path": "subprocess.run", "args": [sys.executable, "-c", code]}
    torch.save({"state_dict": {}, "hyper_parameters": content}, "evil.ckpt")
    more = ["--trainer.logger.init_args.save_dir", "logs", "--ckpt_path", "evil.ckpt"]
    with pytest.raises(KeyError):  # of Lightning's: it is no checkpoint of a run
        main(["fit", "-c", str(YAML), *more])
    assert not marker.exists()


@pytest.mark.parametrize("content", [b"\xff\xfea\x00", b"a: &a [*a]", b"[" * 5000, b"a: !!python/name:os.system"])
def test_a_run_whose_yaml_is_built_to_hurt_is_one_line(marker, capsys, content):
    Path("odd.yaml").write_bytes(content)
    assert main(["fit", "-c", "odd.yaml"]) == 2
    said = capsys.readouterr().err
    assert "odd.yaml" in said
    assert said.count("\n") == 1


def test_allow_is_for_the_command_line_and_says_what_it_needs(monkeypatch, capsys):
    monkeypatch.setenv("GLASSINE_ALLOW", "")
    assert take_allowed(["fit", "--allow", "mylib,other.nets", "-c", "a.yaml", "--allow=third"]) == [
        "fit",
        "-c",
        "a.yaml",
    ]
    assert os.environ["GLASSINE_ALLOW"] == "mylib,other.nets,third"
    assert main(["fit", "-c", str(YAML), "--allow"]) == 2
    assert "--allow must be the name of a module" in capsys.readouterr().err
    assert main(["fit", "--help"]) == 0
    assert "A YAML is a program" in capsys.readouterr().out
