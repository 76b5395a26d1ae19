"""What `glassine cutout` says about a file: warnings, the report, and stickers that are transparent already."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from glassine.__main__ import main
from glassine.data.codecs import read_sticker, write_sticker
from glassine.data.sticker import Sticker

SIZE = 80


def face(background: np.ndarray | tuple[int, int, int]) -> np.ndarray:
    picture = np.broadcast_to(background, (SIZE, SIZE, 3)).astype(np.uint8).copy()
    cv2.circle(picture, (40, 40), 24, (10, 10, 10), -1, cv2.LINE_AA)
    cv2.circle(picture, (40, 40), 21, (255, 170, 60), -1, cv2.LINE_AA)
    return picture


def differing(background: np.ndarray | tuple[int, int, int]) -> float:
    """Share of the picture in which the face can be seen."""
    plain = np.broadcast_to(background, (SIZE, SIZE, 3)).astype(np.uint8)
    return float((np.abs(face(background).astype(int) - plain).max(axis=2) > 5).mean())


def cutout(picture: np.ndarray, folder: Path, *more: object) -> tuple[np.ndarray, dict]:
    Image.fromarray(picture).save(folder / "in.png")
    report = folder / "report.json"
    arguments = ["cutout", folder / "in.png", folder / "out.png", "--report", report, "--device", "cpu", *more]
    assert main([str(argument) for argument in arguments]) == 0
    return read_sticker(folder / "out.png").frames[0], json.loads(report.read_text())["files"][0]


def test_a_plain_file_is_cut_out_without_a_word_and_without_a_network(tmp_path, capsys, monkeypatch):
    def fail(*_: object) -> None:
        raise AssertionError("no network is needed here")

    monkeypatch.setattr("glassine.pretrained.weights.load_bundle", fail)
    result, report = cutout(face((255, 255, 255)), tmp_path, "--quiet")
    assert capsys.readouterr().err == ""
    assert (result[..., 3] > 0).mean() == pytest.approx(differing((255, 255, 255)), rel=0.02)
    assert report["background"] == "flat"
    assert report["method"] == "closed-form"
    assert report["color"] == [255, 255, 255]
    assert report["warnings"] == []
    assert report["confidence"] > 0.9


@pytest.mark.parametrize("kind", ["gradient", "two colors", "checkerboard", "frame line"])
def test_backgrounds_that_are_not_flat_are_removed(kind, tmp_path):
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    background = {
        "gradient": np.array([255, 250, 240]) - np.array([100, 60, 10]) * y[..., None] / SIZE,
        "two colors": np.where((x < 31)[..., None], (255, 255, 255), (170, 200, 170)),
        "checkerboard": np.where(((x // 8 + y // 8) % 2 > 0)[..., None], (204,) * 3, (255,) * 3),
        "frame line": np.where(((x % (SIZE - 1) == 0) | (y % (SIZE - 1) == 0))[..., None], (0,) * 3, (255,) * 3),
    }[kind]
    result, report = cutout(face(background), tmp_path, "--quiet")
    assert report["warnings"] == []
    assert (result[..., 3] > 0).mean() == pytest.approx(differing(background), rel=0.04)
    assert result[40, 40, 3] == 255


def test_a_background_without_a_model_is_named(tmp_path, capsys):
    noise = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3))
    _, report = cutout(face(noise), tmp_path, "--quiet")
    assert "of the border fits the background" in capsys.readouterr().err
    assert report["confidence"] < 0.3
    assert len(report["warnings"]) == 1


def test_an_empty_result_is_named(tmp_path, capsys):
    result, report = cutout(np.full((SIZE, SIZE, 3), 90, np.uint8), tmp_path, "--quiet")
    assert not result.any()
    assert "nothing stands out" in capsys.readouterr().err
    assert report["confidence"] < 0.3


def test_a_background_that_is_not_there_is_named(tmp_path, capsys):
    cutout(face((255, 255, 255)), tmp_path, "--quiet", "--background", "#00ff00")
    assert "nothing was cut out" in capsys.readouterr().err


def test_a_transparent_sticker_loses_nothing_unless_forced(tmp_path, capsys):
    frame = np.zeros((SIZE, SIZE, 4), np.uint8)
    frame[20:] = (0, 0, 0, 255)  # a black outline touches the border on three sides
    frame[24:76, 4:76] = (190, 140, 250, 255)
    write_sticker(Sticker(frame[None], (100,)), tmp_path / "in.png")
    arguments = ["cutout", str(tmp_path / "in.png"), str(tmp_path / "out.png")]
    assert main(arguments) == 0
    assert "transparent already" in capsys.readouterr().err
    np.testing.assert_array_equal(read_sticker(tmp_path / "out.png").frames[0], frame)
    assert main([*arguments, "--force"]) == 0
    forced = read_sticker(tmp_path / "out.png").frames[0]
    assert not forced[22, 40].any()
    assert (forced[..., 3] <= frame[..., 3]).all()


def test_translucent_explains_the_picture_by_the_least_alpha(tmp_path):
    glass = np.full((SIZE, SIZE, 3), 255, np.uint8)
    glass[20:60, 20:60] = (155, 205, 255)
    opaque, _ = cutout(glass, tmp_path)
    clear, _ = cutout(glass, tmp_path, "--opacity", "translucent")
    assert opaque[40, 40].tolist() == [155, 205, 255, 255]
    assert clear[40, 40, 3] == 100
    share = clear[40, 40, 3] / 255
    np.testing.assert_allclose(clear[40, 40, :3] * share + 255 * (1 - share), (155, 205, 255), atol=2)


def square_on_clutter() -> np.ndarray:
    rng = np.random.default_rng(1)
    clutter = cv2.resize(rng.integers(0, 90, (20, 20, 3)).astype(np.uint8), (SIZE, SIZE))
    clutter[:, :, 2] += 60
    clutter[28:56, 50:76] = (250, 220, 40)
    return np.clip(clutter + rng.integers(-25, 26, clutter.shape), 0, 255).astype(np.uint8)


def test_a_subject_is_found_where_the_user_points(tmp_path):
    result, report = cutout(square_on_clutter(), tmp_path, "--quiet", "--subject", "63,42")
    assert report["warnings"]
    assert (result[32:52, 54:72, 3] > 200).mean() > 0.9
    assert (result[:, :40, 3] > 0).mean() < 0.1


@pytest.mark.parametrize("text", ["1", "a,b", "1,2,3", "900,10", "30,30,10,40"])
def test_a_subject_outside_the_picture_is_the_users_mistake(text, tmp_path, capsys):
    Image.fromarray(face((255, 255, 255))).save(tmp_path / "in.png")
    assert main(["cutout", str(tmp_path / "in.png"), str(tmp_path / "out.png"), "--subject", text]) == 2
    assert "--subject must" in capsys.readouterr().err
    assert not (tmp_path / "out.png").exists()


def test_the_report_is_not_written_over_another_file(tmp_path, capsys):
    Image.fromarray(face((255, 255, 255))).save(tmp_path / "in.png")
    for name in ("in.png", "notes.txt"):
        assert (
            main(["cutout", str(tmp_path / "in.png"), str(tmp_path / "o.png"), "--report", str(tmp_path / name)]) == 2
        )
    assert "--report must be" in capsys.readouterr().err


def test_tiny_frames_are_not_enlarged():
    from glassine.pipelines.cutout import CutoutPipeline

    frames = np.full((200, 8, 8, 4), 255, np.uint8)
    frames[np.arange(200), 2 + np.arange(200) % 4, 3, :3] = (200, 0, 0)
    pipeline = CutoutPipeline.from_pretrained(device="cpu")
    results = list(pipeline.stream((frame, 20) for frame in frames))
    assert len(results) == 200
    assert all((frame[..., 3] > 0).sum() == 1 for frame, _ in results)


def test_a_prior_finds_the_subject_on_clutter(tmp_path):
    asked = ("--prior", "glassine:tiny-sam", "--subject", "49,27,77,57")
    result, report = cutout(square_on_clutter(), tmp_path, "--quiet", *asked)
    assert (result[32:52, 54:72, 3] > 200).mean() > 0.9
    assert (result[:, :40, 3] > 128).mean() < 0.1
    assert report["method"] == "prior"
    assert any("--prior" in warning for warning in report["warnings"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--prior", "glassine:tiny-sam"], "--subject"),
        (["--prior", "missing.onnx"], "no file at missing.onnx"),
        (["--prior", "glassine:tiny-sam", "--method", "network"], "leave one out"),
    ],
)
def test_a_prior_that_cannot_be_used_is_the_users_mistake(options, said, tmp_path, capsys):
    Image.fromarray(square_on_clutter()).save(tmp_path / "in.png")
    assert main(["cutout", str(tmp_path / "in.png"), str(tmp_path / "out.png"), *options]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out.png").exists()
