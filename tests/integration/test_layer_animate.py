"""Layer-Animate from its first stage to a sticker: each training starts from the one before it."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from tests.helpers.tiny_generator import SCHEDULE
from tests.helpers.tiny_transparent import CODEC, IMAGE, MOTION, plain

from glassine.__main__ import main
from glassine.data.codecs import read_sticker
from glassine.data.shards import ShardFormat, build_shards
from glassine.data.sources.procedural import ProceduralStickers
from glassine.pretrained.run_parts import load_part, read_run_config

FRAME = plain(IMAGE) | {"attention_head_dim": 8}
ANIMATED = plain(MOTION) | {"motion_buckets": 10, "motion_max_seq_length": 16, "num_attention_heads": [2, 4]}
ANIMATED["use_linear_projection"] = True  # as FrameUNet has it


def described(name: str, **arguments: Any) -> dict[str, Any]:
    return {"class_path": f"glassine.{name}", "init_args": arguments}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("layers")
    build_shards(ProceduralStickers(size=32, num_frames=20, length=24), folder / "shards", ShardFormat(), workers=1)
    return folder


def fit(folder: Path, name: str, task: str, unet: dict[str, Any], frames: int, **more: Any) -> Path:
    """Train three steps; the checkpoint."""
    generator = described(
        "models.transparent_video.TransparentVideo",
        unet=unet,
        codec=described("models.transparency.TransparencyVAE", **CODEC),
        text_encoder={"class_path": "tests.helpers.tiny_generator.LetterText"},
        scheduler={"class_path": "diffusers.DDPMScheduler", "init_args": SCHEDULE},
    )
    optimizer = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.01}}
    logger = {"save_dir": str(folder / "runs"), "name": "layers", "version": name}
    content = {
        "seed_everything": 0,
        "model": described(f"tasks.{task}", generator=generator, optimizer=optimizer, **more),
        "data": {
            "train": {
                "class_path": "glassine.data.dataset.Stickers",
                "init_args": {"root": str(folder / "shards"), "size": [32, 32], "num_frames": frames, "limit": 8},
            },
            "batch_size": 2,
        },
        "trainer": {
            "max_steps": 3,
            "accelerator": "cpu",
            "limit_val_batches": 1,
            "logger": {"class_path": "lightning.pytorch.loggers.TensorBoardLogger", "init_args": logger},
            "callbacks": [{"class_path": "glassine.tasks.checkpoints.LastCheckpoint"}],
            "enable_progress_bar": False,
        },
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content))
    assert main(["fit", "-c", str(path)]) == 0
    return folder / "runs" / "layers" / name / "checkpoints" / "last.ckpt"


def trained(checkpoint: Path) -> dict[str, torch.Tensor]:
    """The weights of its UNet."""
    return load_part(checkpoint, "generator", read_run_config(checkpoint))[0].unet.state_dict()


def test_a_sticker_comes_out_of_four_trainings_that_stand_on_each_other(folder, tmp_path):
    pictures = fit(
        folder,
        "pictures",
        "transparent_image.TransparentImageTask",
        described("models.image_unet.FrameUNet", **FRAME),
        1,
    )
    bare = described("models.motion_unet.MotionUNet", **ANIMATED)
    around = described("pretrained.image_unet.with_image_unet", source=str(pictures), unet=bare)
    video = "transparent_video.TransparentVideoTask"
    learning = {"train_parts": ["motion_modules"], "transparent": False, "drop_image": 1.0}
    motion = fit(folder, "motion", video, around, 16, **learning)
    whole = described("pretrained.motion_adapter.with_motion_adapter", source=str(motion), unet=around)
    parts = ["inter_frame_attention", "motion_amount"]
    attention = fit(folder, "attention", video, whole, 16, train_parts=parts)
    last = fit(folder, "last", video, bare, 8, train_parts=parts, init_from=str(attention))

    image, moves, looks, end = (trained(checkpoint) for checkpoint in (pictures, motion, attention, last))
    frozen = [name for name in image if name in end]
    assert len(frozen) > 0.9 * len(image)
    assert all(torch.equal(image[name], end[name]) for name in frozen)
    assert all(torch.equal(moves[name], end[name]) for name in moves if ".motion_modules." in name)
    assert any(not torch.equal(looks[name], end[name]) for name in looks if ".processor." in name)

    assert main(["export", "weights", str(last), "--part", "generator", "--to", str(tmp_path / "mine")]) == 0
    still = Image.new("RGBA", (40, 30))
    still.paste((200, 30, 30, 255), (10, 10, 30, 25))
    still.save(tmp_path / "still.png")
    call = ["animate", str(tmp_path / "still.png"), "waves", str(tmp_path / "out.webp"), "--weights"]
    how = [str(tmp_path / "mine"), "--size", "32", "--frames", "16", "--steps", "2", "--motion", "9", "--device", "cpu"]
    assert main([*call, *how]) == 0
    assert read_sticker(tmp_path / "out.webp").frames.shape == (16, 30, 40, 4)
