"""Every full-size experiment is built, and runs with the same YAML and every width shrunk by an overlay.

At full size the networks are on the meta device, without files. Shrunk, `glassine fit` loads them from files of the
official layouts, which the test writes in the places that the YAML names, and trains a step.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from tests.helpers import official_files as official
from tests.helpers.small_shards import moving_square

from glassine.__main__ import main
from glassine.bench.full_size import build_full_size
from glassine.bench.memory import GIB, estimate
from glassine.data.codecs import read_sticker
from glassine.data.shards import ShardFormat, ShardWriter
from glassine.data.shards.writer import encode_sticker
from glassine.data.sticker import Sticker
from glassine.pretrained import sam as sam_files
from glassine.utils.experiments import config_arguments

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
SD15, SD21 = ([f"{hub}/{part}" for part in ("unet", "vae", "text_encoder", "tokenizer")] for hub in
              (official.SD15, official.SD21))  # fmt: skip
LAYER_DIFFUSE = [f"weights/layer_sd15_{part}.safetensors" for part in ("transparent_attn", "vae_transparent_encoder",
                                                                     "vae_transparent_decoder")]  # fmt: skip
ANIMATED = [*SD15, *LAYER_DIFFUSE, official.ADAPTER]
LAYOUT_RUN, VQVAE_RUN = (f"lightning_logs/{run}/checkpoints/last.ckpt" for run in ("distill/paper",
                                                                                  "video_gpt/paper_vqvae"))  # fmt: skip
FIRST_HALF = "lightning_logs/layer_animate/paper_still_moving_motion/checkpoints/last.ckpt"
# millions of parameters, of them trained; what is read
FULL_SIZE: dict[str, tuple[float, float, list[str]]] = {
    "ildiff/paper": (202.2, 113.0, [SD15[1], LAYER_DIFFUSE[2], LAYOUT_RUN]),
    "transparency/paper": (191.7, 108.1, [SD15[1]]),
    "matting_anything/paper": (96.5, 2.7, ["weights/sam_vit_b_01ec64.pth"]),
    "distill/paper": (672.1, 31.0, ["weights/sam_vit_h_4b8939.pth"]),
    "video_gpt/paper_vqvae": (21.1, 21.1, []),
    "video_gpt/paper_prior": (102.8, 81.6, [VQVAE_RUN]),
    "vsd2m/paper": (1856.9, 567.0, SD21),
    "vsd2m/paper_video_ldm": (1835.3, 545.3, SD21),
    "vsd2m/paper_video_factory": (1847.7, 557.7, SD21),
    "vsd2m/paper_make_a_video": (1835.3, 545.3, SD21),
    "vsd2m/paper_i2vgen": (1844.5, 554.5, SD21),
    "animated_stickers/paper": (1942.6, 1413.3, [SD21[0], SD15[1], *SD21[2:], *LAYER_DIFFUSE[1:]]),
    "animated_stickers/paper_flan_t5": (3172.5, 1419.6, [SD21[0], SD15[1], *SD21[2:], official.T5, *LAYER_DIFFUSE[1:]]),
    "layer_animate/paper": (1724.0, 24.8, ANIMATED),
    "layer_animate/paper_images": (1222.5, 51.0, [*SD15, *LAYER_DIFFUSE[1:]]),
    "layer_animate/paper_motion_module": (1699.2, 453.2, ANIMATED),
    "layer_animate/paper_still_moving_motion": (1707.2, 4.8, ANIMATED),
    "layer_animate/paper_still_moving": (1707.2, 3.2, [*ANIMATED, FIRST_HALF]),
    "layer_animate/paper_without_attention": (1699.2, 453.2, ANIMATED),
}
SAME_NETWORKS = {"vsd2m/paper_real": "vsd2m/paper", "vsd2m/paper_joint": "vsd2m/paper"}
EVERYDAY = ("ildiff/paper", "transparency/paper", "vsd2m/paper", "layer_animate/paper")


def everyday_first(names: Any) -> list[Any]:
    """Those of the everyday suite; the others are marked `full`."""
    return [name if name in EVERYDAY else pytest.param(name, marks=pytest.mark.full) for name in names]


def test_no_experiment_of_full_size_is_left_out():
    found = {str(file.relative_to(EXPERIMENTS).with_suffix("")) for file in EXPERIMENTS.rglob("paper*.yaml")}
    assert found == FULL_SIZE.keys() | SAME_NETWORKS.keys()


@pytest.mark.parametrize("name", everyday_first(FULL_SIZE))
def test_it_is_built_at_full_size_and_names_its_files(name):
    built = build_full_size(EXPERIMENTS / f"{name}.yaml")
    parameters, trained, files = FULL_SIZE[name]
    assert all(parameter.is_meta for parameter in built.task.parameters())
    assert (round(built.parameters / 1e6, 1), round(built.trained / 1e6, 1)) == (parameters, trained)
    assert sorted(built.files) == sorted(files)


def unet_in(depth: int, arguments: dict[str, Any]) -> dict[str, Any]:
    """The UNet's arguments below so many loaders."""
    for _ in range(depth):
        arguments = {"unet": {"init_args": arguments}}
    return arguments


CODEC = {
    "encoder": {"init_args": official.TRANSPARENCY_ENCODER},
    "decoder": {"init_args": official.TRANSPARENCY_DECODER},
}
VIDEO = {"generator": {"init_args": unet_in(2, official.VIDEO)}}
ANIMATION = {
    "generator": {"init_args": unet_in(4, official.MOTION) | {"codec": {"init_args": {"codec": {"init_args": CODEC}}}}}
}
IMAGE_TO_VIDEO = {
    "generator": {
        "init_args": VIDEO["generator"]["init_args"] | {"codec": {"init_args": {"codec": {"init_args": CODEC}}}}
    }
}
TWO_TEXTS = {"generator": {"init_args": dict(IMAGE_TO_VIDEO["generator"]["init_args"])}}
TWO_TEXTS["generator"]["init_args"]["unet"] = unet_in(2, official.VIDEO | {"second_text": [12, 16]})["unet"]
IMAGES = {
    "generator": {
        "init_args": {
            "unet": {"init_args": {"rank": 3, "network": {"init_args": {"unet": {"init_args": official.IMAGE}}}}},
            "codec": {"init_args": {"codec": {"init_args": CODEC}}},
        }
    }
}
LAYOUT = {name: official.LAYOUT[name] for name in ("width", "depth", "num_heads")}
# `init_args` of the model, side of a picture, clips a batch
SHRUNK: dict[str, tuple[dict[str, Any], int, int]] = {
    "ildiff": (
        {
            "ildiff": {
                "init_args": {
                    "decoder": {"init_args": {"network": {"init_args": official.TRANSPARENCY_DECODER}}},
                    "adapter": {
                        "init_args": {
                            "width": 8,
                            "image_encoder": {"init_args": {"network": {"init_args": LAYOUT}}},
                        }
                    },
                }
            }
        },
        64,
        1,
    ),
    "transparency": (
        {"codec": {"init_args": CODEC}, "discriminator": {"init_args": {"width": 4}}},
        64,
        2,
    ),
    "matting_anything": (
        {"network": {"init_args": {"head": {"init_args": {"feature_channels": 16, "widths": [8, 8, 8]}}}}},
        64,
        2,
    ),
    "distill": (
        {
            "reconstruction": {
                "init_args": {
                    "encoder": {"init_args": LAYOUT},
                    "target_channels": 16,
                    "decoder_width": 16,
                    "decoder_depth": 1,
                    "decoder_heads": 2,
                }
            }
        },
        64,
        2,
    ),
    "video_gpt/paper_vqvae": ({"vqvae": {"init_args": official.VQVAE}}, 32, 2),
    "video_gpt/paper_prior": (
        {
            "prior": {
                "init_args": {
                    "vqvae": {"init_args": {"network": {"init_args": official.VQVAE}}},
                    "size": [32, 32],
                    "width": 12,
                    "layers": 2,
                    "heads": 2,
                }
            }
        },
        32,
        2,
    ),
    "vsd2m": (VIDEO, 32, 2),
    "animated_stickers": (IMAGE_TO_VIDEO, 32, 1),
    "animated_stickers/paper_flan_t5": (TWO_TEXTS, 32, 1),
    "layer_animate/paper_images": (IMAGES, 32, 2),
    "layer_animate": (ANIMATION, 32, 1),
}


def overlay(name: str) -> dict[str, Any]:
    """What shrinks an experiment and takes it to one step on a CPU."""
    model, side, batch = SHRUNK.get(name) or SHRUNK[name.split("/")[0]]
    data: dict[str, Any] = {"train": {"init_args": {"size": [side, side]}}, "batch_size": batch, "num_workers": 0}
    if name == "matting_anything/paper":
        data["val"] = data["train"]
    return {
        "model": {"init_args": model},
        "data": data,
        "trainer": {
            "max_steps": 2 if name == "transparency/paper" else 1,  # two optimizers
            "accelerator": "cpu",
            "devices": 1,
            "strategy": "auto",
            "num_sanity_val_steps": 1,
            "enable_progress_bar": False,
            "enable_model_summary": False,
        },
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with all files and shards that the experiments name."""
    folder = tmp_path_factory.mktemp("place")
    official.write_all(folder)
    how = ShardFormat(codec="png")
    for root in ("data/tasd", "data/vsd2m"):
        with ShardWriter(folder / root, how) as writer:
            for number in range(23):
                key = f"a{chr(ord('a') + number)}"
                about = {
                    "split": "test" if number > 17 else "val" if number > 13 else "train",
                    "domain": "real" if number % 2 else "cartoon",
                    "description": "square aa",
                    "trigger_words": ["square"],
                }
                sticker = Sticker(moving_square(key, 1 if number == 2 else 18), (100,) * (1 if number == 2 else 18))
                writer.append(encode_sticker(key, sticker, about, how))
    return folder


@pytest.fixture
def here(place, monkeypatch) -> Path:
    """Work there, with small SAMs in the place of the published sizes."""
    monkeypatch.chdir(place)
    widths = {"vit_b": 16, "vit_l": 32, "vit_h": 48}
    makers = {name: lambda width=width: official.small_sam(width) for name, width in widths.items()}
    monkeypatch.setattr(sam_files, "sam_model_registry", makers)
    monkeypatch.setattr(sam_files, "WIDTHS", {width: name for name, width in widths.items()})
    return place


def train(name: str, folder: Path) -> dict[str, Any]:
    """A step of the shrunk experiment; its checkpoint."""
    path = folder / f"{name.replace('/', '-')}-small.yaml"
    path.write_text(yaml.safe_dump(overlay(name)), encoding="utf-8")
    assert main(["fit", *config_arguments(EXPERIMENTS / f"{name}.yaml"), "-c", str(path)]) == 0
    return torch.load(folder / "lightning_logs" / name / "checkpoints" / "last.ckpt", weights_only=True)


@pytest.mark.parametrize("name", everyday_first([*FULL_SIZE, *SAME_NETWORKS]))
def test_it_trains_a_step_with_every_width_shrunk_from_files_of_the_official_layouts(name, here):
    if name == "layer_animate/paper_still_moving":
        train("layer_animate/paper_still_moving_motion", here)
    wanted = FULL_SIZE[SAME_NETWORKS.get(name, name)][2]
    missing = [file for file in wanted if not (here / file).exists()]
    assert not missing
    checkpoint = train(name, here)
    assert checkpoint["global_step"] == overlay(name)["trainer"]["max_steps"]
    assert all(tensor.isfinite().all() for tensor in checkpoint["state_dict"].values())


def on_two_machines(folder: Path, arguments: list[str]) -> list[subprocess.CompletedProcess[str]]:
    """Run a verb by torchrun as on two machines of one process each, which meet over the network (gloo)."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = os.pathsep.join([str(EXPERIMENTS.parent / "src"), str(EXPERIMENTS.parent)])
    meet = ["--nnodes", "2", "--nproc_per_node", "1", "--master_addr", "127.0.0.1", "--master_port", str(port)]
    started = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "torch.distributed.run",
                *meet,
                "--node_rank",
                str(rank),
                "-m",
                "glassine",
                *arguments,
            ],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        said = [process.communicate(timeout=280)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    return [subprocess.CompletedProcess(p.args, p.returncode, out) for p, out in zip(started, said, strict=True)]


@pytest.mark.full
@pytest.mark.timeout(900)
def test_two_machines_train_and_predict_together_by_torchrun_with_clipping_and_averaging(here):
    name, small = "vsd2m/paper", here / "two.yaml"
    content = overlay(name)
    content["trainer"] |= {"num_nodes": 2, "strategy": "ddp", "max_steps": 2, "limit_val_batches": 1}
    content["trainer"]["logger"] = {"init_args": {"version": "two"}}
    small.write_text(yaml.safe_dump(content), encoding="utf-8")
    configs = [*config_arguments(EXPERIMENTS / f"{name}.yaml"), "-c", str(small)]
    for rank, ended in enumerate(on_two_machines(here, ["fit", *configs])):
        assert ended.returncode == 0, ended.stdout[:6000]
        assert f"MEMBER: {rank + 1}/2" in ended.stdout
    last = here / "lightning_logs" / "vsd2m" / "two" / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(last, weights_only=True)
    assert checkpoint["global_step"] == 2
    assert "averaging_state" in checkpoint
    # every sticker once, and as one machine alone would make it
    predict = ["predict", *configs, "--ckpt_path", str(last), "--trainer.precision", "32-true"]
    for ended in on_two_machines(here, predict):
        assert ended.returncode == 0, ended.stdout[:6000]
    predictions = last.parents[1] / "predictions"
    together = predictions.rename(predictions.with_name("together"))
    assert (
        main([*predict, "--trainer.num_nodes", "1", "--trainer.strategy", "auto", "--data.eval_batch_size", "3"]) == 0
    )
    names = sorted(path.name for path in predictions.iterdir())
    assert len(names) == 3
    assert sorted(path.name for path in together.iterdir()) == names
    clips = [[read_sticker(folder / name).frames.astype(int) for name in names] for folder in (together, predictions)]
    for two, one in zip(*clips, strict=True):
        assert np.abs(two - one).max() <= 1
    assert np.abs(clips[0][0] - clips[0][1]).mean() > 5  # each from noise of its own


def test_gradient_checkpointing_is_what_makes_a_step_fit(here, tmp_path):
    kept = {}
    for checkpointing in (True, False):
        content = overlay("ildiff/paper")
        content["model"]["init_args"]["gradient_checkpointing"] = checkpointing
        base, small = EXPERIMENTS / "ildiff" / "paper.yaml", tmp_path / "small.yaml"
        folder = tmp_path / "ildiff"
        folder.mkdir(exist_ok=True)
        (folder / "paper.yaml").write_text(base.read_text(encoding="utf-8"))
        small = folder / f"small_{checkpointing}.yaml"
        command = f"# glassine fit -c ildiff/paper.yaml -c ildiff/{small.name}\n"
        small.write_text(command + yaml.safe_dump(content), encoding="utf-8")
        kept[checkpointing] = estimate(small)
    assert kept[True].parameters == kept[False].parameters
    assert kept[True].step < 0.6 * kept[False].step
    assert kept[True].gpu == "16 GB"


@pytest.mark.full
@pytest.mark.parametrize(("name", "most"), [("ildiff/paper", 22), ("transparency/paper", 22), ("vsd2m/paper", 44)])
def test_a_full_size_step_fits_the_card_that_the_readme_names(name, most):
    found = estimate(EXPERIMENTS / f"{name}.yaml")
    assert found.gib < most
    assert found.step > 4 * found.parameters  # the weights themselves
    assert f"`{name}.yaml`" in (EXPERIMENTS / "README.md").read_text(encoding="utf-8")
    assert found.step / GIB > 1
