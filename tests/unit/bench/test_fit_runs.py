import pytest
import torch

from glassine.bench.fit_runs import FitRun, shipped_digests
from glassine.utils.errors import UserError


def test_a_run_that_was_asked_for_otherwise_is_not_taken_for_this_one(tmp_path, monkeypatch):
    trained = []

    def train(arguments):
        trained.append(arguments)
        checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"global_step": 2}, checkpoint)
        return 0

    monkeypatch.setattr("glassine.__main__.main", train)
    config = tmp_path / "tiny.yaml"
    config.write_text("rate: 1\n")
    on_cpu = FitRun(config, tmp_path / "run", 2, ("--trainer.accelerator", "cpu", "--seed", "1"))
    on_gpu = FitRun(config, tmp_path / "run", 2, ("--trainer.accelerator", "gpu", "--seed", "1"))
    on_cpu.finish()
    on_gpu.finish()
    assert len(trained) == 1
    with pytest.raises(UserError, match="move it out of the way"):
        FitRun(config, tmp_path / "run", 2, ("--seed", "2")).finish()
    config.write_text("rate: 2\n")
    with pytest.raises(UserError, match="move it out of the way"):
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
