"""SAM 2 as a comparison: where it is prompted, and that no other frame's truth reaches it."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    Sam2ImageProcessor,
    Sam2VideoConfig,
    Sam2VideoModel,
    Sam2VideoProcessor,
    Sam2VideoVideoProcessor,
)

from glassine.models.prompted_sam import PromptedSam, PromptedSam2, SamMaskEncoder
from glassine.models.sam import make_sam
from glassine.nn.layout_adapter import LayoutAdapter


def small() -> nn.Module:
    torch.manual_seed(0)
    return make_sam(64, 16, 1, 2, (0,), out_channels=16, decoder_mlp_dim=16)


def clip_on(background: float, frames: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    alpha = torch.zeros(1, frames, 1, 64, 64)
    alpha[..., 20:44, 12:52] = 1
    return (0.9 * alpha + background * (1 - alpha)).expand(-1, -1, 3, -1, -1), alpha


def test_each_frame_is_cut_out_alone_by_its_own_prompts():
    network = PromptedSam(small())
    clip, alpha = clip_on(0.2)
    found = network(clip, alpha)
    assert found.shape == alpha.shape
    assert set(found.unique().tolist()) <= {0.0, 1.0}
    alone = network(clip[:, 1:], alpha[:, 1:])
    torch.testing.assert_close(found[:, 1:], alone)


def test_a_frame_without_anything_to_prompt_stays_empty():
    clip, alpha = clip_on(0.2)
    alpha[:, 0] = 0
    assert not PromptedSam(small())(clip, alpha)[:, 0].any()


def test_masks_as_layout_are_asked_for_by_what_differs_from_the_background():
    encoder = SamMaskEncoder(small())
    clip, _ = clip_on(0.2)
    pictures = clip[:, 0]
    assert encoder.boxes(pictures).tolist() == [[12, 20, 51, 43]]
    assert encoder.boxes(torch.full((1, 3, 64, 64), 0.3)).tolist() == [[0, 0, 63, 63]]
    masks = encoder(pictures)
    assert masks.shape == (1, encoder.out_channels, 4, 4)
    assert masks.min() >= 0
    assert masks.max() <= 1


def test_the_adapter_takes_masks_where_it_takes_features():
    adapter = LayoutAdapter(SamMaskEncoder(small()), depth=1, width=8)
    clip, _ = clip_on(0.2)
    assert adapter(clip, (8, 8)).shape == (1, 2, 4, 8, 8)
    assert not [n for n, p in adapter.named_parameters() if n.startswith("image_encoder") and p.requires_grad]


def test_another_network_is_refused():
    with pytest.raises(TypeError, match="got a Linear"):
        PromptedSam(nn.Linear(1, 1))


SMALL = Path(__file__).parents[2] / "helpers" / "sam2_small.json"
HEIGHT, WIDTH = 37, 80  # 64 is between: one side grows, the other shrinks
HALF_SIDES = (0, 6, 10, 4)  # of the subject, frame by frame
FIRST, LARGEST = 1, 2


def make_network(seed: int) -> Sam2VideoModel:
    """SAM 2 of 64 pixels, untrained, but sure that the subject is on every frame, as else its masks are empty."""
    torch.manual_seed(seed)
    network = Sam2VideoModel(Sam2VideoConfig(**json.loads(SMALL.read_text())))
    torch.nn.init.constant_(network.mask_decoder.pred_obj_score_head.proj_out.bias, 10.0)
    return network


@pytest.fixture(scope="module")
def network() -> Sam2VideoModel:
    return make_network(0)


@pytest.fixture(scope="module")
def clip() -> Tensor:
    return torch.rand(1, len(HALF_SIDES), 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def alpha() -> Tensor:
    """Squares around one place."""
    alpha = torch.zeros(1, len(HALF_SIDES), 1, HEIGHT, WIDTH)
    for frame, half in enumerate(HALF_SIDES):
        alpha[:, frame, :, 18 - half : 18 + half, 40 - half : 40 + half] = 1
    return alpha


def smaller(alpha: Tensor, frames: list[int]) -> Tensor:
    """The same with the subject's right edge cut off on these frames."""
    cut = alpha.clone()
    cut[:, frames, :, :, 41:] = 0
    return cut


def test_each_clip_of_a_batch_gets_masks_of_its_own_size(network, clip, alpha):
    clips, truths = torch.cat([clip, clip.flip(1)]), torch.cat([alpha, alpha.roll(1, dims=1)])
    masks, soft = PromptedSam2(network)(clips, truths), PromptedSam2(network, soft=True)(clips, truths)
    assert masks.shape == truths.shape
    assert masks.unique().tolist() == [0, 1]
    assert torch.equal(masks, (soft > 0.5).float())
    torch.testing.assert_close(soft[:1], PromptedSam2(network, soft=True)(clip, alpha))


def test_it_asks_and_answers_as_transformers_own_processor(network, clip, alpha):
    processor = Sam2VideoProcessor(
        Sam2ImageProcessor(size={"height": 64, "width": 64}),
        Sam2VideoVideoProcessor(size={"height": 64, "width": 64}, do_rescale=False),
    )
    session = processor.init_video_session(clip[0])
    # the square's first and last pixels, and the one nearest to its center between pixels
    box, point = [[[30.0, 8.0, 49.0, 27.0]]], [[[[39.0, 17.0]]]]
    processor.add_inputs_to_inference_session(
        session, LARGEST, obj_ids=1, input_points=point, input_labels=[[[1]]], input_boxes=box
    )
    answers = {}
    for reverse in (False, True):
        for output in network.propagate_in_video_iterator(session, LARGEST, reverse=reverse):
            answers[output.frame_idx] = output.pred_masks
    expected = [
        processor.post_process_masks([answers[frame]], [[HEIGHT, WIDTH]], binarize=False)[0].sigmoid()
        for frame in range(len(HALF_SIDES))
    ]
    torch.testing.assert_close(PromptedSam2(network, soft=True)(clip, alpha), torch.cat(expected)[None])


@pytest.mark.parametrize(("prompt_first", "prompted"), [(False, LARGEST), (True, FIRST)])
def test_the_truth_of_one_frame_alone_is_read(network, clip, alpha, prompt_first, prompted):
    method = PromptedSam2(network, soft=True, prompt_first=prompt_first)
    result = method(clip, alpha)
    others = [frame for frame in range(len(HALF_SIDES)) if frame != prompted]
    assert torch.equal(method(clip, smaller(alpha, others)), result)
    told_otherwise = method(clip, smaller(alpha, [FIRST, LARGEST]))
    assert ((told_otherwise - result).abs().amax((0, 2, 3, 4)) > 1e-3).all()  # on every frame, before it and after


def test_a_clip_without_a_subject_is_clear_and_leaves_the_others_alone(network, clip, alpha):
    faint = torch.full_like(alpha, 0.002)
    masks = PromptedSam2(network)(torch.cat([clip, clip]), torch.cat([faint, alpha]))
    assert not masks[0].any()
    assert torch.equal(masks[1:], PromptedSam2(network)(clip, alpha))


def test_a_still_is_prompted_too(network, clip, alpha):
    still = PromptedSam2(network)(clip[:, LARGEST : LARGEST + 1], alpha[:, LARGEST : LARGEST + 1])
    assert torch.equal(still, PromptedSam2(network)(clip, alpha)[:, LARGEST : LARGEST + 1])


def test_it_stays_frozen_and_its_weights_travel(network, clip, alpha):
    method, other = PromptedSam2(network, soft=True).train(), PromptedSam2(make_network(1), soft=True)
    result = method(clip, alpha)
    assert not any(p.requires_grad for p in method.parameters())
    assert torch.equal(method(clip, alpha), result)  # no dropout
    assert not torch.equal(other(clip, alpha), result)
    other.load_state_dict(method.state_dict())
    assert torch.equal(other(clip, alpha), result)


def test_what_does_not_fit_is_refused(network, clip, alpha):
    with pytest.raises(ValueError, match="must be of one size"):
        PromptedSam2(network)(clip, alpha[..., 1:])
    with pytest.raises(TypeError, match="must be a transformers Sam2VideoModel, got a Conv2d"):
        PromptedSam2(torch.nn.Conv2d(3, 1, 1))
