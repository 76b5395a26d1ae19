import copy

import pytest
import torch
from diffusers import MotionAdapter, UNet2DConditionModel, UNetMotionModel
from tests.helpers.tiny_transparent import IMAGE, MOTION, inputs, stir, tiny_image_unet, tiny_motion_unet

from glassine.models.motion_unet import MotionUNet, part_of
from glassine.utils.errors import UserError

ALL = {"layer_attention": True, "motion_buckets": 10, "spatial_rank": 2, "motion_rank": 3}
ADDED = (".to_out.weight", ".temporal_o.", "time_embedding.motion.", ".lora_up.")


def count(network, part=None) -> int:
    return sum(p.numel() for name, p in network.named_parameters() if part is None or part_of(name) == part)


def stirred(**arguments) -> MotionUNet:
    """With everything that starts at zero awake."""
    unet = tiny_motion_unet(**arguments)
    for place in ADDED:
        stir(unet, place)
    return unet


def theirs() -> UNetMotionModel:
    """diffusers' network of the same sizes."""
    torch.manual_seed(1)
    adapter = MotionAdapter(
        block_out_channels=(16, 32),
        motion_layers_per_block=1,
        motion_num_attention_heads=2,
        motion_norm_num_groups=4,
        motion_max_seq_length=8,
    )
    return UNetMotionModel.from_unet2d(UNet2DConditionModel(**IMAGE, attention_head_dim=2), adapter).eval()


def test_full_size_is_sd_1_5_with_animatediff_v2_and_trains_two_matrices_at_each_of_16_layers():
    with torch.device("meta"):
        unet = MotionUNet()
    assert count(unet, "spatial") == 859_520_964
    assert count(unet, "motion_modules") == 453_209_280
    assert len(unet.temporal_layers()) == 21
    unet.train_only("inter_frame_attention")
    learning = [p for p in unet.parameters() if p.requires_grad]
    assert len(learning) == 2 * 16
    # five layers of 320, five of 640 and six of 1280 channels
    assert sum(p.numel() for p in learning) == 2 * (5 * 320**2 + 5 * 640**2 + 6 * 1280**2) == 24_780_800


def test_every_parameter_belongs_to_one_part_and_parts_are_trained_by_name():
    unet = tiny_motion_unet(**ALL)
    sizes = {part: count(unet, part) for part in ("spatial", "motion_modules", "inter_frame_attention")}
    bare = tiny_motion_unet(inter_frame_attention=None)
    layers = count(tiny_motion_unet(inter_frame_attention=None, layer_attention=True)) - count(bare)
    assert sizes["spatial"] + sizes["motion_modules"] == count(bare) + layers
    # four transformers: three of 16 channels, the middle of 32
    assert sizes["inter_frame_attention"] == 2 * (3 * 16**2 + 32**2)
    assert count(unet, "motion_amount") == 11 * 4 * 16
    # q, k, v and output of two attentions each; the cross-attention's k and v read texts of 16 channels
    assert count(unet, "spatial_adapters") == 2 * (3 * 8 * (16 + 16) + 6 * (32 + 32) + 2 * (16 + 32))
    # motion modules: 1 + 1 on the way down, 1 in the middle, 2 + 2 on the way up
    assert count(unet, "motion_adapters") == 3 * 8 * (3 * (16 + 16) + 4 * (32 + 32))
    unet.train_only("motion_adapters", "motion_amount")
    assert {part_of(n) for n, p in unet.named_parameters() if p.requires_grad} == {"motion_adapters", "motion_amount"}
    unet.freeze_spatial()
    assert {part_of(n) for n, p in unet.named_parameters() if p.requires_grad} == {"motion_modules"}


@torch.no_grad()
def test_it_is_diffusers_network_bit_for_bit_at_step_0():
    other = theirs()
    unet = tiny_motion_unet(motion_buckets=10)
    left = unet.load_state_dict(other.state_dict(), strict=False)
    assert not left.unexpected_keys
    unet.start_inter_frame_attention()
    sample, steps, embeds = inputs()
    wanted = other(sample, steps, embeds.repeat_interleave(3, 0)).sample
    assert torch.equal(unet(sample, steps, embeds).sample, wanted)
    assert torch.equal(unet(sample, steps, embeds, torch.tensor([0, 9])).sample, wanted)
    layer = unet.get_submodule("mid_block.attentions.0.transformer_blocks.0.attn1")
    assert torch.equal(layer.processor.to_q.weight, layer.to_q.weight)


@torch.no_grad()
def test_untrained_it_is_the_image_network_on_every_frame():
    image = tiny_image_unet()
    unet = tiny_motion_unet(awake=False)
    assert not unet.load_state_dict(image.state_dict(), strict=False).unexpected_keys
    torch.testing.assert_close(unet(*inputs()).sample, image(*inputs()).sample, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_without_motion_it_is_the_image_network_too_and_afterwards_itself_again():
    image, unet = tiny_image_unet(), stirred(motion_buckets=10)
    unet.load_state_dict(image.state_dict(), strict=False)
    before = unet(*inputs()).sample
    unet.enable_gradient_checkpointing()
    with unet.without_motion():
        torch.testing.assert_close(unet(*inputs()).sample, image(*inputs()).sample, atol=1e-5, rtol=1e-4)
    assert torch.equal(unet(*inputs()).sample, before)
    assert not torch.allclose(before, image(*inputs()).sample, atol=1e-3)


@pytest.mark.parametrize(
    "arguments", [{}, {"inter_frame_attention": "replace", "reference_frame": 1}, ALL, {"inter_frame_attention": None}]
)
@torch.no_grad()
def test_it_is_the_same_bit_for_bit_after_saving_and_loading(arguments, tmp_path):
    unet = stirred(**arguments)
    unet.save_pretrained(tmp_path)
    loaded, report = MotionUNet.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert torch.equal(loaded(*inputs()).sample, unet(*inputs()).sample)
    assert loaded.reference_index(8) == unet.reference_index(8)


@torch.no_grad()
def test_frames_meet_by_the_reference_frame_of_their_own_clip():
    unet = stirred(awake=False)
    sample, steps, embeds = inputs(frames=4)
    other = sample.clone()
    other[1, :, 2] += 1  # the middle frame of the second clip
    change = (unet(other, steps, embeds).sample - unet(sample, steps, embeds).sample).abs().amax((1, 3, 4))  # b f
    assert not change[0].any()
    assert (change[1] > 1e-5).all()


@torch.no_grad()
def test_the_amount_of_motion_tells_and_not_telling_is_the_last_bucket():
    unet = stirred(motion_buckets=10)
    told = [unet(*inputs(), torch.full((2,), bucket)).sample for bucket in (0, 9, 10)]
    assert not torch.allclose(told[0], told[1])
    assert torch.equal(told[2], unet(*inputs()).sample)


def test_gradients_do_not_depend_on_checkpointing_even_with_another_pass_between():
    def gradients(unet):
        loss = unet(*inputs(frames=4)).sample.square().mean()
        with torch.no_grad():
            unet(*inputs(frames=2))
        unet.zero_grad()
        loss.backward()
        return {name: p.grad for name, p in unet.named_parameters() if p.grad is not None}

    unet = stirred().train()
    again = copy.deepcopy(unet)
    again.enable_gradient_checkpointing()
    assert again.is_gradient_checkpointing
    plain, checkpointed = gradients(unet), gradients(again)
    assert plain.keys() == checkpointed.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(checkpointed[name], gradient)


def test_all_of_it_can_learn():
    unet = stirred(**ALL)
    unet(*inputs(), torch.tensor([0, 3])).sample.square().mean().backward()
    assert [name for name, p in unet.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_what_it_cannot_take_is_named():
    unet = tiny_motion_unet()
    sample, steps, embeds = inputs(frames=9)
    with pytest.raises(UserError, match="num_frames must be at most 8 for these motion modules, got 9"):
        unet(sample, steps, embeds)
    with pytest.raises(UserError, match=r"latents must be multiples of \d, got 7 x 8"):
        unet(torch.zeros(1, 4, 3, 7, 8), 1, torch.zeros(1, 5, 16))
    with pytest.raises(UserError, match="motion must be None for a network without motion_buckets"):
        unet(*inputs(), torch.zeros(2, dtype=torch.long))
    with pytest.raises(UserError, match="has no motion_adapters to train"):
        unet.train_only("motion_adapters")
    with pytest.raises(UserError, match=r"part must be one of spatial, motion_modules, .*, got 'attention'"):
        unet.train_only("attention")
    with pytest.raises(UserError, match=r"reference_frame must be .*, got 'last'"):
        MotionUNet(**MOTION, reference_frame="last")
