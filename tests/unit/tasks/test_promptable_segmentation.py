import pytest
import torch
from torchvision.ops import sigmoid_focal_loss

from glassine.models.sam import embed_pictures, make_sam
from glassine.tasks.promptable_segmentation import PromptableSegmentationTask, dice_loss, focal_loss, mask_iou


def make_task(**arguments) -> PromptableSegmentationTask:
    torch.manual_seed(0)
    sam = make_sam(64, 16, 1, 2, (0,), out_channels=16, decoder_mlp_dim=16)
    return PromptableSegmentationTask(sam, lambda p: torch.optim.Adam(p, lr=0.003), **arguments)


def make_batch(count: int = 3) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    alpha = torch.zeros(count, 1, 1, 64, 64)
    for i in range(count):
        alpha[i, ..., 8 : 40 + 4 * i, 12 + 4 * i : 50] = 1
    foreground = torch.rand(count, 1, 3, 1, 1, generator=generator).expand(-1, -1, -1, 64, 64)
    background = torch.rand(count, 3, generator=generator)
    clip = foreground * alpha + background[:, None, :, None, None] * (1 - alpha)
    return {"clip": clip, "foreground": foreground, "alpha": alpha, "background": background}


def test_focal_loss_is_torchvisions():
    logits, target = torch.randn(2, 3, 8, 8), (torch.rand(2, 3, 8, 8) > 0.5).float()
    theirs = sigmoid_focal_loss(logits, target).mean((-2, -1))
    torch.testing.assert_close(focal_loss(logits, target), theirs)


def test_dice_and_iou_on_a_known_overlap():
    one = torch.zeros(10, 10, dtype=torch.bool)
    other = one.clone()
    one[:, :6], other[:, 4:] = True, True
    assert mask_iou(one, other) == pytest.approx(20 / 100)
    sure = torch.where(one, 50.0, -50.0)
    assert dice_loss(sure, other.float()) == pytest.approx(1 - 41 / 121)
    assert mask_iou(one & False, one & False) == 1


def test_of_a_points_three_masks_the_best_one_learns():
    task = make_task()
    truth = make_batch(1)["alpha"][0, 0] > 0.5
    embedding = embed_pictures(task.sam, make_batch(1)["clip"][:, 0])
    named = task.prompt_loss(embedding, truth, kind="point")
    (named["focal"] + named["dice"]).backward()
    learned = [
        any(p.grad.abs().sum() > 0 for p in head.parameters())
        for head in task.sam.mask_decoder.output_hypernetworks_mlps
    ]
    assert sum(learned) == 1
    assert not learned[0]  # kept for single masks, which a box asks for


def test_single_stickers_come_with_their_damage_and_faded_ones_are_not_asked_for():
    task, batch = make_task(), make_batch()
    batch["alpha"][1] *= 0.3
    pictures, masks = task.scenes(batch, 1)
    assert torch.equal(pictures, batch["clip"][:, 0])
    assert [len(mask) for mask in masks] == [1, 0, 1]
    assert torch.isfinite(task.training_step({**batch, "alpha": batch["alpha"] * 0}, 0))


def test_it_learns_what_a_box_means():
    task, batch = make_task(single_share=0.0, most_layers=2), make_batch()
    optimizer = task.configure_optimizers()
    pictures, masks = task.scenes(batch, 2, torch.Generator().manual_seed(0))

    def loss() -> torch.Tensor:
        embeddings = embed_pictures(task.sam, pictures)
        torch.manual_seed(0)
        parts = [task.prompt_loss(e[None], m, kind="box") for e, m in zip(embeddings, masks, strict=True)]
        return sum(sum(part.values()) for part in parts)

    first = loss()
    for _ in range(25):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    assert loss() < 0.7 * first


def test_validation_logs_an_iou_for_points_and_boxes_on_stickers_and_scenes():
    task, logged = make_task().eval(), {}
    task.log = lambda name, value, **_: logged.setdefault(name, float(value))
    with torch.no_grad():
        task.validation_step(make_batch(), 0)
        task.on_validation_epoch_end()
    assert set(logged) == {f"val/{a}_{b}_iou" for a in ("single", "scene") for b in ("point", "box", "both")}
    assert all(0 <= value <= 1 for value in logged.values())


def test_prompts_come_by_their_shares():
    task = make_task(prompt_shares={"point": 1.0, "both": 3.0})
    torch.manual_seed(0)
    drawn = [task.draw_kind() for _ in range(400)]
    assert "box" not in drawn
    assert 0.68 < drawn.count("both") / 400 < 0.82
    with pytest.raises(ValueError, match="prompt_shares"):
        make_task(prompt_shares={"point": 0.0})


def test_the_prompts_side_alone_can_learn():
    task = make_task(tune_image_encoder=False, single_share=1.0)
    task.training_step(make_batch(), 0).backward()
    learned = {n.split(".")[1] for n, p in task.named_parameters() if p.grad is not None and p.grad.abs().sum()}
    assert learned == {"mask_decoder", "prompt_encoder"}
