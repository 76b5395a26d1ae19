from functools import partial

import pytest
import torch
from tests.helpers.tiny_image_to_video import tiny_clip_unet, tiny_image_to_video
from tests.helpers.tiny_transparent import stickers, stir

from glassine.nn.looping import neighbor_changes
from glassine.tasks.image_to_video import ImageToVideoTask
from glassine.utils.errors import UserError

ADAM = partial(torch.optim.AdamW, lr=0.01)


def batch(clips: int = 2, frames: int = 4) -> dict:
    return stickers(clips, frames) | {"fps": torch.full((clips,), 12.0)}


def task(**arguments) -> ImageToVideoTask:
    made = ImageToVideoTask(tiny_image_to_video(), ADAM, **arguments)
    made.log = lambda *_, **__: None
    return made


def numbered(clips: int = 64, frames: int = 16) -> tuple[dict, torch.Tensor]:
    """Cached clips in which each frame's latents are its number."""
    latents = torch.arange(frames, dtype=torch.float32).view(1, -1, 1, 1, 1).expand(clips, -1, 4, 4, 4)
    return {"fps": torch.full((clips,), 16.0), "motion": torch.full((clips,), 0.02)}, latents


def test_training_learns_to_copy_the_still():
    torch.manual_seed(0)
    made = task(drop_prompt=0.0, drop_image=0.0)
    optimizer = torch.optim.AdamW(made.trainable_parameters(), lr=0.01)
    losses = []
    for step in range(30):
        torch.manual_seed(step % 3)
        loss = made.training_step(batch(), step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])
    assert made.generator.unet.conv_in.weight[:, 4:].any()


def test_every_nth_frame_makes_a_clip_with_its_own_rate():
    about, latents = numbered()
    for stride, rate in ((1, 16.0), (2, 8.0)):
        chosen, closes, conditions = task(num_frames=8, strides=(stride,)).clips(about, latents)
        assert (neighbor_changes(chosen) == stride).all()
        assert not closes
        assert (conditions["rate"] == rate).all()
    assert len(chosen[:, 0].unique()) == 2  # 15 frames of 16 start at 0 or 1


def test_a_loop_may_start_anywhere_and_closes_only_as_a_whole():
    about, latents = numbered()
    chosen, closes, _ = task(num_frames=8, strides=(2,), loops=True).clips(about, latents)
    assert closes
    assert len(chosen[:, 0].unique()) == 16
    assert ((neighbor_changes(chosen, wraps=True) % 16) == 2).all()
    assert not task(num_frames=8, strides=(1,), loops=True).clips(about, latents)[1]


def test_more_change_from_frame_to_frame_is_a_higher_bucket():
    about, latents = numbered()
    slow, fast = (task(num_frames=4, strides=(n,)).clips(about, latents)[2]["motion"] for n in (1, 5))
    assert (fast > slow).all()


def test_the_still_is_the_frame_that_was_asked_for():
    latents = torch.zeros(64, 8, 4, 4, 4)
    made = task()
    assert made.still_frames(latents, "first")[:, 0].all()
    assert made.still_frames(latents, "middle")[:, 4].all()
    drawn = made.still_frames(latents, "random")
    assert (drawn.sum(dim=1) == 1).all()
    assert drawn.any(dim=0).all()


def test_text_and_still_are_dropped_apart_and_together():
    made = task(drop_prompt=0.4, drop_image=0.4)
    seen = []
    original = made.predictions
    made.predictions = lambda *given, **more: seen.append((given[3], given[4])) or original(*given, **more)
    for step in range(12):
        made.training_step(batch(8), step)
    empty = made.empty_prompt(torch.zeros(1))
    kinds = {
        (bool((text == empty[0]).all()), not bool(mask.any()))
        for texts, masks in seen
        for text, mask in zip(texts, masks, strict=True)
    }
    assert kinds == {(False, False), (True, False), (False, True), (True, True)}


def test_the_loss_of_a_loop_counts_the_change_over_its_ends():
    made = task(change_weight=1.0)
    error = torch.zeros(1, 4, 1, 1, 1)
    error[0, 0] = 1.0
    steps = torch.tensor([5])
    assert float(made.clip_loss(error, steps, False)) == pytest.approx(1 / 4 + 1 / 3)
    assert float(made.clip_loss(error, steps, True)) == pytest.approx(1 / 4 + 2 / 4)


def test_frozen_spatial_layers_still_learn_to_read_the_still():
    made = task(train_spatial=False)
    stir(made.generator.unet, "")
    made.training_step(batch(), 0).backward()
    moved = {name for name, one in made.generator.unet.named_parameters() if one.grad is not None}
    assert "conv_in.weight" in moved
    assert any("temp_attentions" in name for name in moved)
    assert any(name.startswith("time_embedding.rate") for name in moved)
    assert not any(".resnets." in name or ".attentions." in name for name in moved)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"reference": "last"}, "reference must be first, middle, random"),
        ({"strides": ()}, "strides must be at least 1"),
        ({"num_frames": 1}, "num_frames must be at least 2"),
        ({"change_weight": -1.0}, "change_weight must be at least 0"),
        ({"motion_thresholds": (0.1,)}, "there must be 9 motion_thresholds"),
    ],
)
def test_settings_out_of_range_are_refused(arguments, says):
    with pytest.raises(UserError, match=says):
        task(**arguments)


def test_data_that_do_not_fit_are_a_clear_error():
    about, latents = numbered(frames=4)
    with pytest.raises(UserError, match="clips must have at least 15 frames"):
        task(num_frames=8, strides=(2,)).clips(about, latents)
    with pytest.raises(UserError, match="clips must have fps"):
        task().clips({"motion": about["motion"]}, latents)
    with pytest.raises(UserError, match="cached latents must have the amount of motion"):
        task().clips({"fps": about["fps"]}, latents)
    with pytest.raises(TypeError, match="must be an ImageToVideo"):
        ImageToVideoTask(tiny_clip_unet(), ADAM)
