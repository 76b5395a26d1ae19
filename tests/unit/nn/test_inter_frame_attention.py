import pytest
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import nn

from glassine.nn.inter_frame_attention import CurrentPass, InterFrameAttention, reference_frame
from glassine.nn.layout_adapter import LayerAttention
from glassine.utils.errors import UserError

FRAMES, WIDTH, HEADS = 5, 8, 2


def attention(processor_before: nn.Module | None = None, **options):
    """A self-attention, and the processor put on it, for clips of `FRAMES`."""
    torch.manual_seed(0)
    attn = Attention(WIDTH, heads=HEADS, dim_head=WIDTH // HEADS).requires_grad_(False)
    if processor_before is not None:
        attn.set_processor(processor_before)
    processor = InterFrameAttention(attn, CurrentPass(FRAMES), **options)
    attn.set_processor(processor)
    return attn, processor


def tokens(clips: int = 2) -> torch.Tensor:
    return torch.randn(clips * FRAMES, 6, WIDTH, generator=torch.Generator().manual_seed(1))


def by_hand(attn: Attention, processor: InterFrameAttention, x: torch.Tensor, index: int) -> torch.Tensor:
    """Equation 3, frame by frame and head by head."""
    out = torch.zeros_like(x)
    size = WIDTH // HEADS
    for row in range(len(x)):
        reference = x[row // FRAMES * FRAMES + index]
        query, key, value = processor.to_q(x[row]), attn.to_k(reference), attn.to_v(reference)
        for part in (slice(head * size, (head + 1) * size) for head in range(HEADS)):
            weights = (query[:, part] @ key[:, part].T / size**0.5).softmax(-1)
            out[row, :, part] = weights @ value[:, part]
    return out @ processor.to_out.weight.T


@pytest.mark.parametrize(("reference", "index"), [("middle", 2), ("first", 0), (4, 4)])
@torch.no_grad()
def test_it_is_equation_3_beside_self_attention(reference, index):
    attn, processor = attention(reference=reference)
    nn.init.normal_(processor.to_out.weight)
    nn.init.normal_(processor.to_q.weight)
    x = tokens()
    wanted = AttnProcessor2_0()(attn, x) + by_hand(attn, processor, x, index)
    torch.testing.assert_close(attn(x), wanted, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_plain_matrix_products_give_the_same():
    attn, processor = attention()
    nn.init.normal_(processor.to_out.weight)
    fused = attn(tokens())
    processor.without_fused_attention()
    torch.testing.assert_close(attn(tokens()), fused, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_it_starts_as_self_attention_bit_for_bit_and_w_q_as_its_own():
    attn, processor = attention()
    assert torch.equal(processor.to_q.weight, attn.to_q.weight)
    assert not processor.to_out.weight.any()
    assert torch.equal(attn(tokens()), AttnProcessor2_0()(attn, tokens()))


def test_two_matrices_are_all_that_learns():
    attn, processor = attention()
    assert {n: tuple(p.shape) for n, p in attn.named_parameters() if p.requires_grad} == {
        "processor.to_q.weight": (WIDTH, WIDTH),
        "processor.to_out.weight": (WIDTH, WIDTH),
    }
    nn.init.normal_(processor.to_out.weight)
    attn(tokens()).square().mean().backward()
    assert processor.to_q.weight.grad.any()
    assert processor.to_out.weight.grad.any()


@torch.no_grad()
def test_every_clip_looks_at_its_own_reference_frame():
    attn, processor = attention()
    nn.init.normal_(processor.to_out.weight)
    x, other = tokens(), tokens()
    other[FRAMES + 2] += 1  # the middle frame of the second clip
    change = (attn(other) - attn(x)).abs().amax((1, 2))
    assert not change[:FRAMES].any()
    assert (change[FRAMES:] > 0).all()


@torch.no_grad()
def test_replacing_takes_keys_and_values_of_the_reference_frame_for_each_frames_own():
    attn, processor = attention(mode="replace", reference="first")
    x = tokens(clips=1)
    shown = AttnProcessor2_0()(attn, x, x[:1].expand_as(x).contiguous())
    torch.testing.assert_close(attn(x), shown)
    assert torch.equal(processor.to_out.weight, attn.to_out[0].weight)


@pytest.mark.parametrize("mode", ["add", "replace"])
@torch.no_grad()
def test_layer_attention_goes_on_within(mode):
    layer = LayerAttention(WIDTH)
    nn.init.normal_(layer.temporal_o.weight)
    attn, processor = attention(layer, mode=mode)
    plain, same = attention(mode=mode)
    same.load_state_dict(processor.state_dict(), strict=False)
    x = tokens()
    wanted = layer.after(x, plain(x))  # as untrained, nothing is added
    torch.testing.assert_close(attn(x), wanted)
    assert "processor.self_attention.temporal_o.weight" in attn.state_dict()


@pytest.mark.parametrize("mode", ["add", "replace"])
@torch.no_grad()
def test_stills_are_left_alone(mode):
    attn, processor = attention(mode=mode)
    nn.init.normal_(processor.to_out.weight)
    processor.current.still = True
    assert torch.equal(attn(tokens()), AttnProcessor2_0()(attn, tokens()))


def test_the_middle_of_16_frames_is_number_8():
    assert [reference_frame("middle", frames) for frames in (1, 2, 8, 16)] == [0, 1, 4, 8]


def test_frames_and_modes_that_there_are_not_are_named():
    with pytest.raises(UserError, match=r"reference_frame must be in \[0, 7\] for 8 frames, got 8"):
        reference_frame(8, 8)
    with pytest.raises(UserError, match="reference_frame must be middle, first or a number, got 'last'"):
        attention(reference="last")
    with pytest.raises(UserError, match="must be add or replace, got 'concat'"):
        attention(mode="concat")
    attn, _ = attention(reference=7)
    with pytest.raises(UserError, match=r"\[0, 4\] for 5 frames, got 7"):
        attn(tokens())
