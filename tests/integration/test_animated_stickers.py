"""Animated Stickers from the image network to a sticker in few steps: each training starts from the one before it."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from tests.helpers.tiny_generator import save_tiny_generator
from tests.helpers.tiny_image_to_video import WHOLE, described, save_tiny_image_to_video

from glassine.__main__ import main
from glassine.data.codecs import read_sticker

NAMED = {"class_path": "glassine.nn.sti.STI"}


def fit(folder: Path, name: str, model: str, generator: dict[str, Any], transparent: bool = True, **more: Any) -> Path:
    """Train two steps; the checkpoint."""
    logger = {"save_dir": str(folder / "runs"), "name": "animated", "version": name}
    stickers = {"root": None, "procedural": 4, "size": [32, 32], "num_frames": 4}
    data = {"class_path": "glassine.data.dataset.Stickers", "init_args": stickers}
    content = {
        "seed_everything": 0,
        "model": {
            "class_path": f"glassine.tasks.{model}",
            "init_args": {
                "generator": generator,
                "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.01}},
                "transparent": transparent,
                **more,
            },
        },
        "data": {
            "train": data,
            "val": {**data, "init_args": {**stickers, "procedural": 2, "split": "val"}},
            "batch_size": 2,
            "eval_batch_size": 2,
        },
        "trainer": {
            "max_steps": 2,
            "accelerator": "cpu",
            "limit_val_batches": 1,
            "num_sanity_val_steps": 0,
            "val_check_interval": 2,
            "check_val_every_n_epoch": None,
            "logger": {"class_path": "lightning.pytorch.loggers.TensorBoardLogger", "init_args": logger},
            "callbacks": [
                {"class_path": "glassine.tasks.checkpoints.LastCheckpoint"},
                {"class_path": "glassine.tasks.base.Previews", "init_args": {"stickers": 2}},
            ],
            "enable_progress_bar": False,
        },
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content))
    assert main(["fit", "-c", str(path)]) == 0
    return folder / "runs" / "animated" / name / "checkpoints" / "last.ckpt"


@pytest.fixture(scope="module")
def still(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("still") / "still.png"
    picture = Image.new("RGBA", (40, 30))
    picture.paste((200, 30, 30, 255), (10, 10, 30, 25))
    picture.save(path)
    return path


@pytest.mark.full  # 16 s
def test_teachers_of_two_stages_make_clips_that_are_kept_when_it_goes_on(tmp_path, capsys):
    image = save_tiny_generator(tmp_path / "image")
    task = "image_to_video.ImageToVideoTask"
    base = fit(tmp_path, "base", task, described(), False, spatial_from=image, reference="random")
    first = fit(tmp_path, "first", task, described(), init_from=str(base), reference="first")
    sti = fit(tmp_path, "sti", task, described(WHOLE | {"temporal": NAMED, "loops": True}), spatial_from=str(base))
    clips = tmp_path / "clips"
    call = ["teach", "--procedural", "2", "--to", str(clips), "--frames", "4", "--size", "32", "--steps", "2"]
    call += ["--device", "cpu", "--teacher", f"first={first}", "--teacher", f"sti={sti}"]
    assert main([*call, "--seeds", "0"]) == 0
    manifest = json.loads((clips / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["format"], manifest["frames"], manifest["size"]) == (1, 4, [32, 32])
    assert len(manifest["clips"]) == 4
    assert manifest["teachers"]["first"]["recipe"]["model"]["init_args"]["reference"] == "first"
    assert len({one["weights"] for one in manifest["teachers"].values()}) == 2
    for clip in manifest["clips"]:
        assert (clips / clip["still"]).is_file()
        assert read_sticker(clips / clip["file"]).frames.shape == (4, 32, 32, 4)
        assert clip["split"] == "train"

    # interrupted: one clip is gone, one is damaged; only these and the new seed's are made
    kept, gone, damaged, _ = (clips / clip["file"] for clip in manifest["clips"])
    before = kept.stat().st_mtime_ns
    gone.unlink()
    damaged.write_bytes(b"nothing")
    capsys.readouterr()
    assert main([*call, "--seeds", "0", "1"]) == 0
    assert "8 clips of 2 stills by 2 teachers, 6 of them new" in capsys.readouterr().err
    assert kept.stat().st_mtime_ns == before
    assert read_sticker(damaged).frames.shape == (4, 32, 32, 4)


def test_a_sticker_in_two_steps_comes_out_of_both_distillations(tmp_path, still):
    teacher, distil = save_tiny_image_to_video(tmp_path / "teacher"), "distillation.DistillationTask"
    guided = {"guidance_scale": 3.0, "image_guidance_scale": 1.5}
    guidance = fit(tmp_path, "guidance", distil, described(distilled=guided), teacher=teacher)
    few = {"num_inference_steps": 2, "teacher_steps": 4, **guided}
    student = fit(tmp_path, "few", distil, described(distilled=few), teacher=str(guidance), substeps=2)
    weights = tmp_path / "weights"
    assert main(["export", "weights", str(student), "--part", "generator", "--to", str(weights)]) == 0
    out = tmp_path / "out.webp"
    call = ["animate", str(still), "waves", str(out), "--weights", str(weights), "--size", "32", "--device", "cpu"]
    assert main([*call, "--method", "animated-stickers", "--frames", "4", "--rate", "8", "--reference", "first"]) == 0
    assert read_sticker(out).frames.shape == (4, 30, 40, 4)
    assert (read_sticker(out).frames[..., 3] == 0).any()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--steps", "9"], "num_inference_steps must be at most 8"),
        (["--guidance", "7"], "guidance_scale must be 3 or left out"),
        (["--method", "layer-animate"], "must be of the method layer-animate"),
        (["--reference", "last"], "--reference must be first, middle or a number"),
        (["--rate", "0"], "rate must be in"),
    ],
)
def test_animate_refuses_what_a_distilled_network_cannot_take(tmp_path, still, capsys, more, says):
    weights = save_tiny_image_to_video(tmp_path / "w", num_inference_steps=2, teacher_steps=8, guidance_scale=3.0)
    call = ["animate", str(still), "waves", str(tmp_path / "out.webp"), "--weights", weights, "--size", "32"]
    assert main([*call, "--device", "cpu", *more]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out.webp").exists()


def test_teach_refuses_teachers_without_a_recipe_and_folders_of_others(tmp_path, still, capsys):
    weights = save_tiny_image_to_video(tmp_path / "w")
    prompts = [{"id": "a", "caption": "waves", "still": str(still), "group": "g"}]
    (tmp_path / "prompts.json").write_text(json.dumps(prompts))
    call = ["teach", str(tmp_path / "prompts.json"), "--to", str(tmp_path / "clips"), "--teacher", f"one={weights}"]
    call += ["--frames", "4", "--size", "32", "--steps", "1", "--device", "cpu"]
    assert main(call) == 2
    assert "teacher one must come with its recipe" in capsys.readouterr().err
    (tmp_path / "w" / "recipe.yaml").write_text("seed_everything: 1\n")
    assert main(call) == 0
    clip = tmp_path / "clips" / "clips" / "a-one-0.webp"
    before = clip.read_bytes()
    assert main([*call, "--fps", "12"]) == 2
    assert "has clips of fps 8.0, got 12.0" in capsys.readouterr().err
    (tmp_path / "w" / "recipe.yaml").write_text("seed_everything: 2\n")
    assert main(call) == 2
    assert "has clips by another teacher one" in capsys.readouterr().err
    assert main([*call[:4], "--teacher", "bad"]) == 2
    assert main(["teach", "--to", str(tmp_path / "clips"), "--teacher", "a=b"]) == 2
    (tmp_path / "prompts.json").write_text("{]")
    assert main(call) == 2
    assert "must be a JSON list of prompts" in capsys.readouterr().err
    assert clip.read_bytes() == before
