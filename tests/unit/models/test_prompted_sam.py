import pytest
import torch
from torch import nn

from glassine.models.prompted_sam import PromptedSam, SamMaskEncoder
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
