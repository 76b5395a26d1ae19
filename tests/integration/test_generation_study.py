"""The study behind the tables of text-to-sticker methods, with networks of a few thousand parameters."""

import shutil
from pathlib import Path

import pytest
import torch
import yaml
from tests.helpers.tiny_evaluator import save_evaluator
from tests.helpers.tiny_generator import SCHEDULE, UNET, VAE

from glassine.bench import study, video_methods
from glassine.bench.evaluate_video import VideoEvaluator
from glassine.bench.evaluators import Evaluators
from glassine.bench.protocols import CaptionedSet, VideoEvalSet
from glassine.bench.records import read_records
from glassine.bench.report import GENERATION_STEPS
from glassine.bench.run import Budget, Spec
from glassine.bench.specs import run_on, start_of, start_run
from glassine.data.shards import ShardFormat, build_shards
from glassine.data.sources.procedural import ProceduralStickers
from glassine.models.sampling import SamplerConfig
from glassine.models.vae import SmallVAE
from glassine.pretrained.weights import save_bundle

LETTERS = {"class_path": "tests.helpers.tiny_generator.LetterText"}


def experiment(folder: Path) -> dict:
    """A YAML of `StickerVideoTask` on clips."""
    generator = {
        "unet": {"class_path": "glassine.models.video_unet.VideoUNet", "init_args": UNET},
        "vae": {"class_path": "glassine.pretrained.weights.load_bundle", "init_args": {"source": str(folder / "vae")}},
        "text_encoder": LETTERS,
        "scheduler": {"class_path": "diffusers.DDPMScheduler", "init_args": SCHEDULE},
    }
    task = {
        "generator": {"class_path": "glassine.models.text_to_video.TextToVideo", "init_args": generator},
        "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.001}},
    }
    logger = {"save_dir": str(folder / "runs"), "name": "vsd2m", "version": "tiny_sti"}
    return {
        "model": {"class_path": "glassine.tasks.sticker_video.StickerVideoTask", "init_args": task},
        "data": {
            "train": {
                "class_path": "glassine.data.dataset.Stickers",
                "init_args": {"root": "shards", "size": [32, 32], "num_frames": 8},
            },
            "batch_size": 2,
        },
        "trainer": {
            "max_steps": 4,
            "logger": {"class_path": "lightning.pytorch.loggers.TensorBoardLogger", "init_args": logger},
            "callbacks": [{"class_path": "glassine.tasks.checkpoints.LastCheckpoint"}],
        },
    }


@pytest.fixture
def evaluators(tmp_path) -> Evaluators:
    return Evaluators(save_evaluator(tmp_path / "evaluator"), torch.device("cpu"))


@pytest.mark.full
def test_a_method_is_trained_scored_on_the_way_and_at_its_end_and_kept(tmp_path, monkeypatch, evaluators, capsys):
    build_shards(ProceduralStickers(size=32, num_frames=3, length=30), tmp_path / "shards", ShardFormat(), workers=1)
    save_bundle(SmallVAE(**VAE), {"class_path": "glassine.models.vae.SmallVAE", "init_args": VAE}, tmp_path / "vae")
    config = tmp_path / "tiny_sti.yaml"
    config.write_text(yaml.safe_dump(experiment(tmp_path)))
    for name in ("SHORT", "PAPER"):
        monkeypatch.setattr(video_methods, name, SamplerConfig(num_inference_steps=2, solver="dpm++"))
    evaluator = VideoEvaluator(VideoEvalSet({"stickers": CaptionedSet("procedural", count=4, size=32)}), evaluators)
    budget = Budget(4, "cpu", data=str(tmp_path / "shards"), marks=2)
    method = Spec("sti", "STI", (config,))
    runs = [start_run(start_of(method, "step 0"), "stickers", budget)]
    runs += [run_on(method, "stickers", seed, budget) for seed in (0, 1)]

    readme = tmp_path / "README.md"
    readme.write_text("<!-- table:generation -->\n<!-- /table -->\n")
    records = study.generation(runs, evaluator, tmp_path, readme=readme, references=("true", "train"))
    assert {(record.method, record.seed, record.costs.get("steps")) for record in records} == {
        ("sti", 0, 4), ("sti", 1, 4), ("sti_start", 0, 0), ("true", None, None), ("train", None, None)
    }  # fmt: skip
    first = next(record for record in records if record.method == "sti")
    assert first.costs["seconds_per_clip"] > 0
    assert first.digest != next(record for record in records if record.method == "sti_start").digest
    (early,) = read_records(tmp_path / GENERATION_STEPS)
    assert (early.seed, early.costs["steps"]) == (0, 2)
    page = (tmp_path / "generation.md").read_text()
    assert "| STI (2 seeds) |" in page
    assert "| STI (2 seeds) |" in readme.read_text()
    assert [line.split(" |")[0] for line in page.split("## Table 4")[1].splitlines() if line.startswith("| ")][2:6] == [
        "| STI (2 seeds)", "| step 0", "| training clips", "| true clips (distances: one half from the other)"
    ]  # fmt: skip
    assert "4 clips of 4 groups, 1 seed a caption" in page
    assert (tmp_path / "generation.png").stat().st_size > 1000
    capsys.readouterr()

    # as in a fresh clone: the records are there, the runs are not
    shutil.rmtree(tmp_path / "runs")
    assert study.generation(runs, evaluator, tmp_path) == records
    assert "steps done" not in capsys.readouterr().out
    # what was trained otherwise is trained again
    other = experiment(tmp_path)
    other["model"]["init_args"]["optimizer"]["init_args"]["lr"] = 0.01
    config.write_text(yaml.safe_dump(other))
    (again,) = [record for record in study.generation(runs[2:], evaluator, tmp_path) if record.seed == 1]
    assert "0 of 4 steps done" in capsys.readouterr().out
    assert again.digest != next(record for record in records if record.seed == 1).digest
