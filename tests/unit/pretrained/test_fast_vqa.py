import pytest
import torch
from torch.nn import functional
from torchvision.models.video import Swin3D_T_Weights
from torchvision.models.video.swin_transformer import ShiftedWindowAttention3d

from glassine.metrics.vqa import VQA
from glassine.pretrained import fast_vqa as module
from glassine.pretrained.fast_vqa import (
    FastVQA,
    GatedWindowAttention3d,
    fast_vqa,
    fragment_distance,
    torchvision_name,
)
from glassine.utils.errors import UserError


def small():
    torch.manual_seed(0)
    return FastVQA(embed_dim=4, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1), hidden=2).eval()


def authors_name(name):
    """The other way round than `torchvision_name`, written apart from it."""
    if name.startswith("fc_"):
        return f"vqa_head.{name}"
    parts = name.split(".")
    if parts[1] == "features":
        stage, downsample = divmod(int(parts[2]), 2)
        parts[1:3] = ["layers", str(stage), "downsample"] if downsample else ["layers", str(stage), "blocks"]
        if "mlp" in parts:
            place = parts.index("mlp") + 1
            parts[place] = {"0": "fc1", "3": "fc2"}[parts[place]]
    return ".".join(["fragments_backbone", *parts[1:]])


def test_the_full_network_has_torchvisions_parameters_three_stages_of_tables_and_a_head():
    with torch.device("meta"):
        network = FastVQA()
    count = sum(parameter.numel() for parameter in network.parameters())
    body = Swin3D_T_Weights.KINETICS400_V1.meta["num_params"] - (768 * 400 + 400)
    tables = 15 * 13 * 13 * (2 * 3 + 2 * 6 + 6 * 12)
    head = 768 * 64 + 64 + 64 + 1
    assert count == body + tables + head == 28_127_901


def test_the_authors_names_find_their_places():
    pairs = {
        "fragments_backbone.patch_embed.proj.weight": "backbone.patch_embed.proj.weight",
        "fragments_backbone.layers.2.blocks.5.attn.fragment_position_bias_table":
            "backbone.features.4.5.attn.fragment_position_bias_table",
        "fragments_backbone.layers.0.blocks.1.mlp.fc2.bias": "backbone.features.0.1.mlp.3.bias",
        "fragments_backbone.layers.1.downsample.reduction.weight": "backbone.features.3.reduction.weight",
        "fragments_backbone.norm.bias": "backbone.norm.bias",
        "vqa_head.fc_hid.weight": "fc_hid.weight",
        "backbone.layers.3.blocks.0.attn.qkv.weight": "backbone.features.6.0.attn.qkv.weight",
        "cls_head.fc_last.bias": "fc_last.bias",
    }  # fmt: skip
    assert {name: torchvision_name(name) for name in pairs} == pairs
    with torch.device("meta"):
        names = set(FastVQA().state_dict())
    assert {torchvision_name(authors_name(name)) for name in names} == names
    assert set(pairs.values()) <= names


def test_a_file_of_the_authors_loads(monkeypatch, tmp_path):
    trained = small()
    state = {authors_name(name): tensor + 1 for name, tensor in trained.state_dict().items() if "index" not in name}
    state |= {authors_name(name): tensor for name, tensor in trained.state_dict().items() if "index" in name}
    torch.save({"state_dict": state, "validation_results": (0.8, 0.8, 0.6, 9.0)}, tmp_path / "FAST_VQA_B_1_4.pth")
    monkeypatch.setattr(module, "FastVQA", small)
    loaded = fast_vqa(str(tmp_path / "FAST_VQA_B_1_4.pth"))
    torch.testing.assert_close(loaded.state_dict(), {torchvision_name(name): t for name, t in state.items()})
    assert not loaded.training


def test_a_missing_file_and_one_of_another_network_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "FastVQA", small)
    with pytest.raises(UserError, match="no weight file at"):
        fast_vqa(str(tmp_path / "missing.pth"))
    state = {authors_name(name): tensor for name, tensor in small().state_dict().items() if "fragment_" not in name}
    torch.save(state, tmp_path / "plain.pth")
    with pytest.raises(UserError, match=r"does not match FastVQA: .*fragment_position_bias_table is missing"):
        fast_vqa(str(tmp_path / "plain.pth"))


@pytest.mark.parametrize("shift", [(0, 0), (3, 3)])
def test_distances_between_tokens_count_fragments(shift):
    # what the authors do: nearest interpolation of the fragments' places
    grid = torch.stack(torch.meshgrid(torch.arange(7.0), torch.arange(7.0), indexing="ij"))
    places = functional.interpolate(grid[None], size=(14, 28))[0].roll((-shift[0], -shift[1]), dims=(1, 2))
    distance = fragment_distance(14, 28, (7, 7), shift)
    assert distance.shape == (2 * 4, 49, 49)
    for window, (top, left) in enumerate((top, left) for top in (0, 7) for left in (0, 7, 14, 21)):
        tokens = places[:, top : top + 7, left : left + 7].flatten(1)
        expected = (tokens[:, None] - tokens[:, :, None]).abs().sum(0)
        torch.testing.assert_close(distance[window].float(), expected)


@torch.no_grad()
def test_equal_tables_make_torchvisions_attention():
    torch.manual_seed(0)
    plain = ShiftedWindowAttention3d(8, [8, 7, 7], [4, 3, 3], num_heads=2).eval()
    gated = GatedWindowAttention3d(8, [8, 7, 7], [4, 3, 3], num_heads=2).eval()
    plain.relative_position_bias_table.normal_()
    gated.load_state_dict(
        plain.state_dict() | {"fragment_position_bias_table": plain.relative_position_bias_table}, strict=True
    )
    x = torch.randn(2, 9, 14, 14, 8)
    torch.testing.assert_close(gated(x), plain(x), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_the_tables_are_blended_by_the_distance_of_the_fragments():
    torch.manual_seed(0)
    attention = GatedWindowAttention3d(4, [8, 7, 7], [0, 0, 0], num_heads=1).eval()
    attention.relative_position_bias_table.normal_()
    attention.fragment_position_bias_table.normal_()
    x = torch.randn(1, 1, 7, 7, 4)  # one window of 49 tokens, each a fragment of its own
    tokens = x.view(49, 4)
    query, key, value = attention.qkv(tokens).chunk(3, dim=-1)
    queries = (0, 10, 24, 41)
    logits = query @ key.T / 2
    for q in queries:
        for k in range(49):
            down, right = q // 7 - k // 7, q % 7 - k % 7
            # rows of the tables: 15 steps in time, the middle one is none, then 13 x 13 in space
            row = attention.relative_position_index[q, k]
            assert row == 7 * 169 + (down + 6) * 13 + right + 6
            g = abs(down) + abs(right)
            across, inside = attention.relative_position_bias_table[row], attention.fragment_position_bias_table[row]
            logits[q, k] += (g * across + (1 - g) * inside).item()
    expected = attention.proj(logits.softmax(-1) @ value)
    attended = attention(x).view(49, 4)
    for q in queries:
        torch.testing.assert_close(attended[q], expected[q], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_it_carries_vqa_on_clips_of_eight_frames():
    metric = VQA(small(), "fast_b", num_clips=1, clip_len=4)
    metric.update(torch.rand(1, 8, 4, 64, 64))
    assert 0 <= metric.compute()["vqa_fast_b_white"] <= 1
