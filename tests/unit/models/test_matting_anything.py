import cv2
import numpy as np
import pytest
import torch
from torch import nn

from glassine.models.matting_anything import (
    MaskToMatte,
    Mattes,
    MattingAnything,
    box_around,
    dilated,
    prompts_of,
    refine,
    uncertain_band,
)
from glassine.models.sam import Prompts, make_sam
from glassine.pretrained.weights import load_bundle, save_bundle
from glassine.utils.errors import UserError

SAM = {
    "image_size": 64,
    "embed_dim": 16,
    "depth": 1,
    "num_heads": 2,
    "global_attn_indexes": [0],
    "window_size": 0,
    "out_channels": 16,
    "decoder_mlp_dim": 16,
}
HEAD = {"feature_channels": 16, "widths": [8, 8, 8], "blocks": [2, 1, 1], "matte_width": 8}


def make_network(**arguments) -> MattingAnything:
    torch.manual_seed(0)
    return MattingAnything(make_sam(**SAM), MaskToMatte(**HEAD), **arguments).eval()


def box(left: float, top: float, right: float, bottom: float) -> Prompts:
    return Prompts(boxes=torch.tensor([[left, top, right, bottom]]))


@pytest.mark.parametrize("size", [(64, 64), (40, 64), (100, 90)])
@torch.no_grad()
def test_three_alphas_and_the_mask_have_the_pictures_size(size):
    mattes = make_network()(torch.rand(2, 3, *size), [box(2, 3, 30, 20)] * 2)
    for alpha in (mattes.os8, mattes.os4, mattes.os1, mattes.mask):
        assert alpha.shape == (2, 1, *size)
        assert alpha.min() >= 0
        assert alpha.max() <= 1
    assert not torch.allclose(mattes.os8, mattes.os1)


@pytest.mark.parametrize("grid", [(4, 4), (3, 5)])
def test_the_head_takes_any_grid(grid):
    size = (grid[0] * 16, grid[1] * 16)
    head = MaskToMatte(**HEAD)
    alphas = head(torch.rand(1, 16, *grid), torch.rand(1, 3, *size), torch.ones(1, 1, *size))
    assert [alpha.shape for alpha in alphas] == [(1, 1, *size)] * 3


def test_the_defaults_have_the_papers_2_7_million_parameters():
    assert sum(p.numel() for p in MaskToMatte().parameters()) == 2_714_619


def test_coarser_scales_are_smoother():
    torch.manual_seed(0)
    head = MaskToMatte(**HEAD)
    alphas = head(torch.rand(1, 16, 4, 4), torch.rand(1, 3, 64, 64), torch.rand(1, 1, 16, 16))
    steps = [(alpha.diff(dim=-1).diff(dim=-1).abs() > 1e-5).float().mean().item() for alpha in alphas]
    assert steps[0] < steps[1] < steps[2]  # between the pixels of a coarse grid, bilinear alpha runs straight


def test_the_head_reads_the_mask_that_sam_prefers_as_0_or_1_and_the_picture_normalized():
    network, seen = make_network(), []
    network.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    logits = torch.full((1, 3, 16, 16), -7.0)
    logits[:, 1, :4] = 7.0
    network.sam.mask_decoder = Fixed(logits, torch.tensor([[0.1, 0.9, 0.3]]))
    mattes = network(torch.ones(1, 3, 32, 64), [box(0, 0, 30, 20)])
    features, picture, mask = seen[0]
    assert features.shape == (1, 16, 4, 4)
    torch.testing.assert_close(mask, (logits[:, 1:2] > 0).float())
    torch.testing.assert_close(picture[0, 0, :32], torch.full((32, 64), (255 - 123.675) / 58.395))
    assert (picture[0, :, 32:] == 0).all()  # padding
    assert mattes.mask[0, 0, :15].all()
    assert not mattes.mask[0, 0, 17:].any()


class Fixed(nn.Module):
    def __init__(self, masks: torch.Tensor, iou: torch.Tensor) -> None:
        super().__init__()
        self.answer = masks, iou

    def forward(self, **_):
        return self.answer


def test_refinement_keeps_coarse_values_outside_the_uncertain_band_and_takes_fine_ones_inside():
    os8 = torch.zeros(1, 1, 1, 40)
    os8[..., 10:30], os8[..., 9], os8[..., 30] = 1, 0.5, 0.5
    os4, os1 = torch.full_like(os8, 0.004), torch.full_like(os8, 0.7)  # 0.004 is still uncertain
    refined = refine(Mattes(os8, os4, os1, torch.ones_like(os8)), (3, 1), one_sided=False, within_mask=False)
    expected = os8.clone()
    expected[..., 8:11] = expected[..., 29:32] = 0.7
    torch.testing.assert_close(refined, expected)

    os4[..., 8:10] = 0  # sure: nothing is left for the finest scale there
    refined = refine(Mattes(os8, os4, os1, torch.ones_like(os8)), (3, 1), one_sided=False, within_mask=False)
    expected[..., 8:10] = 0
    torch.testing.assert_close(refined, expected)


def test_a_one_sided_band_lies_outside_of_what_is_sure_to_be_foreground():
    alpha = torch.zeros(1, 1, 1, 12)
    alpha[..., 4:8] = 1
    assert not uncertain_band(alpha, 3).any()
    assert uncertain_band(alpha, 3, one_sided=True)[0, 0, 0].nonzero().flatten().tolist() == [3, 8]


def test_no_alpha_is_left_outside_the_box_around_sams_mask():
    ones, mask = torch.ones(1, 1, 6, 8), torch.zeros(1, 1, 6, 8)
    mask[..., 2, 3] = mask[..., 4, 6] = 1
    refined = refine(Mattes(ones, ones, ones, mask), (1, 1), one_sided=True, within_mask=True)
    assert refined.sum() == refined[..., 2:5, 3:7].sum() == 12
    assert box_around(torch.zeros(1, 1, 6, 8, dtype=torch.bool)).all()  # an empty mask says nothing


@pytest.mark.parametrize("width", [1, 2, 5, 8])
def test_regions_grow_as_opencv_grows_them(width):
    region = torch.rand(1, 1, 30, 30) > 0.97
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    expected = cv2.dilate(region[0, 0].numpy().astype(np.uint8), disc)
    np.testing.assert_array_equal(dilated(region, width)[0, 0].numpy(), expected.astype(bool))


def test_prompts_are_the_box_and_the_centre_of_what_is_seen_and_none_of_an_empty_frame():
    alpha = torch.zeros(3, 1, 20, 20)
    alpha[0, :, 4:9, 6:13] = 1
    alpha[1] = alpha[0] * 0.1  # faded
    whole, faded, nothing = prompts_of(alpha, points=True)
    for prompt in (whole, faded):
        assert prompt.boxes.tolist() == [[6, 4, 12, 8]]
        assert prompt.points.tolist() == [[9, 6]]
    assert nothing is None
    assert prompts_of(alpha, points=False)[0].points is None


def test_frames_are_decoded_alone_and_empty_ones_are_clear():
    network = make_network(within_mask=False)
    clip, alpha = torch.rand(2, 2, 3, 40, 48), torch.zeros(2, 2, 1, 40, 48)
    alpha[..., 5:30, 10:40] = 1
    alpha[1, 0] = 0
    decoded = network.decode(clip, alpha)
    assert decoded.shape == alpha.shape
    assert (decoded[1, 0] == 0).all()
    assert decoded[1, 1].max() > 0
    asked = prompts_of(alpha[:, 1], points=True)
    torch.testing.assert_close(network.decode(clip, prompts=[None, asked[0], None, asked[1]])[:, 1], decoded[:, 1])
    torch.testing.assert_close(network.decode(clip[:, 1:], alpha[:, 1:]), decoded[:, 1:])


def test_sam_stays_frozen_and_in_eval_mode_and_out_of_the_bundle(tmp_path):
    network = make_network().train()
    assert not network.sam.training
    assert network.head.training
    assert {name.split(".")[0] for name, p in network.named_parameters() if p.requires_grad} == {"head"}
    path = "glassine.models."
    config = {
        "class_path": f"{path}matting_anything.MattingAnything",
        "init_args": {
            "sam": {"class_path": f"{path}sam.make_sam", "init_args": SAM},
            "head": {"class_path": f"{path}matting_anything.MaskToMatte", "init_args": HEAD},
        },
    }
    save_bundle(network, config, tmp_path, torch.float32)
    loaded = load_bundle(str(tmp_path))
    for name, tensor in network.head.state_dict().items():
        torch.testing.assert_close(loaded.head.state_dict()[name], tensor)
    assert "sam." not in (tmp_path / "model.safetensors").read_bytes().decode("latin-1").partition("}}")[0]


def test_what_cannot_be_asked_is_refused():
    network, clip = make_network(), torch.rand(1, 2, 3, 32, 32)
    with pytest.raises(UserError, match="for each of 2 frames, or true_alpha, got 0"):
        network.decode(clip)
    with pytest.raises(UserError, match="one prompt for a picture, got 2"):
        network.decode(clip, prompts=[Prompts(points=torch.ones(2, 2)), None])
    with pytest.raises(UserError, match="32 x 32 pixels"):
        network.decode(clip, prompts=[box(0, 0, 40, 10), None])
    with pytest.raises(TypeError, match="Linear"):
        MattingAnything(nn.Linear(1, 1), MaskToMatte(**HEAD))
    with pytest.raises(ValueError, match="must be 16 for this SAM, got 256"):
        MattingAnything(make_sam(**SAM), MaskToMatte(widths=(8, 8, 8), blocks=(1, 1, 1)))
