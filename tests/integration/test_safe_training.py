"""What a run loses when it goes wrong: nothing that it had written."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from glassine.__main__ import main
from glassine.data.codecs import write_sticker
from glassine.data.sticker import Sticker
from glassine.pretrained.weights import ASSETS
from glassine.tasks.ildiff import ILDiffTask

YAML = str(Path(__file__).parents[1] / "helpers" / "ildiff_small.yaml")


def fit(folder: Path, *more: str) -> int:
    return main(["fit", "-c", YAML, "--trainer.logger.init_args.save_dir", str(folder), *more])


def test_a_run_that_diverges_stops_and_keeps_its_last_good_checkpoint(tmp_path, capsys):
    assert fit(tmp_path, "--trainer.max_steps", "3") == 0
    last = tmp_path / "ildiff" / "small" / "checkpoints" / "last.ckpt"
    before = last.read_bytes()
    capsys.readouterr()
    diverge = ["--model.init_args.optimizer.init_args.lr", "1e30", "--model.init_args.lr_scheduler", "null"]
    assert fit(tmp_path, "--trainer.max_steps", "9", *diverge) == 2
    said = capsys.readouterr().err
    assert "must be finite, got" in said
    assert "step" in said
    assert f"the last good checkpoint is {last}" in said
    assert last.read_bytes() == before


def test_a_validation_that_a_kill_prevented_is_done_when_the_run_goes_on(tmp_path, monkeypatch):
    every = ["--trainer.max_steps", "6", "--trainer.callbacks.every_n_train_steps", "2"]
    more = ["--trainer.callbacks+", "glassine.tasks.checkpoints.LastCheckpoint", *every[2:]]
    through = [*every[:2], *more]
    assert fit(tmp_path / "through", *through) == 0

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ILDiffTask, "on_validation_start", stop)
        assert fit(tmp_path / "stopped", *through) == 130
    last = tmp_path / "stopped" / "ildiff" / "small" / "checkpoints" / "last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == 2
    assert fit(tmp_path / "stopped", *through, "--ckpt_path", str(last)) == 0
    steps = []
    for name in ("through", "stopped"):
        events = EventAccumulator(str(tmp_path / name / "ildiff" / "small"))
        events.Reload()
        steps.append([event.step for event in events.Scalars("val/dtssd")])
    assert steps[0] == steps[1]
    ends = [tmp_path / name / "ildiff" / "small" / "checkpoints" / "last.ckpt" for name in ("through", "stopped")]
    states = [torch.load(end, weights_only=True)["state_dict"] for end in ends]
    torch.testing.assert_close(*states, rtol=0, atol=0)


@pytest.fixture
def poisoned(tmp_path: Path) -> Path:
    """A shipped network, one of whose weights is no number."""
    folder = shutil.copytree(ASSETS / "tiny-ildiff", tmp_path / "poisoned")
    state = load_file(folder / "model.safetensors")
    name = next(name for name in state if name.startswith("decoder.") and name.endswith("weight"))
    state[name].fill_(float("nan"))
    save_file(state, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("verb", ["cutout", "export"])
def test_weights_that_are_no_numbers_are_not_used(tmp_path, monkeypatch, capsys, poisoned, verb):
    monkeypatch.chdir(tmp_path)
    write_sticker(Sticker(np.full((1, 32, 32, 4), 255, np.uint8), (100,)), Path("in.webp"))
    command = {
        "cutout": ["cutout", "in.webp", "out.webp", "--weights", "poisoned"],
        "export": ["export", "onnx", "poisoned", "--to", "out.onnx"],
    }[verb]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "poisoned holds weights that must be finite, got nan in decoder." in said
    assert not list(tmp_path.glob("out.*"))


def test_nor_exported_from_a_checkpoint(tmp_path, capsys):
    assert fit(tmp_path, "--trainer.max_steps", "3") == 0
    last = tmp_path / "ildiff" / "small" / "checkpoints" / "last.ckpt"
    content = torch.load(last, weights_only=True)
    content["state_dict"]["ildiff.decoder.conv_out.weight"].fill_(float("inf"))
    torch.save(content, last)
    assert main(["export", "weights", str(last), "--part", "ildiff", "--to", str(tmp_path / "out")]) == 2
    assert "got inf in decoder.conv_out.weight" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
