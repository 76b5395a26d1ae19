import pytest
import torch
from diffusers import MotionAdapter
from safetensors.torch import save_file
from tests.helpers.tiny_transparent import (
    MOTION,
    inputs,
    plain,
    save_tiny_transparent,
    stir,
    tiny_motion_unet,
    tiny_transparent,
)

from glassine.pretrained.motion_adapter import keep_motion_modules, load_motion_adapter, with_motion_adapter
from glassine.pretrained.weights import load_bundle
from glassine.utils.errors import UserError

ADAPTER = {
    "block_out_channels": (16, 32),
    "motion_layers_per_block": 1,
    "motion_num_attention_heads": 2,
    "motion_norm_num_groups": 4,
    "motion_max_seq_length": 8,
}


def save_adapter(folder, **change) -> MotionAdapter:
    torch.manual_seed(7)
    adapter = MotionAdapter(**(ADAPTER | change))
    adapter.save_pretrained(folder)
    return adapter


def animatediffs_names(adapter: MotionAdapter) -> dict[str, torch.Tensor]:
    """The file that AnimateDiff itself would have written."""
    state = {}
    for name, tensor in adapter.state_dict().items():
        block, module, rest = name.partition("motion_modules.")
        number, _, rest = rest.partition(".")
        for ours, theirs in {
            "norm1": "norms.0",
            "norm2": "norms.1",
            "norm3": "ff_norm",
            "attn1": "attention_blocks.0",
            "attn2": "attention_blocks.1",
        }.items():
            rest = rest.replace(f".{ours}.", f".{theirs}.")
        names = [rest]
        if "pos_embed.pe" in rest:
            names = [rest.replace("pos_embed.pe", f"attention_blocks.{n}.pos_encoder.pe") for n in (0, 1)]
        for one in names:
            state[f"{block}{module}{number}.temporal_transformer.{one}"] = tensor.clone()
    return state


@torch.no_grad()
def test_an_adapter_fills_the_motion_modules_alone(tmp_path):
    adapter = save_adapter(tmp_path)
    unet, before = tiny_motion_unet(), tiny_motion_unet().state_dict()
    with_motion_adapter(unet, str(tmp_path))
    there = adapter.state_dict()
    assert sum(name in there for name in unet.state_dict()) == len(there)
    for name, tensor in unet.state_dict().items():
        assert torch.equal(tensor, there.get(name, before[name])), name


@pytest.mark.parametrize("prefix", ["", "module."])
@torch.no_grad()
def test_animatediffs_own_file_gives_the_same(prefix, tmp_path):
    adapter = save_adapter(tmp_path / "adapter")
    save_file({prefix + name: t for name, t in animatediffs_names(adapter).items()}, tmp_path / "mm.safetensors")
    ours, theirs = tiny_motion_unet(), tiny_motion_unet()
    with_motion_adapter(ours, str(tmp_path / "adapter"))
    with_motion_adapter(theirs, str(tmp_path / "mm.safetensors"))
    assert torch.equal(ours(*inputs()).sample, theirs(*inputs()).sample)


@torch.no_grad()
def test_names_of_animatediffs_own_file_land_where_they_belong(tmp_path):
    # as they stand in mm_sd_v15_v2.ckpt, not made from diffusers' names
    block = "down_blocks.0.motion_modules.0.temporal_transformer."
    inner = f"{block}transformer_blocks.0."
    places = {
        f"{block}proj_in.weight": "proj_in.weight",
        f"{inner}attention_blocks.0.to_q.weight": "transformer_blocks.0.attn1.to_q.weight",
        f"{inner}attention_blocks.1.to_out.0.bias": "transformer_blocks.0.attn2.to_out.0.bias",
        f"{inner}norms.1.weight": "transformer_blocks.0.norm2.weight",
        f"{inner}ff.net.0.proj.weight": "transformer_blocks.0.ff.net.0.proj.weight",
        f"{inner}ff_norm.weight": "transformer_blocks.0.norm3.weight",
    }
    state = animatediffs_names(save_adapter(tmp_path / "adapter"))
    assert places.keys() < state.keys()
    assert f"{inner}attention_blocks.1.pos_encoder.pe" in state
    state |= {name: torch.randn_like(state[name]) for name in places}
    save_file(state, tmp_path / "mm.safetensors")
    found = with_motion_adapter(tiny_motion_unet(), str(tmp_path / "mm.safetensors")).state_dict()
    for theirs, ours in places.items():
        assert torch.equal(found[f"down_blocks.0.motion_modules.0.{ours}"], state[theirs]), theirs


@torch.no_grad()
def test_a_network_of_ours_gives_its_motion_modules_with_their_lora_merged(tmp_path):
    donor = tiny_motion_unet(motion_rank=2)
    stir(donor, ".lora_up.")
    description = {
        "class_path": "glassine.models.motion_unet.MotionUNet",
        "init_args": plain(MOTION) | {"motion_rank": 2},
    }
    source = save_tiny_transparent(tiny_transparent(donor).requires_grad_(True), tmp_path / "bundle", description)
    unet = with_motion_adapter(tiny_motion_unet(awake=False), source)
    torch.testing.assert_close(unet(*inputs()).sample, donor(*inputs()).sample, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_checkpoint_of_a_run_does_too(tmp_path):
    donor = tiny_motion_unet()
    state = {f"generator.unet.{name}": tensor for name, tensor in donor.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "last.ckpt")
    unet = with_motion_adapter(tiny_motion_unet(awake=False), str(tmp_path / "last.ckpt"))
    assert torch.equal(unet(*inputs()).sample, donor(*inputs()).sample)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"block_out_channels": (32, 64)}, r"norm\.weight must be \(16,\), got \(32,\); .* and [0-9]+ more\."),
        ({"motion_num_attention_heads": 4}, "motion_num_attention_heads must be 2, got 4"),
        ({"motion_max_seq_length": 4}, "motion_max_seq_length must be 8, got 4"),
        ({"use_motion_mid_block": False}, "use_motion_mid_block must be True, got False"),
        ({"motion_layers_per_block": 2}, "is unexpected"),
        ({"conv_in_channels": 9}, r"conv_in_channels must be 0 \(not PIA\), got 9"),
    ],
)
def test_an_adapter_of_another_base_is_named_and_nothing_is_taken(change, message, tmp_path):
    save_adapter(tmp_path, **change)
    unet, before = tiny_motion_unet(), tiny_motion_unet().state_dict()
    with pytest.raises(UserError, match=message) as error:
        load_motion_adapter(unet, str(tmp_path))
    assert len(str(error.value)) < 700
    assert all(torch.equal(tensor, before[name]) for name, tensor in unet.state_dict().items())


def test_a_file_of_other_positions_or_of_something_else_is_named(tmp_path):
    save_file(animatediffs_names(save_adapter(tmp_path, motion_max_seq_length=4)), tmp_path / "mm.safetensors")
    with pytest.raises(UserError, match="motion_max_seq_length must be 8, got 4"):
        load_motion_adapter(tiny_motion_unet(), str(tmp_path / "mm.safetensors"))
    save_file({"weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="must hold motion modules"):
        load_motion_adapter(tiny_motion_unet(), str(tmp_path / "other.safetensors"))
    with pytest.raises(UserError, match=r"no motion adapter at .*nowhere"):
        load_motion_adapter(tiny_motion_unet(), str(tmp_path / "nowhere"))


@torch.no_grad()
def test_a_bundle_may_keep_the_motion_modules_alone(tmp_path):
    described = {"class_path": "glassine.models.motion_unet.MotionUNet", "init_args": plain(MOTION)}
    stir(unet := tiny_motion_unet(), "motion_modules")
    source = save_tiny_transparent(tiny_transparent(unet).requires_grad_(True), tmp_path, described)
    keep_motion_modules(tmp_path)
    assert isinstance(load_bundle(source), MotionAdapter)
    donor, filled = unet.state_dict(), with_motion_adapter(tiny_motion_unet(), source).state_dict()
    for name, tensor in filled.items():
        if ".motion_modules." in name:
            torch.testing.assert_close(tensor, donor[name], atol=2e-3, rtol=2e-3)  # stored in half precision
