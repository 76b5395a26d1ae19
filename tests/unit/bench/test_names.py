import math

import pytest
import torch
from tests.unit.data.test_thumbnails import write
from torch import nn

from glassine.bench.names import Bank, Pictures, draw_names, make_bank, on_background, score_names, true_pictures
from glassine.data.shards import StickerShards
from glassine.data.thumbnails import Thumbnails
from glassine.utils.errors import UserError


class ColorNames(nn.Module):
    """Names a picture by its strongest color, and sees its pixels."""

    names = ("red", "green", "blue")

    def forward(self, pictures):
        return pictures.mean((2, 3))

    def appearance(self, pictures):
        return pictures.flatten(1) - 0.5


def sticker(color, side=8, noise=0.0, seed=0):
    """Straight RGBA `4 h w`: a square of red, green or blue."""
    rgba = torch.zeros(4, side, side)
    rgba[3, 2:6, 2:6] = 1
    rgba[color] = 1
    rgba[:3] += noise * torch.rand(3, side, side, generator=torch.Generator().manual_seed(seed))
    return rgba.clamp(0, 1)


TRUE = [torch.stack([sticker(color), sticker(color, noise=0.6, seed=9)]) for color in range(3)]
DRAWINGS = [(0, 1)] * 3


def bank(stickers, drawings, groups=("red", "green", "blue")):
    shown = on_background(stickers, "white")
    return Bank(shown.pictures.flatten(1) - 0.5, [groups[name] for name in shown.names], drawings)


def scores(made, **arguments):
    arguments = {"bank": bank(TRUE, [0, 1] * 3), **arguments}
    return score_names(ColorNames(), ["red", "green", "blue"], made, TRUE, DRAWINGS, **arguments)


def test_true_stickers_score_as_themselves():
    found = scores(TRUE)
    for name in ("top1", "top5", "true_top1", "true_top5", "sharpness", "variety", "nearest_is_asked"):
        assert found[name] == pytest.approx((1, 1, 1), abs=1e-5), name
    assert found["nearest"].value == pytest.approx(0, abs=1e-6)
    assert found["seed_distance"] == found["drawing_distance"]
    assert found["close"].value == 1  # each is in training
    assert found["true_nearest"].value > 0.01


def test_a_wrong_color_is_a_wrong_name_and_intervals_are_over_names():
    made = [TRUE[0], TRUE[1], torch.stack([sticker(0), sticker(2)])]  # one of two seeds is right
    found = scores(made)
    assert found["top1"].value == pytest.approx(5 / 6)
    assert found["top1"].low == pytest.approx(0.5, abs=0.01)
    assert found["top1"].high == pytest.approx(1)
    assert found["top5"].value == 1
    assert found["nearest_is_asked"].value == pytest.approx(5 / 6)


def test_flat_and_equal_stickers_are_blurred_and_have_no_variety():
    soft = [torch.full((2, 4, 8, 8), 0.2) for _ in range(3)]
    found = scores(soft)
    assert found["sharpness"].value < 0.05
    assert found["variety"].value == pytest.approx(0, abs=1e-5)
    assert found["close"].value == 0


def test_one_seed_has_no_variety_to_measure():
    found = scores([rgba[:1] for rgba in TRUE])
    assert math.isnan(found["variety"].value)
    assert found["top1"].value == 1


def test_values_are_averaged_over_a_name_first():
    pictures = Pictures(torch.zeros(4, 3, 2, 2), [0, 0, 0, 1])
    assert pictures.by_name(torch.tensor([1.0, 2.0, 3.0, 10.0])).tolist() == [2, 10]


def test_names_are_drawn_over_groups_and_stand_for_all_drawings(tmp_path):
    shards = StickerShards(write(tmp_path / "s", groups=9, variants=2))
    names = draw_names(shards, 5, seed=1)
    assert len({name.group for name in names}) == 5
    assert draw_names(shards, 5, seed=1) == names
    assert draw_names(shards, 5, seed=2) != names
    whole = next(name for name in draw_names(shards, 9) if name.group == "g3")
    assert whole.name == "thing 3"
    assert whole.drawings == (0, 1, 2)  # fluent and fluent-3d are one
    shown = true_pictures(shards, whole, (12, 12))
    assert shown.shape == (3, 4, 12, 12)
    assert shown.max() <= 1
    assert {name.group for name in draw_names(shards, 2, known={"g1", "g2"})} == {"g1", "g2"}
    with pytest.raises(UserError, match="names must be 1 to 9, the groups that have one, got 10"):
        draw_names(shards, 10)


def test_a_bank_holds_each_drawing_on_the_background(tmp_path):
    thumbnails = Thumbnails(write(tmp_path / "s"), str(tmp_path / "t"), size=8)
    dataset = thumbnails.evaluation("val").setup()
    drawings = [thumbnails.drawing(variants[0].source) for variants in dataset.rows]
    found = make_bank(ColorNames(), dataset, drawings, "black")
    assert found.features.shape == (21, 3 * 64)
    assert found.groups.count("g0") == 1
    assert found.drawings == drawings
    first = dataset[0]["picture"].float() / 255
    torch.testing.assert_close(found.features[0], first[:3].flatten() - 0.5)
