import math

import pytest
import torch
from torch import nn

from glassine.nn.sti import STI, STILayer
from glassine.utils.errors import UserError

CHANNELS, FRAMES = 16, 8


def layer(seed=0, **choices):
    torch.manual_seed(seed)
    return STILayer(CHANNELS, 8, 4, STI(zero_init=choices.pop("zero_init", False), **choices)).eval()


def run(sti, x, frames=FRAMES):
    return sti(x, num_frames=frames, return_dict=False)[0]


def position(step, third, channels):
    """A sinusoid by hand: sines, then cosines."""
    rates = [10_000 ** (-2 * i / channels) for i in range(channels // 2)]
    return [math.sin(step * r) for r in rates] + [math.cos(step * r) for r in rates]


def literal(sti, x, frames):
    """The layer as the paper says it, for one clip, token after token (gamma 2, nearest, one number for the mix)."""
    channels, height, width = x.shape[1:]
    clip = x.permute(1, 0, 2, 3)[None]  # 1 c f h w
    y = torch.nn.functional.group_norm(clip, sti.norm.num_groups, sti.norm.weight, sti.norm.bias, 1e-6)[0]  # c f h w
    # semantic interaction: the mean of each 2 x 2 region of each frame is a token
    tokens, places = [], []
    for f in range(frames):
        for i in range(0, height, 2):
            for j in range(0, width, 2):
                region = y[:, f, i : i + 2, j : j + 2].flatten(1).mean(1)
                third = channels // 6 * 2
                where = position(f, 0, channels - 2 * third) + position(i // 2, 1, third) + position(j // 2, 2, third)
                tokens.append(region + torch.tensor(where))
                places.append((f, i, j))
    for block in sti.semantic[:2]:
        attention, normed = block.attention, [block.norm(token) for token in tokens]
        out = []
        for token, query in zip(tokens, normed, strict=True):
            heads = []
            for h in range(attention.heads):
                part = slice(8 * h, 8 * h + 8)
                q = (attention.to_q.weight @ query)[part]
                keys = [(attention.to_k.weight @ key)[part] for key in normed]
                values = [(attention.to_v.weight @ value)[part] for value in normed]
                weights = torch.softmax(torch.stack([q @ k / math.sqrt(8) for k in keys]), 0)
                heads.append(sum(w * v for w, v in zip(weights, values, strict=True)))
            out.append(token + attention.to_out[0](torch.cat(heads)))
        tokens = out
    feed = sti.semantic[2]
    for n, token in enumerate(tokens):
        value, gate = feed.feed.net[0].proj(feed.norm(token)).chunk(2)
        tokens[n] = token + feed.feed.net[2](value * nn.functional.gelu(gate))
    semantic = torch.zeros(frames, channels, height, width)
    for token, (f, i, j) in zip(tokens, places, strict=True):
        semantic[f, :, i : i + 2, j : j + 2] = token[:, None, None]
    # detail preservation: each pixel with itself in the frames before and after
    (convolution,) = sti.detail
    detail = torch.zeros(frames, channels, height, width)
    for f in range(frames):
        detail[f] += convolution.bias[:, None, None]
        for k in (-1, 0, 1):
            if 0 <= f + k < frames:
                detail[f] += torch.einsum("oc,chw->ohw", convolution.weight[:, :, k + 1, 0, 0], y[:, f + k])
    share = torch.sigmoid(sti.mix.logit)
    mixed = share * semantic + (1 - share) * detail
    projected = torch.einsum("oc,fchw->fohw", sti.proj_out.weight[:, :, 0, 0], mixed)
    return x + projected + sti.proj_out.bias[:, None, None]


@torch.no_grad()
@pytest.mark.parametrize("size", [(4, 4), (3, 5)])
def test_it_is_the_papers_layer_written_out(size):
    sti = layer(upsample="nearest", share=0.3)
    x = torch.randn(3, CHANNELS, *size)
    torch.testing.assert_close(run(sti, x, 3), literal(sti, x, 3), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_untrained_it_changes_nothing_unless_asked_to():
    x = torch.randn(2 * FRAMES, CHANNELS, 8, 8)
    assert torch.equal(run(layer(zero_init=True), x), x)
    assert not torch.equal(run(layer(), x), x)


@torch.no_grad()
def test_every_region_of_every_frame_is_seen_but_details_stay_at_their_pixel():
    sti = layer()
    sti.norm = nn.Identity()  # its statistics are the clip's
    x = torch.randn(FRAMES, CHANNELS, 8, 8)
    other = x.clone()
    other[0, :, 0, 0] += torch.randn(CHANNELS)
    assert (run(sti, other) - run(sti, x))[7, :, 7, 7].abs().max() > 1e-6

    nn.init.constant_(sti.mix.logit, -100.0)  # the detail branch alone
    changed = (run(sti, other) - run(sti, x)).abs().amax(1) > 0  # f h w
    assert changed.nonzero().tolist() == [[0, 0, 0], [1, 0, 0]]


@torch.no_grad()
def test_clips_of_a_batch_do_not_meet():
    sti = layer()
    x = torch.randn(2 * FRAMES, CHANNELS, 4, 4)
    torch.testing.assert_close(run(sti, x)[:FRAMES], run(sti, x[:FRAMES]), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 3), (5, 7), (8, 6)])
@pytest.mark.parametrize("gamma", [1, 2, 4])
@pytest.mark.parametrize("downsample", ["mean", "max", "convolution"])
def test_any_size_goes_whatever_gamma(size, gamma, downsample):
    x = torch.randn(2 * 3, CHANNELS, *size)
    for upsample in ("bilinear", "nearest"):
        out = run(layer(gamma=gamma, downsample=downsample, upsample=upsample), x, 3)
        assert out.shape == x.shape
        assert out.isfinite().all()


@torch.no_grad()
def test_windows_that_are_cut_off_at_the_border_weigh_their_own_pixels_alone():
    small = layer(gamma=4).shrink(torch.ones(1, CHANNELS, 5, 3))
    torch.testing.assert_close(small, torch.ones(1, CHANNELS, 2, 1))


@pytest.mark.parametrize(
    ("choices", "more"),
    [
        ({"attentions": 1}, -(4 * CHANNELS**2 + 3 * CHANNELS)),
        ({"feed_forward": False}, -(12 * CHANNELS**2 + 11 * CHANNELS)),
        ({"kernel_sizes": (1, 3, 5)}, 6 * CHANNELS**2 + 2 * CHANNELS),
        ({"mix": "channel"}, CHANNELS - 1),
        ({"mix": "free"}, 1),
        ({"downsample": "convolution"}, 4 * CHANNELS**2 + CHANNELS),
        ({"positions": "none"}, 0),
        ({"positions": "frames"}, 0),
        ({"gamma": 4}, 0),
        ({"upsample": "nearest"}, 0),
    ],
)
def test_each_choice_has_its_parameters_and_all_of_them_learn(choices, more):
    sti = layer(**choices)
    count = sum(parameter.numel() for parameter in sti.parameters())
    assert count == sum(parameter.numel() for parameter in layer().parameters()) + more
    x = torch.randn(FRAMES, CHANNELS, 8, 8)
    with torch.no_grad():
        assert torch.allclose(run(sti, x), run(layer(), x), atol=1e-5) is ("mix" in choices)  # mixes start alike
    run(sti, x).square().sum().backward()
    assert [name for name, p in sti.named_parameters() if p.grad is None or not p.grad.any()] == []


@torch.no_grad()
@pytest.mark.parametrize(
    ("positions", "frame_matters"), [("none", False), ("frames", True), ("frames_and_space", True)]
)
def test_without_positions_the_semantic_branch_knows_no_order(positions, frame_matters):
    sti = layer(positions=positions)
    y = torch.randn(FRAMES, CHANNELS, 4, 4)
    there = sti.interact(y, FRAMES)
    back = sti.interact(y.flip(0), FRAMES).flip(0)
    assert torch.allclose(there, back, atol=1e-5) is not frame_matters


def test_where_the_semantic_branch_starts_is_its_share():
    sti = layer(share=0.8)
    a, b = torch.zeros(1, CHANNELS, 1, 1), torch.ones(1, CHANNELS, 1, 1)
    assert sti.mix(a, b).mean().item() == pytest.approx(0.8)
    assert layer(share=0.8, mix="free").mix(a, b).mean().item() == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"gamma": 0}, "gamma and attentions must be at least 1, got 0"),
        ({"kernel_sizes": (2,)}, r"kernel_sizes must be odd, .*, got \[2\]"),
        ({"kernel_sizes": ()}, "must be odd"),
        ({"mix": "sum"}, "mix must be layer or channel or free, got 'sum'"),
        ({"share": 1.0}, r"share must be in \(0, 1\), got 1.0"),
    ],
)
def test_wrong_choices_are_named(choices, message):
    with pytest.raises(UserError, match=message):
        layer(**choices)


def test_heads_that_do_not_fit_are_named():
    with pytest.raises(UserError, match="head_dim must divide all widths, got 5 for 16"):
        STILayer(16, 5, 4, STI())
