"""SAMI, against a version that treats one token after the other."""

import math

import pytest
import torch
from torch.nn import functional as F

from glassine.models.layout_encoder import LayoutEncoder, MaskedReconstruction
from glassine.pretrained.weights import with_weights
from glassine.utils.errors import UserError

# of the encoder in yformer/EfficientSAM, depth aside; w is the width
OFFICIAL = {
    "pos_embed": lambda w: (1, 197, w),
    "patch_embed.proj.weight": lambda w: (w, 3, 16, 16),
    "patch_embed.proj.bias": lambda w: (w,),
    "blocks.{}.norm1.weight": lambda w: (w,),
    "blocks.{}.norm1.bias": lambda w: (w,),
    "blocks.{}.attn.qkv.weight": lambda w: (3 * w, w),
    "blocks.{}.attn.qkv.bias": lambda w: (3 * w,),
    "blocks.{}.attn.proj.weight": lambda w: (w, w),
    "blocks.{}.attn.proj.bias": lambda w: (w,),
    "blocks.{}.norm2.weight": lambda w: (w,),
    "blocks.{}.norm2.bias": lambda w: (w,),
    "blocks.{}.mlp.fc1.weight": lambda w: (4 * w, w),
    "blocks.{}.mlp.fc1.bias": lambda w: (4 * w,),
    "blocks.{}.mlp.fc2.weight": lambda w: (w, 4 * w),
    "blocks.{}.mlp.fc2.bias": lambda w: (w,),
    "neck.0.weight": lambda w: (256, w, 1, 1),
    "neck.1.weight": lambda w: (256,),
    "neck.1.bias": lambda w: (256,),
    "neck.2.weight": lambda w: (256, 256, 3, 3),
    "neck.3.weight": lambda w: (256,),
    "neck.3.bias": lambda w: (256,),
}


def official_shapes(width: int, depth: int = 12) -> dict[str, tuple[int, ...]]:
    return {name.format(i): shape(width) for name, shape in OFFICIAL.items() for i in range(depth)}


@pytest.mark.parametrize(("width", "heads", "parameters"), [(192, 3, 6_163_840), (384, 6, 22_353_664)])
def test_vit_t_and_vit_s_have_efficient_sams_names_and_shapes(width, heads, parameters):
    with torch.device("meta"):
        network = LayoutEncoder(width, num_heads=heads)
    assert {name: tuple(t.shape) for name, t in network.state_dict().items()} == official_shapes(width)
    assert sum(p.numel() for p in network.parameters()) == parameters


def literal(state: dict[str, torch.Tensor], picture: torch.Tensor, heads: int, depth: int) -> torch.Tensor:
    """EfficientSAM's encoder written out, one picture `3 h w`, one token after the other where that is possible."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = F.conv2d(
        ((picture - mean[:, None, None]) / std[:, None, None])[None],
        state["patch_embed.proj.weight"],
        state["patch_embed.proj.bias"],
        stride=16,
    )
    grid, width = x.shape[-2:], x.shape[1]
    positions = state["pos_embed"][0, 1:].T.reshape(1, width, 14, 14)
    x = x + F.interpolate(positions, grid, mode="bicubic", align_corners=False)
    x = x[0].flatten(1).T  # l d
    for i in range(depth):
        weights = {k.removeprefix(f"blocks.{i}."): v for k, v in state.items() if k.startswith(f"blocks.{i}.")}
        y = F.layer_norm(x, (width,), weights["norm1.weight"], weights["norm1.bias"], 1e-6)
        q, k, v = (y @ weights["attn.qkv.weight"].T + weights["attn.qkv.bias"]).split(width, dim=1)
        heads_out = []
        for h in range(heads):
            part = slice(h * width // heads, (h + 1) * width // heads)
            weight = (q[:, part] @ k[:, part].T / (width // heads) ** 0.5).softmax(1)
            heads_out.append(weight @ v[:, part])
        x = x + torch.cat(heads_out, 1) @ weights["attn.proj.weight"].T + weights["attn.proj.bias"]
        y = F.layer_norm(x, (width,), weights["norm2.weight"], weights["norm2.bias"], 1e-6)
        y = F.gelu(y @ weights["mlp.fc1.weight"].T + weights["mlp.fc1.bias"])
        x = x + y @ weights["mlp.fc2.weight"].T + weights["mlp.fc2.bias"]
    x = x.T.reshape(1, width, *grid)
    for conv, norm, padding in (("neck.0", "neck.1", 0), ("neck.2", "neck.3", 1)):
        x = F.conv2d(x, state[f"{conv}.weight"], padding=padding)
        u = x.mean(1, keepdim=True)
        x = (x - u) / ((x - u).square().mean(1, keepdim=True) + 1e-6).sqrt()
        x = x * state[f"{norm}.weight"][:, None, None] + state[f"{norm}.bias"][:, None, None]
    return x[0]


def test_it_computes_what_efficient_sam_computes_and_loads_its_checkpoint(tmp_path):
    torch.manual_seed(0)
    shapes = official_shapes(24, depth=2)
    state = {name: torch.randn(shape) * 0.2 for name, shape in shapes.items()}
    # as EfficientSAM's files are: the whole SAM below "model"
    checkpoint = {f"image_encoder.{n}": t for n, t in state.items()} | {"mask_decoder.x": torch.zeros(1)}
    torch.save({"model": checkpoint}, tmp_path / "efficient_sam.pt")
    network = with_weights(LayoutEncoder(24, 2, 3), str(tmp_path / "efficient_sam.pt"), prefix="image_encoder.")
    picture = torch.rand(3, 48, 80)
    torch.testing.assert_close(network(picture[None])[0], literal(state, picture, 3, 2), rtol=1e-4, atol=1e-4)


def test_without_a_neck_the_blocks_output_is_the_feature():
    network = LayoutEncoder(24, 1, 3, position_size=64, neck_channels=None).eval()
    pictures = torch.rand(2, 3, 64, 64)
    features = network(pictures)
    assert features.shape == (2, network.out_channels, 4, 4) == (2, 24, 4, 4)
    torch.testing.assert_close(features[0, :, 1, 2], network.transform(network.embed(pictures))[0, 6])


def test_a_picture_that_does_not_fit_is_refused():
    with pytest.raises(UserError, match="multiples of 16, got 40 x 64"):
        LayoutEncoder(24, 1, 3)(torch.rand(1, 3, 40, 64))
    with pytest.raises(ValueError, match="width must be a multiple of num_heads"):
        LayoutEncoder(25, 1, 3)


WIDTH, HEADS, CHANNELS = 16, 2, 5


def small(**arguments) -> MaskedReconstruction:
    torch.manual_seed(0)
    encoder = LayoutEncoder(12, 2, 3, position_size=64, neck_channels=None)
    settings = {"decoder_width": WIDTH, "decoder_depth": 2, "decoder_heads": HEADS} | arguments
    return MaskedReconstruction(encoder, CHANNELS, **settings).eval()


def literal_reconstruction(network: MaskedReconstruction, picture: torch.Tensor, order: list[int]) -> torch.Tensor:
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
        torch.testing.assert_close(features, literal_reconstruction(network, picture, order), rtol=1e-4, atol=1e-5)


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
