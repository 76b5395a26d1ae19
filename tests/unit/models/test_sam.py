import pytest
import torch
from segment_anything import sam_model_registry

from glassine.models.sam import (
    Prompts,
    SamTeacher,
    TimmImageEncoder,
    boxes_of,
    center_points,
    decode_masks,
    embed_pictures,
    enlarge_masks,
    loosened,
    make_sam,
    random_points,
    shrink_masks,
    visible_part,
)
from glassine.utils.errors import UserError


def small(**arguments):
    torch.manual_seed(0)
    sizes = {"image_size": 64, "embed_dim": 16, "depth": 2, "num_heads": 2, "out_channels": 16, "decoder_mlp_dim": 32}
    return make_sam(**sizes | {"global_attn_indexes": (1,), "window_size": 2} | arguments).eval()


@pytest.mark.parametrize(
    ("name", "sizes", "encoder"),
    [
        ("vit_b", {}, 89_670_912),
        ("vit_l", {"embed_dim": 1024, "depth": 24, "num_heads": 16, "global_attn_indexes": (5, 11, 17, 23)}, None),
        (
            "vit_h",
            {"embed_dim": 1280, "depth": 32, "num_heads": 16, "global_attn_indexes": (7, 15, 23, 31)},
            637_026_048,
        ),
    ],
)
def test_at_the_official_sizes_it_is_the_official_sam(name, sizes, encoder):
    with torch.device("meta"):
        ours, official = make_sam(**sizes), sam_model_registry[name]()
    shapes = [{n: t.shape for n, t in network.state_dict().items()} for network in (ours, official)]
    assert shapes[0] == shapes[1]
    if encoder is not None:
        assert sum(p.numel() for p in ours.image_encoder.parameters()) == encoder


def test_it_computes_what_sams_own_forward_computes():
    sam = small()
    picture = torch.rand(3, 64, 48)
    points, boxes = torch.tensor([[20.0, 30.0]]), torch.tensor([[4.0, 5.0, 40.0, 50.0]])
    theirs = sam(
        [
            {
                "image": picture * 255,
                "original_size": (64, 48),
                "point_coords": points[:, None],
                "point_labels": torch.ones(1, 1),
                "boxes": boxes,
            }
        ],
        multimask_output=True,
    )[0]
    embedding = embed_pictures(sam, picture[None])
    masks, iou = decode_masks(sam, embedding, Prompts(points, boxes), (64, 48), multimask=True)
    torch.testing.assert_close(masks, theirs["low_res_logits"])
    torch.testing.assert_close(iou, theirs["iou_predictions"])
    assert torch.equal(enlarge_masks(sam, masks, (64, 48)) > 0, theirs["masks"])


def test_prompts_are_in_pixels_of_the_picture_whatever_its_size():
    sam = small()
    embedding = torch.rand(1, 16, 4, 4)
    at_64 = decode_masks(sam, embedding, Prompts(torch.tensor([[16.0, 32.0]])), (64, 64), multimask=False)[0]
    at_128 = decode_masks(sam, embedding, Prompts(torch.tensor([[32.0, 64.0]])), (128, 128), multimask=False)[0]
    torch.testing.assert_close(at_64, at_128)


@pytest.mark.parametrize(
    ("prompts", "said"),
    [
        (Prompts(points=torch.tensor([[70.0, 3.0]])), "inside the picture of 48 x 64 pixels, got one at x 70, y 3"),
        (Prompts(boxes=torch.tensor([[0.0, -1.0, 9.0, 9.0]])), r"x 0, y -1"),
        (Prompts(), "must be points, boxes or both"),
    ],
)
def test_a_prompt_outside_the_picture_is_refused(prompts, said):
    with pytest.raises(UserError, match=said):
        decode_masks(small(), torch.rand(1, 16, 4, 4), prompts, (64, 48), multimask=False)


def test_masks_shrink_as_they_are_enlarged():
    sam, masks = small(), torch.zeros(1, 64, 32)
    masks[:, 16:48, 8:24] = 1
    shrunk = shrink_masks(sam, masks)
    assert shrunk.shape == (1, 16, 16)
    assert shrunk[:, :, 8:].sum() == 0  # the padding at the right
    enlarged = enlarge_masks(sam, shrunk[:, None] - 0.5, (64, 32))[:, 0] > 0
    assert (enlarged == masks.bool()).float().mean() > 0.95


def test_a_teacher_leaves_the_padding_out_and_is_known_by_its_weights():
    sam = small()
    teacher = SamTeacher(sam)
    assert teacher(torch.rand(2, 3, 100, 100)).shape == (2, 16, 4, 4)
    assert teacher(torch.rand(2, 3, 32, 128)).shape == (2, 16, 1, 4)
    again = SamTeacher(small())
    assert teacher.identity == again.identity
    with torch.no_grad():
        sam.image_encoder.neck[0].weight[0, 0] += 0.01
    assert SamTeacher(sam).identity["digest"] != again.identity["digest"]
    assert SamTeacher(small(image_size=128)).identity["image_size"] == "128"
    with pytest.raises(TypeError, match="must be a segment_anything Sam, got a Linear"):
        SamTeacher(torch.nn.Linear(1, 1))


def test_sizes_that_do_not_go_together_are_refused():
    with pytest.raises(ValueError, match=r"image_size must be a multiple of patch_size, .* got 60 and"):
        small(image_size=60)


@pytest.mark.parametrize(
    ("name", "stage"), [("mobilenetv4_conv_small_050", 3), ("mobilenetv3_small_050", 2), ("resnet18", 3)]
)
def test_the_map_has_the_stated_size_and_every_parameter_has_a_part_in_it(name, stage):
    encoder = TimmImageEncoder(name, stage)
    features = encoder(torch.rand(2, 3, 64, 96))
    assert features.shape == (2, encoder.out_channels, 64 // encoder.stride, 96 // encoder.stride)
    features.square().sum().backward()
    assert [name for name, p in encoder.named_parameters() if p.grad is None] == []


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
        (Prompts(torch.zeros(2)), "points must be k 2"),
        (Prompts(boxes=torch.tensor([[5.0, 5.0, 2.0, 9.0]])), "ends before it begins"),
    ],
)
def test_malformed_prompts_are_refused(prompts, said):
    with pytest.raises(UserError, match=said):
        prompts.check(64, 64)
