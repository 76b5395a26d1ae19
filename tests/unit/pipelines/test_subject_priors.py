"""Networks that the user brings tell where the sticker is: ONNX files of salient object networks, SAM, SAM 2."""

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from transformers import Sam2VideoConfig, Sam2VideoModel

from glassine.pipelines.subject_priors import OnnxPrior, SamPrior, load_prior
from glassine.pipelines.unknown_background import Subject, alpha_of_mask
from glassine.utils.errors import UserError

SIZE = 96
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def red_finder(
    path: Path,
    side: int | str = 48,
    outputs_logits: bool = True,
    channels: int = 3,
    batch: int = 1,
    numbers: int = TensorProto.FLOAT,
    masks: int = 1,
) -> Path:
    """An ONNX file in the layout of U2-Net's: it marks where the picture, normalized as ImageNet's, is bright red."""
    kind = helper.tensor_dtype_to_np_dtype(numbers)
    weights = np.zeros((masks, channels, 1, 1), kind)
    weights[0, 0] = 40 * DEVIATION[0]
    bias = np.full(masks, 40 * (MEAN[0] - 0.7), kind)  # 40 (red - 0.7)
    nodes = [helper.make_node("Conv", ["picture", "weights", "bias"], ["logits"])]
    if not outputs_logits:
        nodes.append(helper.make_node("Sigmoid", ["logits"], ["mask"]))
    graph = helper.make_graph(
        nodes,
        "red",
        [helper.make_tensor_value_info("picture", numbers, [batch, channels, side, side])],
        [helper.make_tensor_value_info("logits" if outputs_logits else "mask", numbers, [batch, masks, side, side])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(bias, "bias")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    return path


def two_balls() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A cluttered picture without red, with two red balls, and the truth of each."""
    rng = np.random.default_rng(3)
    picture = (cv2.resize(rng.random((9, 9, 3)), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC) * 120).clip(0, 255)
    picture = picture.astype(np.uint8)
    truths = []
    for x in (26, 70):
        cv2.circle(picture, (x, 48), 12, (250, 60, 60), -1, cv2.LINE_AA)
        truths.append(cv2.circle(np.zeros((SIZE, SIZE), np.uint8), (x, 48), 12, (255,), -1, cv2.LINE_AA) > 127)
    return picture, truths[0], truths[1]


def overlap(alpha: np.ndarray, truth: np.ndarray) -> float:
    found = alpha > 0.5
    return float((found & truth).sum() / max((found | truth).sum(), 1))


@pytest.mark.parametrize("outputs_logits", [True, False])
def test_an_onnx_file_finds_the_sticker_with_logits_or_probabilities(tmp_path, outputs_logits):
    prior = OnnxPrior(red_finder(tmp_path / "u2net.onnx", outputs_logits=outputs_logits))
    picture, left, right = two_balls()
    assert overlap(alpha_of_mask(picture, prior(picture, None)), left | right) > 0.9


def test_a_point_or_a_box_chooses_among_what_the_network_found(tmp_path):
    prior = load_prior(str(red_finder(tmp_path / "net.onnx")))
    picture, left, right = two_balls()
    assert overlap(alpha_of_mask(picture, prior(picture, Subject(26 / SIZE, 0.5))), left) > 0.9
    assert overlap(alpha_of_mask(picture, prior(picture, Subject(0.5, 0.2, 1.0, 0.8))), right) > 0.9


def test_a_file_of_any_size_is_asked_at_1024_pixels(tmp_path):
    picture, left, right = two_balls()
    mask = OnnxPrior(red_finder(tmp_path / "net.onnx", side="side"))(picture, None)
    assert mask.shape == (1024, 1024)
    assert overlap(alpha_of_mask(picture, mask), left | right) > 0.9


def test_isnet_has_its_own_normalization(tmp_path):
    plain, isnet = (OnnxPrior(red_finder(tmp_path / f"{name}.onnx")) for name in ("u2net", "isnet-general-use"))
    picture = two_balls()[0]
    assert not np.allclose(plain(picture, None), isnet(picture, None))


def test_the_shipped_sam_finds_what_lies_in_a_box():
    picture, left, _ = two_balls()
    prior = load_prior("glassine:tiny-sam", "cpu")
    mask = prior(picture, Subject(12 / SIZE, 34 / SIZE, 40 / SIZE, 62 / SIZE))
    assert overlap(alpha_of_mask(picture, mask), left) > 0.7
    assert prior(picture, Subject(26 / SIZE, 0.5)).shape == (SIZE, SIZE)
    with pytest.raises(UserError, match="--subject"):
        prior(picture, None)


def test_sam_2_is_asked_at_the_subject(monkeypatch):
    settings = json.loads((Path(__file__).parents[2] / "helpers" / "sam2_small.json").read_text())
    network = Sam2VideoModel(Sam2VideoConfig(**settings)).eval()
    asked = []
    forward = type(network).forward

    def watched(self, session, *args, **kwargs):
        asked.append(session.point_inputs_per_obj[0][0])
        return forward(self, session, *args, **kwargs)

    monkeypatch.setattr(type(network), "forward", watched)
    prior = SamPrior(network, torch.device("cpu"))
    picture = two_balls()[0]
    mask = prior(picture, Subject(0.25, 0.5))
    prior(picture, Subject(0.25, 0.5, 0.5, 0.75))
    side = network.config.image_size
    assert mask.ndim == 2
    assert (mask >= 0).all()
    assert (mask <= 1).all()
    assert asked[0]["point_coords"].tolist() == [[[[0.25 * side, 0.5 * side]]]]
    assert asked[0]["point_labels"].tolist() == [[[1]]]
    assert asked[1]["point_labels"].tolist() == [[[2, 3]]]


def test_what_is_no_prior_is_refused(tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"nothing")
    with pytest.raises(UserError, match="cannot be read as ONNX"):
        load_prior(str(tmp_path / "broken.onnx"))
    with pytest.raises(UserError, match="no file at"):
        load_prior(str(tmp_path / "missing.onnx"))
    with pytest.raises(UserError, match="one picture"):
        load_prior(str(red_finder(tmp_path / "gray.onnx", channels=1)))
    with pytest.raises(UserError, match="one picture"):
        load_prior(str(red_finder(tmp_path / "batch.onnx", batch=2)))
    with pytest.raises(UserError, match="must give a mask"):
        load_prior(str(red_finder(tmp_path / "two.onnx", masks=2)))(two_balls()[0], None)
    with pytest.raises(UserError, match="no file at"):
        load_prior(str(tmp_path / "sam_vit_h.pth"))
    with pytest.raises(UserError, match="must hold a SAM"):
        load_prior("glassine:tiny-vae")


@pytest.mark.parametrize("value", [0.0, 0.1, np.nan])
def test_a_mask_that_finds_nothing_loses_nothing(value):
    picture = two_balls()[0]
    assert (alpha_of_mask(picture, np.full((32, 32), value, np.float32)) == 1).all()


def test_edges_follow_the_pictures_colors():
    picture = np.full((64, 64, 3), 40, np.uint8)
    cv2.circle(picture, (32, 32), 20, (220, 200, 40), -1, cv2.LINE_AA)
    hard = cv2.circle(np.zeros((64, 64), np.float32), (32, 32), 20, (1.0,), -1)
    alpha = alpha_of_mask(picture, hard)
    true = (picture[..., 0].astype(float) - 40) / 180
    assert ((alpha > 0.1) & (alpha < 0.9)).sum() > 20
    assert np.abs(alpha - true).mean() < 0.02


def test_a_thin_box_is_not_the_whole_picture(tmp_path):
    prior = OnnxPrior(red_finder(tmp_path / "net.onnx"))
    mask = prior(two_balls()[0], Subject(0.26, 0.5, 0.264, 0.505))
    assert 0 < (mask > 0.5).sum() <= 2


def test_half_precision_files_are_read(tmp_path):
    prior = OnnxPrior(red_finder(tmp_path / "half.onnx", numbers=TensorProto.FLOAT16))
    picture, left, right = two_balls()
    assert overlap(alpha_of_mask(picture, prior(picture, None)), left | right) > 0.9
