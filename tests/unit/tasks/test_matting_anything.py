import numpy as np
import pytest
import torch
from scipy.ndimage import correlate

from glassine.models.matting_anything import MaskToMatte, Mattes, MattingAnything
from glassine.models.sam import make_sam
from glassine.pretrained.weights import load_trained
from glassine.tasks.matting_anything import MattingAnythingTask

KERNEL = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256


def make_task(seed: int = 0, lr: float = 0.0, **arguments) -> MattingAnythingTask:
    torch.manual_seed(seed)
    sam = make_sam(
        image_size=64,
        embed_dim=16,
        depth=1,
        num_heads=2,
        global_attn_indexes=[0],
        window_size=0,
        out_channels=16,
        decoder_mlp_dim=16,
    )
    network = MattingAnything(sam, MaskToMatte(16, (8, 8, 8), (1, 1, 1), 8))
    task = MattingAnythingTask(network, lambda p: torch.optim.Adam(p, lr=lr), **arguments)
    task.logged = {}
    task.log_dict = task.logged.update  # no trainer here
    return task.train()


def make_batch(clips: int = 2, frames: int = 1) -> dict:
    alpha = torch.zeros(clips, frames, 1, 64, 64)
    alpha[..., 16:48, 12:40] = 1
    alpha[..., 16:48, 40:44] = 0.5
    foreground = torch.rand(clips, frames, 3, 1, 1).expand(-1, -1, -1, 64, 64)
    clip = foreground * alpha + 1 - alpha
    return {"clip": clip, "alpha": alpha, "foreground": foreground, "key": [str(n) for n in range(clips)]}


def literal_loss(alpha: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> float:
    """Absolute error and five levels of a Laplacian pyramid, `n h w`."""
    loss = (np.abs(alpha - truth) * weight).sum() / weight.sum()
    for level in range(5):
        bands, smaller = [], []
        for picture in (*alpha, *truth):
            half = correlate(picture, KERNEL, mode="mirror")[::2, ::2]
            sparse = np.zeros(picture.shape)
            sparse[::2, ::2] = half
            bands.append(picture - correlate(sparse, 4 * KERNEL, mode="mirror"))
            smaller.append(half)
        one, other = np.split(np.stack(bands), 2)
        loss += 2**level * (np.abs(one - other) * weight).sum() / weight.sum()
        alpha, truth = np.split(np.stack(smaller), 2)
        weight = weight[:, ::2, ::2]
    return loss


@pytest.mark.parametrize("region", ["all", "mask", "trimap", "coarser"])
def test_the_loss_equals_a_slow_literal_one(region):
    task = make_task()
    os8, os4, os1, truth = torch.rand(4, 2, 1, 64, 64).round(decimals=2).unbind()
    os8[..., :20] = os4[..., 30:] = 0
    truth[..., 40:], truth[..., :12] = 1, 0
    mattes = Mattes(os8, os4, os1, (torch.rand(2, 1, 64, 64) > 0.5).float())
    torch.manual_seed(1)
    losses = task.losses(mattes, truth, region)
    torch.manual_seed(1)
    weights = task.pixel_weights(mattes, truth, region)
    expected = sum(
        share * literal_loss(alpha[:, 0].double().numpy(), truth[:, 0].double().numpy(), weight[:, 0].numpy())
        for alpha, share, weight in zip((os8, os4, os1), (1 / 5, 1 / 5, 2 / 5), weights, strict=True)
    )
    assert sum(losses.values()).item() == pytest.approx(expected, rel=1e-4)


def test_the_fine_scales_learn_in_the_mask_in_the_trimaps_unknown_part_or_in_the_coarser_alphas_band():
    task = make_task(trimap_width=2, band_widths=(2, 4))  # the first two diameters can only be 1
    os8, os4, truth = torch.zeros(3, 1, 1, 8, 8).unbind()
    os8[..., 2], os4[..., 5], truth[..., 4:], truth[..., 3] = 0.5, 0.5, 1, 0.5
    mask = (torch.rand(1, 1, 8, 8) > 0.5).float()
    mattes = Mattes(os8, os4, torch.zeros_like(os8), mask)

    def columns(weight: torch.Tensor) -> list[int]:
        return weight[0, 0, 4].nonzero().flatten().tolist()

    for region in ("all", "mask", "trimap", "coarser"):
        assert task.pixel_weights(mattes, truth, region)[0].all()
    assert all(torch.equal(weight, mask) for weight in task.pixel_weights(mattes, truth, "mask")[1:])
    assert [columns(weight) for weight in task.pixel_weights(mattes, truth, "trimap")[1:]] == [[3], [3]]
    drawn = [[columns(weight) for weight in task.pixel_weights(mattes, truth, "coarser")[1:]] for _ in range(30)]
    assert all(fine[0] == [2] for fine in drawn)
    assert {tuple(fine[1]) for fine in drawn} == {(5,), (5, 6), (4, 5, 6)}  # OpenCV's discs of 1, 2 and 3 pixels


def test_the_regions_change_after_the_warm_up_and_after_three_times_as_long():
    task = make_task(warmup_steps=100)
    drawn = [{task.draw_region(step) for _ in range(60)} for step in (99, 100, 299, 300)]
    assert drawn == [{"all"}, {"trimap", "mask"}, {"trimap", "mask"}, {"trimap", "coarser"}]


def test_a_step_gives_gradients_to_the_head_and_to_nothing_else():
    task = make_task(warmup_steps=0)
    task.training_step(make_batch(frames=2), 0).backward()
    for name, parameter in task.named_parameters():
        learns = name.startswith("network.head.")
        assert parameter.requires_grad == learns
        assert (parameter.grad is not None) == learns, name
    assert not task.network.sam.training


def test_frames_without_anything_in_them_are_left_out_and_a_batch_of_such_changes_nothing():
    task, batch = make_task(), make_batch()
    batch["alpha"][1] = 0
    seen = []
    task.network.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    task.training_step(batch, 0)
    assert seen == [1]
    batch["alpha"][0] = 0
    loss = task.training_step(batch, 0)
    loss.backward()
    assert loss == 0
    assert all(p.grad.abs().max() == 0 for p in task.trainable_parameters())


@pytest.mark.parametrize(("share", "points"), [(0.0, False), (1.0, True)])
def test_training_prompts_have_the_centre_point_in_the_share_that_is_asked_for(share, points):
    task, seen = make_task(point_share=share), []
    task.network.register_forward_pre_hook(lambda _, inputs: seen.extend(inputs[1]))
    task.training_step(make_batch(), 0)
    assert all(prompt.boxes.tolist() == [[12, 16, 39, 47]] for prompt in seen)
    assert all((prompt.points is not None) == points for prompt in seen)


def test_the_checkpoint_has_no_sam_and_reloads_into_the_task_and_into_the_network_alone():
    task, other = make_task(), make_task(seed=1)
    state = task.state_dict()
    assert not [name for name in state if name.startswith("network.sam.")]
    other.load_state_dict(state)  # strict: only SAM may be missing
    batch = make_batch(1)
    other.network.sam.load_state_dict(task.network.sam.state_dict())
    expected = task.eval().network.decode(batch["clip"], batch["alpha"])
    torch.testing.assert_close(other.eval().network.decode(batch["clip"], batch["alpha"]), expected)

    alone = make_task(seed=2).network
    load_trained(alone, {name.removeprefix("network."): tensor for name, tensor in state.items()}, "a checkpoint")
    torch.testing.assert_close(alone.head.state_dict(), task.network.head.state_dict())


def test_a_few_steps_on_one_batch_lower_the_loss():
    task, batch = make_task(lr=0.01), make_batch()
    optimizer = task.configure_optimizers()
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        loss = task.training_step(batch, 0)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_whole_clips_are_scored_predicted_and_shown():
    task, batch = make_task().eval(), make_batch(frames=2)
    alpha = task.network.decode(batch["clip"], batch["alpha"])
    task.validation_step(batch, 0)
    task.on_validation_epoch_end()
    assert task.logged["val/mad"] == pytest.approx(1000 * (alpha - batch["alpha"]).abs().mean().item(), rel=1e-4)
    predicted = task.predict_step(batch, 0)
    torch.testing.assert_close(predicted["rgba"], torch.cat([batch["clip"], alpha], dim=2))
    assert predicted["key"] == ["0", "1"]
    assert {clip.shape[:2] + clip.shape[3:] for clip in task.preview(batch).values()} == {(2, 2, 64, 64)}


def test_widths_that_leave_nothing_to_draw_from_are_refused():
    with pytest.raises(ValueError, match="at least 2"):
        make_task(trimap_width=1)
