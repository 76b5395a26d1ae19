import json

import pytest
import torch
from tests.helpers.tiny_video_unet import SIZE, TEXT_WIDTH

from glassine.__main__ import main
from glassine.bench.gpu import Size, measure_speed
from glassine.models.vae import SmallVAE


@pytest.mark.full
def test_every_number_of_the_record_is_measured(tmp_path):
    size = Size(SIZE, (4, 3, 8, 8), (5, TEXT_WIDTH), 1, lambda: SmallVAE(width=8, decoder_width=8, blocks=1))
    record = measure_speed(tmp_path, torch.device("cpu"), size, compiled=False)
    assert record == json.loads((tmp_path / "results" / "gpu_generation.json").read_text())
    assert record["sampling"].keys() == {"diffusers UNet3D", "STI"}
    assert all(taken > 0 for times in record["sampling"].values() for taken in times.values())
    assert 0 < sum(entry["share"] for entry in record["profile"]) <= 1.001
    assert len(record["training"]) == 4
    page = (tmp_path / "gpu.md").read_text()
    assert "3 x 64 x 64" in page
    assert "temporal layers, gradient checkpointing" in page


def test_without_a_gpu_it_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["benchmark", "speed", "--to", str(tmp_path)]) == 2
    assert "a CUDA GPU is required" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())
