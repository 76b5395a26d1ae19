import pytest
import torch

from glassine.bench.run import FitRun, shipped_digests
from glassine.utils.errors import UserError


def test_a_run_that_was_asked_for_otherwise_is_not_taken_for_this_one(tmp_path, monkeypatch):
    trained = []

    def train(files, overrides, checkpoint):
        trained.append(overrides)
        last = tmp_path / "run" / "checkpoints" / "last.ckpt"
        last.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"global_step": 2}, last)

    monkeypatch.setattr("glassine.bench.fit.fit", train)
    config = tmp_path / "tiny.yaml"
    config.write_text("rate: 1\n")
    on_cpu = FitRun(config, tmp_path / "run", 2, ("--trainer.accelerator", "cpu", "--seed", "1"))
    on_gpu = FitRun(config, tmp_path / "run", 2, ("--trainer.accelerator", "gpu", "--seed", "1"))
    on_cpu.finish()
    on_gpu.finish()
    assert len(trained) == 1
    with pytest.raises(UserError, match="got one of other settings: move it away"):
        FitRun(config, tmp_path / "run", 2, ("--seed", "2")).finish()
    config.write_text("rate: 2\n")
    with pytest.raises(UserError, match="got one of other settings: move it away"):
        on_cpu.finish()


def test_a_run_knows_the_shipped_weights_that_its_yaml_names(tmp_path, monkeypatch):
    monkeypatch.setenv("GLASSINE_WEIGHTS", str(tmp_path))  # looked into before the package
    (tmp_path / "tiny-x").mkdir()
    (tmp_path / "tiny-x" / "config.yaml").write_text("class_path: torch.nn.Identity")
    file = tmp_path / "tiny-x" / "model.safetensors"
    file.write_bytes(b"one")
    config = {"model": {"parts": [{"source": "glassine:tiny-x"}, 3, None]}, "data": "glassine:tiny-y"}
    first = shipped_digests(config)
    assert first.keys() == {"glassine:tiny-x", "glassine:tiny-y"}
    assert first["glassine:tiny-y"] == "missing"
    file.write_bytes(b"two")
    assert shipped_digests(config) != first


def test_a_failed_training_says_that_it_can_be_resumed(tmp_path, monkeypatch):
    def fail(files, overrides, checkpoint):
        raise UserError("no data")

    monkeypatch.setattr("glassine.bench.fit.fit", fail)
    (tmp_path / "tiny.yaml").write_text("rate: 1\n")
    with pytest.raises(UserError, match=r"no data .*the same command resumes"):
        FitRun(tmp_path / "tiny.yaml", tmp_path / "run", 2).finish()
