import pytest
import torch

from glassine.models.sam import Prompts, boxes_of, center_points, loosened, random_points, visible_part
from glassine.utils.errors import UserError


def masks() -> torch.Tensor:
    shapes = torch.zeros(2, 40, 60, dtype=torch.bool)
    shapes[0, 5:15, 20:51] = True
    shapes[1, 10:31, 10:31] = True  # a ring
    shapes[1, 15:26, 15:26] = False
    return shapes


def test_boxes_touch_the_outermost_pixels():
    assert boxes_of(masks()).tolist() == [[20, 5, 50, 14], [10, 10, 30, 30]]


def test_a_centre_lies_on_the_object_even_where_its_middle_is_a_hole():
    points = center_points(masks())
    assert points[0].tolist() in ([35, 9], [35, 10])
    x, y = points[1].long().tolist()
    assert masks()[1, y, x]


def test_random_points_lie_on_the_object_and_are_spread_over_it():
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([random_points(masks(), generator) for _ in range(200)]).long()  # 200 k 2
    for number, mask in enumerate(masks()):
        assert mask[drawn[:, number, 1], drawn[:, number, 0]].all()
    assert len(set(drawn[:, 0, 0].tolist())) > 25


def test_loosened_boxes_stay_near_and_in_the_picture():
    boxes = boxes_of(masks()).repeat(500, 1)
    moved = loosened(boxes, (40, 60), torch.Generator().manual_seed(0))
    assert (moved >= 0).all()
    assert (moved[:, [0, 2]] <= 59).all()
    assert (moved[:, [1, 3]] <= 39).all()
    assert (moved - boxes).abs().max() <= 20
    spread = (moved - boxes)[::2, 0].std()  # left sides of the first, which is 30 wide
    assert 2.4 < spread < 3.6


def test_scaling_takes_x_and_y_apart():
    prompts = Prompts(torch.tensor([[2.0, 3.0]]), torch.tensor([[1.0, 2.0, 3.0, 4.0]])).scaled(10, 100)
    assert prompts.points.tolist() == [[20, 300]]
    assert prompts.boxes.tolist() == [[10, 200, 30, 400]]


def test_a_fading_sticker_keeps_its_prompts_until_it_is_gone():
    alpha = torch.zeros(3, 8, 8)
    alpha[:, 2:5, 2:6] = torch.tensor([1.0, 0.1, 0.001])[:, None, None]
    alpha[0, 7, 7] = 0.3  # a faint speck beside something solid
    solid, faded, gone = visible_part(alpha)
    assert torch.equal(solid, faded)
    assert solid.sum() == 12
    assert not gone.any()


def test_whole_numbers_are_scaled_like_others():
    prompts = Prompts(torch.tensor([[100, 50]]), torch.tensor([[10, 20, 30, 40]])).scaled(0.25, 2.5)
    assert prompts.points.tolist() == [[25, 125]]
    assert prompts.boxes.tolist() == [[2.5, 50, 7.5, 100]]


@pytest.mark.parametrize(
    ("prompts", "said"),
    [
        (Prompts(torch.zeros(2, 2), torch.zeros(1, 4)), "as many of each"),
        (Prompts(torch.zeros(2)), "points k 2"),
        (Prompts(boxes=torch.tensor([[5.0, 5.0, 2.0, 9.0]])), "ends before it begins"),
    ],
)
def test_malformed_prompts_are_refused(prompts, said):
    with pytest.raises(UserError, match=said):
        prompts.check(64, 64)
