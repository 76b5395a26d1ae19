"""`glassine score` on procedural stickers: folders of clips, networks and methods against test sets."""

import json
from pathlib import Path

import pytest
import torch
from tests.helpers.tiny_evaluator import save_evaluator
from tests.helpers.tiny_generator import save_tiny_generator
from tests.helpers.tiny_image_to_video import save_tiny_image_to_video

from glassine.__main__ import main
from glassine.bench import video_methods
from glassine.bench.evaluate_video import write_clips
from glassine.bench.evaluators import FAMILIES
from glassine.bench.protocols import CaptionedSet
from glassine.bench.records import read_record, read_records
from glassine.bench.score_request import METRICS
from glassine.cli import score as cli_score
from glassine.data.shards import ShardFormat, build_shards
from glassine.data.sources.procedural import ProceduralStickers
from glassine.models.sampling import SamplerConfig


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Shards, an evaluator, and clips that were made for the validation split: the true ones, and noise."""
    folder = tmp_path_factory.mktemp("score")
    source = ProceduralStickers(size=32, num_frames=12, length=60)
    build_shards(source, folder / "shards", ShardFormat(codec="png"), workers=1)
    save_evaluator(folder / "evaluator")
    clips = CaptionedSet("stickers", str(folder / "shards"), "val", size=32).clips
    assert len(clips) >= 3
    made = torch.stack([one.rgba for one in clips])
    write_clips(made, clips, folder / "right")
    noise = torch.rand(made.shape, generator=torch.Generator().manual_seed(0))
    write_clips(noise, clips, folder / "noise")
    return folder


def score(place: Path, source: str, *more: str, against: str | None = None) -> list[str]:
    """The command line."""
    networks = ["--video", str(place / "evaluator"), "--image-text", str(place / "evaluator")]
    test = against or str(place / "shards")
    return ["score", source, "--against", test, "--size", "32", "--device", "cpu", *networks, *more]


def values(folder: Path) -> dict[str, float]:
    (record,) = read_records(folder)
    (cell,) = record.conditions.values()
    return cell.scores


def test_clips_that_are_true_are_told_from_noise_in_every_metric(place, tmp_path, capsys):
    wanted = ["--metrics", "psnr", "ssim", "alpha", "fvd", "kvd", "clip", "motion"]
    for name in ("right", "noise"):
        assert main(score(place, str(place / name), *wanted, "--to", str(tmp_path / name))) == 0
    right, noise = values(tmp_path / "right"), values(tmp_path / "noise")
    for one in ("psnr_mean", "composite_psnr", "composite_ssim", "ssim"):
        assert right[one] > noise[one]
    for one in ("mad", "fvd_glassine_native_8f_white", "kvd_glassine_native_8f_white"):
        assert right[one] < noise[one]
    assert right["psnr_mean"] > 45
    assert noise["dynamic_degree_farneback_flow_gray"] > right["dynamic_degree_farneback_flow_gray"]
    printed = capsys.readouterr().out
    count = len(list((place / "right").glob("*.webp")))
    assert f"right: {count} clips of {count} groups, split val, 8 frames of 32 x 32" in printed
    line = next(line for line in printed.splitlines() if line.startswith("  kvd_glassine"))
    assert f"{count} against {count} clips" in line
    assert "floor: train " in line
    assert ", true " in line
    (record,) = [read_record(path) for path in (tmp_path / "right").glob("*.json")]
    assert len(record.conditions["clips"].items["psnr_mean"]) == count


def test_only_what_is_asked_for_is_measured_and_kept(place, tmp_path):
    assert main(score(place, str(place / "right"), "--metrics", "psnr", "--to", str(tmp_path))) == 0
    assert set(values(tmp_path)) == {"psnr_mean", "composite_psnr"}
    (file,) = tmp_path.glob("*.json")
    before = file.stat().st_mtime_ns
    assert main(score(place, str(place / "right"), "--metrics", "psnr", "--to", str(tmp_path))) == 0
    assert file.stat().st_mtime_ns == before
    assert main(score(place, str(place / "right"), "--metrics", "psnr", "ssim", "--to", str(tmp_path))) == 0
    assert set(values(tmp_path)) == {"psnr_mean", "composite_psnr", "ssim", "composite_ssim"}


def test_two_folders_of_clips_are_compared(place, tmp_path, capsys):
    folder = str(place / "right")
    assert (
        main(score(place, str(place / "noise"), "--metrics", "kvd", "clip", "--to", str(tmp_path), against=folder)) == 0
    )
    assert "floor: true" in capsys.readouterr().out
    found = values(tmp_path)
    assert found["kvd_glassine_native_8f_white"] > 0
    assert "clip_glassine_score_white" in found  # by prompts.json


def test_matting_methods_are_scored_on_any_condition(place, tmp_path, capsys):
    more = ["--metrics", "psnr", "alpha", "--condition", "gray", "--to", str(tmp_path)]
    assert main(score(place, "color_projection", *more)) == 0
    assert values(tmp_path)["psnr_mean"] > 15
    assert ", gray" in capsys.readouterr().out
    assert main(score(place, "color_projection", "--metrics", "psnr", "--to", str(tmp_path))) == 0
    (record,) = read_records(tmp_path)
    assert set(record.conditions) == {"white", "gray"}  # what was measured before is kept
    again = ["--metrics", "ssim", "--to", str(tmp_path / "clips")]
    assert main(score(place, "color_projection", *again, against=str(place / "right"))) == 0
    assert set(values(tmp_path / "clips")) == {"ssim", "composite_ssim"}


def test_a_network_makes_several_clips_a_caption(place, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(video_methods, "SHORT", SamplerConfig(num_inference_steps=2, solver="dpm++"))
    bundle = save_tiny_generator(tmp_path / "generator")
    more = ["--metrics", "kvd", "clip", "--limit", "2", "--clips", "4", "--to", str(tmp_path / "scores")]
    assert main(score(place, bundle, *more)) == 0
    assert "4 clips of 2 groups" in capsys.readouterr().out
    (path,) = (tmp_path / "scores").glob("*.json")
    assert len(json.loads(path.read_text())["conditions"]["clips"]["draws"]["kvd_glassine_native_8f_white"]) == 200


def test_an_image_to_video_network_animates_the_middle_frames_of_the_test_set(place, tmp_path, capsys):
    bundle = save_tiny_image_to_video(tmp_path / "network", num_inference_steps=2, guidance_scale=3.0)
    more = ["--metrics", "clip", "motion", "--limit", "2", "--to", str(tmp_path / "scores")]
    assert main(score(place, bundle, *more)) == 0
    (record,) = read_records(tmp_path / "scores")
    assert record.method == "ImageToVideo"
    assert record.settings["sampler"] == "ddim 2"
    assert record.conditions["clips"].stickers == 2
    (path,) = (tmp_path / "scores").glob("*.json")
    assert str(tmp_path.parent) not in path.read_text()  # nobody's folders


@pytest.mark.parametrize(
    ("source", "more", "says"),
    [
        ("nowhere", ["--metrics", "psnr"], "nowhere"),
        ("right", ["--metrics", "vqa"], "give --fast-vqa PATH"),
        ("right", ["--metrics", "psnr", "--against", "nowhere"], "nowhere"),
        ("threshold", ["--metrics", "kvd"], "metrics must be psnr, ssim or alpha for threshold, got kvd"),
        ("threshold", ["--metrics", "psnr", "--condition", "sepia"], "condition must be one of white"),
        ("right", ["--metrics", "psnr", "--clips", "0"], "clips must be at least 1"),
        ("right", ["--metrics", "kvd", "--i3d", "nowhere.pt"], "nowhere.pt"),
        ("shards", ["--metrics", "psnr"], "must hold clips"),
    ],
)
def test_mistakes_are_one_line(place, source, more, says, tmp_path, capsys):
    given = str(place / source) if source in ("right", "shards") else source
    assert main(score(place, given, *more, "--to", str(tmp_path))) == 2
    error = capsys.readouterr().err
    assert says in error
    assert "Traceback" not in error


def test_the_command_line_knows_every_metric():
    assert cli_score.METRICS == METRICS
    assert set(cli_score.FAMILIES.values()) == set(FAMILIES)
