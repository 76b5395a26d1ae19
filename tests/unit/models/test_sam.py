import pytest
import torch
from segment_anything import sam_model_registry

from glassine.models.sam import Prompts, SamTeacher, decode_masks, embed_pictures, enlarge_masks, make_sam, shrink_masks
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
