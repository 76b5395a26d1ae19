"""SAMI, against a version that treats one token after the other."""

import math

import pytest
import torch
from torch.nn import functional as F

from glassine.models.layout_encoder import LayoutEncoder, MaskedReconstruction

WIDTH, HEADS, CHANNELS = 16, 2, 5


def small(**arguments) -> MaskedReconstruction:
    torch.manual_seed(0)
    encoder = LayoutEncoder(12, 2, 3, position_size=64, neck_channels=None)
    settings = {"decoder_width": WIDTH, "decoder_depth": 2, "decoder_heads": HEADS} | arguments
    return MaskedReconstruction(encoder, CHANNELS, **settings).eval()


def literal(network: MaskedReconstruction, picture: torch.Tensor, order: list[int]) -> torch.Tensor:
    """SAMI for one picture `3 h w`, token by token; `order` says which tokens are shown first."""
    grid = [side // 16 for side in picture.shape[-2:]]
    shown = sorted(order[: network.visible_count(len(order))])
    tokens = network.encoder.embed(picture[None])[0]  # l d
    seen = network.encoder.transform(torch.stack([tokens[i] for i in shown])[None])[0]
    rebuilt: dict[int, torch.Tensor] = {}
    anchors: dict[int, torch.Tensor] = {}
    for place, feature in zip(shown, seen, strict=True):
        rebuilt[place] = network.decoder_embed(feature)
        anchors[place] = rebuilt[place] + position(place, grid)
    hidden = [i for i in range(len(order)) if i not in shown]
    masked = {i: network.mask_token + position(i, grid) for i in hidden}
    for block in network.decoder:
        context = [block.context_norm(x) for x in (*anchors.values(), *masked.values())]
        masked = {i: answer(block, x, context) for i, x in masked.items()}
    rebuilt |= {i: network.decoder_norm(x) for i, x in masked.items()}
    features = [network.head(rebuilt[i]) for i in range(len(order))]  # in the picture's order
    return torch.stack(features, dim=1).reshape(CHANNELS, *grid)


def answer(block, query: torch.Tensor, context: list[torch.Tensor]) -> torch.Tensor:
    """One masked token after one block."""
    weight, bias = block.attention.in_proj_weight.chunk(3), block.attention.in_proj_bias.chunk(3)
    q = weight[0] @ block.query_norm(query) + bias[0]
    heads = []
    for part in torch.arange(WIDTH).chunk(HEADS):
        scores = [q[part] @ (weight[1] @ c + bias[1])[part] / math.sqrt(len(part)) for c in context]
        shares = torch.stack(scores).softmax(0)
        heads.append(sum(share * (weight[2] @ c + bias[2])[part] for share, c in zip(shares, context, strict=True)))
    query = query + block.attention.out_proj(torch.cat(heads))
    hidden = F.gelu(block.mlp.fc1(block.mlp_norm(query)))
    return query + block.mlp.fc2(hidden)


def position(place: int, grid: list[int]) -> torch.Tensor:
    """Sines of row and column, then cosines, a quarter of the width each."""
    row, column = divmod(place, grid[1])
    quarter = WIDTH // 4
    waves = [1 / 10000 ** (k / quarter) for k in range(quarter)]
    return torch.tensor([f(x * w) for f in (math.sin, math.cos) for x in (row, column) for w in waves])


@pytest.mark.parametrize("size", [(64, 64), (32, 80)])
@pytest.mark.parametrize("mask_ratio", [0.75, 0.4])
def test_it_equals_the_literal_version(size, mask_ratio):
    network = small(mask_ratio=mask_ratio)
    pictures = torch.rand(2, 3, *size)
    orders = network.draw_order(2, size[0] * size[1] // 256, torch.Generator().manual_seed(1))
    rebuilt = network(pictures, torch.Generator().manual_seed(1))
    for picture, order, features in zip(pictures, orders.tolist(), rebuilt, strict=True):
        torch.testing.assert_close(features, literal(network, picture, order), rtol=1e-4, atol=1e-5)


def test_hidden_patches_do_not_reach_the_student():
    network = small()
    pictures = torch.rand(1, 3, 64, 64)
    order = network.draw_order(1, 16, torch.Generator().manual_seed(3))[0]
    hidden = int(order[-1])
    changed = pictures.clone()
    row, column = divmod(hidden, 4)
    changed[:, :, 16 * row : 16 * row + 16, 16 * column : 16 * column + 16] = 0
    one, other = (network(x, torch.Generator().manual_seed(3)) for x in (pictures, changed))
    torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_a_quarter_of_the_patches_is_shown_by_default_and_at_least_one():
    assert small().visible_count(196) == 49
    assert small(mask_ratio=0.99).visible_count(16) == 1


def test_without_masks_nothing_is_rebuilt_and_the_student_gives_all():
    network = small(mask_ratio=0.0)
    pictures = torch.rand(1, 3, 64, 64)
    features = network.head(network.decoder_embed(network.encoder.transform(network.encoder.embed(pictures))))
    torch.testing.assert_close(network(pictures), features.transpose(1, 2).reshape(1, CHANNELS, 4, 4))


def test_decoder_and_student_all_learn():
    network = small().train()
    network(torch.rand(2, 3, 64, 64)).square().mean().backward()
    without = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert not [n for n in without if "in_proj_bias" not in n]


@pytest.mark.parametrize("arguments", [{"mask_ratio": 1.0}, {"mask_ratio": -0.1}, {"decoder_width": 18}])
def test_impossible_sizes_are_refused(arguments):
    with pytest.raises(ValueError, match=r"must be .*, got"):
        small(**arguments)
