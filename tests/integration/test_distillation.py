"""From a small SAM to a layout encoder in ILDiff, as a user types it, on procedural stickers."""

import json
from pathlib import Path

import pytest
import torch
import yaml

from glassine.__main__ import main
from glassine.data.shards import ShardFormat, build_shards
from glassine.data.sources.procedural import ProceduralStickers
from glassine.models.sam import make_sam
from glassine.pretrained.weights import load_bundle, save_bundle

SAM = {"image_size": 64, "embed_dim": 16, "depth": 1, "num_heads": 2, "global_attn_indexes": [0]}
SAM |= {"out_channels": 16, "decoder_mlp_dim": 16}


def save_sam(folder: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    save_bundle(make_sam(**SAM), {"class_path": "glassine.models.sam.make_sam", "init_args": SAM}, folder)
    return folder


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    build_shards(ProceduralStickers(size=64, num_frames=2, length=40), folder, ShardFormat(), workers=1)
    return folder


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return save_sam(tmp_path_factory.mktemp("sam") / "teacher")


@pytest.fixture(scope="module")
def features(tmp_path_factory, shards, teacher):
    folder = tmp_path_factory.mktemp("cache") / "features"
    assert main(cache_arguments(shards, teacher, folder)) == 0
    return folder


def cache_arguments(shards: Path, teacher: Path, folder: Path, size: int = 64) -> list[str]:
    arguments = ["data", "cache-features", str(shards), "--to", str(folder), "--teacher", str(teacher)]
    return [*arguments, "--size", str(size), "--views", "1", "--device", "cpu"]


def config(shards: Path, teacher: Path, features: Path | None, folder: Path) -> Path:
    content = yaml.safe_load(Path("experiments/distill/tiny.yaml").read_text(encoding="utf-8"))
    arguments = content["model"]["init_args"]
    encoder = {"width": 12, "depth": 1, "num_heads": 2, "position_size": 64, "neck_channels": None}
    arguments["reconstruction"]["init_args"] |= {
        "target_channels": 16,
        "decoder_width": 12,
        "decoder_heads": 2,
        "decoder_depth": 1,
    }
    arguments["reconstruction"]["init_args"]["encoder"]["init_args"] = encoder
    arguments["teacher"]["init_args"]["sam"]["init_args"]["source"] = str(teacher)
    arguments.pop("lr_scheduler")
    if features is None:
        content["data"]["train"] = {
            "class_path": "glassine.data.dataset.Stickers",
            "init_args": {"root": str(shards), "size": [64, 64], "num_frames": 1, "stills": True},
        }
    else:
        content["data"]["train"]["init_args"] |= {"folder": str(features), "size": [64, 64]}
    content["data"]["val"]["init_args"] |= {"root": str(shards), "size": [64, 64], "limit": 2}
    content["data"] |= {"batch_size": 4, "num_workers": 0}
    content["trainer"] |= {"max_steps": 4, "val_check_interval": 2, "log_every_n_steps": 1, "accelerator": "cpu"}
    content["trainer"]["logger"]["init_args"]["save_dir"] = str(folder)
    content["trainer"]["enable_progress_bar"] = False
    path = folder / "distill.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_distil_probe_export_and_use(shards, teacher, features, tmp_path, capsys):
    assert main(["fit", "-c", str(config(shards, teacher, features, tmp_path))]) == 0
    run = tmp_path / "distill" / "tiny"
    probed = main(["benchmark", "probe", str(run), "--split", "test", "--stickers", "6", "--to", str(tmp_path / "b")])
    assert probed == 0, capsys.readouterr()
    (record,) = (json.loads(path.read_text()) for path in (tmp_path / "b/results/distill").glob("*.json"))
    assert record["steps"] == 4
    assert all(0 <= record["scores"][name]["auroc"] <= 1 for name in ("pixels", "before", "after", "teacher"))

    checkpoint = run / "checkpoints" / "last.ckpt"
    assert not [n for n in torch.load(checkpoint, weights_only=True)["state_dict"] if n.startswith("teacher")]
    layout = tmp_path / "layout"
    arguments = ["export", "weights", str(checkpoint), "--part", "reconstruction.encoder", "--to", str(layout)]
    assert main(arguments) == 0
    assert load_bundle(str(layout))(torch.rand(1, 3, 32, 64)).shape == (1, 12, 2, 4)


def test_the_teacher_runs_itself_where_nothing_is_cached(shards, teacher, tmp_path):
    assert main(["fit", "-c", str(config(shards, teacher, None, tmp_path))]) == 0
    assert (tmp_path / "distill" / "tiny" / "checkpoints" / "last.ckpt").is_file()


def test_a_cache_of_another_teacher_is_refused(shards, features, tmp_path, capsys):
    other = save_sam(tmp_path / "other", seed=1)
    assert main(["fit", "-c", str(config(shards, other, features, tmp_path))]) == 2
    assert "the cached features come from another teacher" in capsys.readouterr().err
    assert main(cache_arguments(shards, other, features)) == 2
    assert "holds features of another teacher" in capsys.readouterr().err


def test_mistakes_are_said_in_one_line(shards, teacher, features, tmp_path, capsys):
    for arguments, said in [
        (cache_arguments(shards, teacher, features, size=32), "holds features of other pictures"),
        ([*cache_arguments(shards, teacher, tmp_path / "x"), "--model", "vit_h"], "--checkpoint and --model go"),
        (cache_arguments(shards, tmp_path / "missing", tmp_path / "x"), "missing"),
        (
            [*cache_arguments(shards, teacher, tmp_path / "x"), "--model", "vit_h", "--checkpoint", "none.pth"],
            "no weight file at none.pth",
        ),
    ]:
        assert main(arguments) == 2
        error = capsys.readouterr().err.strip()
        assert said in error
        assert len(error.splitlines()) == 1
    assert not (tmp_path / "x").exists()
