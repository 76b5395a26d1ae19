import copy

import pytest
import torch
from lightning.pytorch.cli import LightningArgumentParser
from tests.helpers.tiny_generator import SCHEDULE, tiny_clip_mean, tiny_mean
from tests.helpers.tiny_transparent import (
    CODEC,
    IMAGE,
    MOTION,
    plain,
    stickers,
    stir,
    tiny_frame_unet,
    tiny_image_unet,
    tiny_motion_unet,
    tiny_transparent,
)

from glassine.models.motion_unet import part_of
from glassine.nn.conditioning import motion_amount
from glassine.tasks.base import StickerTask
from glassine.tasks.transparent_video import TransparentVideoTask
from glassine.utils.errors import UserError

MIDDLE = 2
NOTHING_DROPPED = {"drop_prompt": 0.0, "drop_image": 0.0, "drop_motion": 0.0}


def make_task(unet: dict | None = None, kind: str = "epsilon", **arguments) -> TransparentVideoTask:
    network = tiny_transparent(tiny_motion_unet(**(unet or {})), kind)
    arguments = NOTHING_DROPPED | arguments
    return TransparentVideoTask(network, lambda p: torch.optim.Adam(p, lr=0.01), **arguments)


def train(task: TransparentVideoTask, batch: dict, steps: int) -> list[float]:
    optimizer, losses = task.configure_optimizers(), []
    for step in range(steps):
        torch.manual_seed(step % 4)
        loss = task.training_step(batch, 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def seen_by(task: TransparentVideoTask) -> list[tuple]:
    """What the UNet is called with: `b c f h w`, steps, embeddings, motion."""
    seen: list[tuple] = []
    task.generator.unet.register_forward_hook(lambda _, args, __: seen.append(args))
    return seen


def test_the_middle_frame_goes_in_clean_and_out_of_the_loss():
    task, batch = make_task(), stickers()
    stir(task.generator.unet, ".processor.to_out.")
    latents, embeds = task.inputs(batch)
    seen = seen_by(task)
    noise, steps = torch.randn_like(latents), torch.tensor([300, 900])
    given = task.cond_mask(latents, torch.tensor([True, True]))
    losses = task.losses(latents, noise, steps, embeds, given)
    assert torch.equal(seen[0][0][:, :, MIDDLE], latents[:, MIDDLE])
    other = noise.clone()
    other[:, MIDDLE] += 1  # neither its noise nor the error there counts
    torch.testing.assert_close(task.losses(latents, other, steps, embeds, given), losses)
    errors = task.errors(latents, noise, steps, embeds, given)
    torch.testing.assert_close(losses, errors[:, [0, 1, 3]].mean(1))


def test_a_dropped_image_is_a_frame_as_noisy_as_the_others_that_counts():
    task, batch = make_task(), stickers()
    latents, embeds = task.inputs(batch)
    given = task.cond_mask(latents, torch.tensor([True, False]))
    assert given.tolist() == [[False, False, True, False], [False] * 4]
    seen = seen_by(task)
    noise, steps = torch.randn_like(latents), torch.tensor([900, 900])
    losses = task.losses(latents, noise, steps, embeds, given)
    assert torch.equal(seen[0][0][0, :, MIDDLE], latents[0, MIDDLE])
    noisy = task.generator.scheduler.add_noise(latents, noise, steps)
    assert torch.equal(seen[0][0][1, :, MIDDLE], noisy[1, MIDDLE])
    errors = task.errors(latents, noise, steps, embeds, given)
    torch.testing.assert_close(losses[1], errors[1].mean())


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_shares_of_prompts_images_and_motion_are_dropped(share):
    task = make_task({"motion_buckets": 10}, drop_prompt=share, drop_image=share, drop_motion=share)
    batch = stickers()
    latents, embeds = task.inputs(batch)
    seen = seen_by(task)
    task.training_step(batch, 0)
    sample, _, told, motion = seen[0]
    assert torch.equal(sample[:, :, MIDDLE], latents[:, MIDDLE]) == (share == 0)
    assert torch.equal(told, task.empty_prompt(embeds).expand_as(embeds) if share else embeds)
    assert motion.tolist() == ([10, 10] if share else task.motion(batch, latents).tolist())


def test_the_amount_of_motion_is_the_clips_own_by_thresholds_that_are_arguments():
    thresholds = tuple(0.01 * (1 + number) for number in range(9))
    task, batch = make_task({"motion_buckets": 10}, motion_thresholds=thresholds), stickers()
    latents, _ = task.inputs(batch)
    amounts = motion_amount(batch["foreground"], batch["alpha"])
    buckets = task.motion(batch, latents).tolist()
    assert buckets == [sum(amount >= limit for limit in thresholds) for amount in amounts.tolist()]
    assert buckets[0] > buckets[1] == 0  # the second does not move
    assert task.motion({"motion": torch.tensor([0.0, 0.05])}, latents).tolist() == [0, 5]
    with pytest.raises(UserError, match="rebuild the cache"):
        task.motion({}, latents)
    assert make_task().motion(batch, latents) is None
    with pytest.raises(UserError, match="must be 9 motion_thresholds for 10 motion_buckets, got 2"):
        make_task({"motion_buckets": 10}, motion_thresholds=(0.1, 0.2))
    with pytest.raises(UserError, match="motion_thresholds must increase"):
        make_task({"motion_buckets": 10}, motion_thresholds=thresholds[::-1])


@pytest.mark.parametrize(
    ("unet", "arguments"),
    [
        ({}, {"train_parts": ("inter_frame_attention",)}),
        ({"motion_buckets": 10}, {"train_parts": ("inter_frame_attention", "motion_amount")}),
        ({}, {"train_parts": ("motion_modules",), "drop_image": 1.0, "transparent": False}),
        ({"motion_rank": 4}, {"train_parts": ("motion_adapters",), "drop_image": 1.0, "repeat_frames": True}),
        ({"spatial_rank": 4}, {"train_parts": ("spatial_adapters",), "drop_image": 1.0, "repeat_frames": True}),
    ],
)
def test_training_lowers_the_loss_and_changes_the_parts_alone(unet, arguments):
    task, batch = make_task(unet, **arguments), stickers()
    before = copy.deepcopy(task.generator.unet.state_dict())
    losses = train(task, batch, 12)
    assert sum(losses[-4:]) < 0.98 * sum(losses[:4])
    after = task.generator.unet.state_dict()
    changed = {part_of(name) for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    assert changed == set(arguments["train_parts"])
    assert {name.split(".")[1] for name in task.state_dict()} == {"unet"}


def test_inter_frame_attention_starts_as_the_base_bit_for_bit():
    batch = stickers()
    task, base = make_task(), make_task({"inter_frame_attention": None}, train_parts=("motion_modules",))
    shared = base.generator.unet.state_dict()
    task.generator.unet.load_state_dict(shared, strict=False)
    losses = []
    for one in (task, base):
        torch.manual_seed(0)
        losses.append(one.training_step(batch, 0))
    assert torch.equal(*losses)


def test_a_mean_is_frozen_with_the_rest():
    network = tiny_transparent(tiny_motion_unet(in_channels=8), latent_mean=tiny_mean())
    task = TransparentVideoTask(network, lambda p: torch.optim.Adam(p, lr=0.01), **NOTHING_DROPPED)
    assert not any(p.requires_grad for p in task.generator.latent_mean.parameters())
    train(task, stickers(), 1)


def test_the_motion_of_a_mean_is_trained_along_and_nothing_else_of_it():
    mean, batch = tiny_clip_mean(), stickers()
    network = tiny_transparent(tiny_motion_unet(in_channels=8), latent_mean=mean)
    task = TransparentVideoTask(network, lambda p: torch.optim.Adam(p, lr=0.01))
    before, start = copy.deepcopy(mean), task.mean_loss(*task.inputs(batch)).item()
    train(task, batch, 20)
    assert task.mean_loss(*task.inputs(batch)) < start
    embeds = task.generator.text_encoder(["cat"])
    assert torch.equal(mean(embeds), before(embeds))


def test_opaque_training_reads_opaque_clips():
    task, batch = make_task(train_parts=("motion_modules",), transparent=False), stickers()
    latents, _ = task.inputs(batch)
    assert torch.equal(latents, task.generator.encode(batch["clip"]))


def test_repeated_frames_stand_still():
    task = make_task({"motion_rank": 2}, train_parts=("motion_adapters",), drop_image=1.0, repeat_frames=True)
    task.generator.scheduler.add_noise = lambda latents, noise, timesteps: latents
    seen = seen_by(task)
    batch = stickers()
    latents, _ = task.inputs(batch)
    task.training_step(batch, 0)
    shown = seen[0][0].transpose(1, 2)  # b f c h w
    assert torch.equal(shown, shown[:, :1].expand_as(shown))
    assert any(torch.equal(shown[0, 0], frame) for frame in latents[0])


def test_a_checkpoint_reloads_bit_for_bit():
    task, batch = make_task(), stickers()
    train(task, batch, 2)
    other = make_task()
    other.load_state_dict(task.state_dict())
    assert torch.equal(other.preview(batch)["made"], task.preview(batch)["made"])


def test_the_first_stages_network_is_not_in_a_checkpoint_and_reloads_from_its_own_place():
    generator = tiny_transparent(tiny_motion_unet(), image_unet=tiny_image_unet())
    optimizer = lambda p: torch.optim.Adam(p, lr=0.01)  # noqa: E731
    one = TransparentVideoTask(generator, optimizer, train_parts=("spatial", "inter_frame_attention"))
    assert not any(name.startswith("generator.image_unet") for name in one.state_dict())
    assert not any(p.requires_grad for p in generator.image_unet.parameters())
    one.load_state_dict(one.state_dict())


def test_min_snr_weighs_the_losses():
    plain, task = make_task(kind="v_prediction"), make_task(kind="v_prediction", min_snr_gamma=5.0)
    latents, embeds = plain.inputs(stickers())
    noise, steps = torch.randn_like(latents), torch.tensor([0, 999])
    ratio = task.losses(latents, noise, steps, embeds) / plain.losses(latents, noise, steps, embeds)
    assert ratio[0] < 0.05
    torch.testing.assert_close(ratio[1], torch.tensor(0.0047), atol=0.002, rtol=0)


def test_gradients_do_not_depend_on_checkpointing():
    gradients = []
    for checkpointing in (False, True):
        task = make_task(gradient_checkpointing=checkpointing)
        torch.manual_seed(0)
        task.training_step(stickers(), 0).backward()
        gradients.append([p.grad for p in task.generator.unet.parameters() if p.grad is not None])
    assert len(gradients[0]) == 8  # W_Q' has none while W_O' is zero, but it is there
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_previews_and_predictions_animate_the_stickers_own_middle_frame():
    task, batch = make_task(), stickers()
    shown = task.preview(batch)
    torch.testing.assert_close(shown["made"][:, MIDDLE], shown["through the codec"][:, MIDDLE], atol=1e-5, rtol=0)
    assert task.predict_step(batch, 0)["rgba"].shape == (2, 4, 4, 32, 32)


def test_a_yaml_describes_both_stages():
    codec = {"class_path": "glassine.models.transparency.TransparencyVAE", "init_args": CODEC}
    unet = {"class_path": "glassine.models.motion_unet.MotionUNet", "init_args": plain(MOTION) | {"reference_frame": 0}}
    image = {
        "class_path": "glassine.models.image_unet.FrameUNet",
        "init_args": plain(IMAGE | {"attention_head_dim": 8}),
    }
    first = {"class_path": "glassine.nn.lora.with_lora", "init_args": {"network": image, "rank": 2}}
    parser = LightningArgumentParser(exit_on_error=False)
    parser.add_lightning_class_args(StickerTask, "model", subclass_mode=True)
    for task, network, more in (
        ("transparent_image.TransparentImageTask", first, {}),
        ("transparent_video.TransparentVideoTask", unet, {"train_parts": ["inter_frame_attention"]}),
    ):
        generator = {
            "class_path": "glassine.models.transparent_video.TransparentVideo",
            "init_args": {
                "unet": network,
                "codec": codec,
                "text_encoder": {"class_path": "tests.helpers.tiny_generator.LetterText"},
                "scheduler": {"class_path": "diffusers.DDPMScheduler", "init_args": SCHEDULE},
            },
        }
        optimizer = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.001}}
        arguments = {"generator": generator, "optimizer": optimizer} | more
        config = {"model": {"class_path": f"glassine.tasks.{task}", "init_args": arguments}}
        made = parser.instantiate(parser.parse_object(config)).model
        assert torch.isfinite(made.training_step(stickers(), 0))


def test_what_cannot_be_trained_is_said():
    with pytest.raises(TypeError, match="unet must be a MotionUNet, got a FrameUNet"):
        TransparentVideoTask(tiny_transparent(tiny_frame_unet()), lambda p: torch.optim.Adam(p))
    with pytest.raises(UserError, match="has no inter_frame_attention to train"):
        make_task({"inter_frame_attention": None})
    with pytest.raises(UserError, match=r"clips must have at least 2 frames, .* set data\.num_frames to 8 or 16"):
        make_task().training_step(stickers(frames=1), 0)
