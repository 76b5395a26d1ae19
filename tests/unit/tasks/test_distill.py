import pytest
import torch
from torch.nn import functional as F

from glassine.models.layout_encoder import LayoutEncoder, MaskedReconstruction
from glassine.models.sam import SamTeacher, make_sam
from glassine.tasks.distill import DistillTask
from glassine.utils.errors import UserError


def make_task(image_size: int = 32, **arguments) -> DistillTask:
    torch.manual_seed(0)
    encoder = LayoutEncoder(16, 1, 2, position_size=32, neck_channels=None)
    sam = make_sam(image_size, 16, 1, 2, (0,), out_channels=16, decoder_mlp_dim=16)
    reconstruction = MaskedReconstruction(encoder, 16, decoder_width=16, decoder_depth=1, decoder_heads=2)
    return DistillTask(reconstruction, SamTeacher(sam), lambda p: torch.optim.Adam(p, lr=0.003), **arguments)


def test_the_loss_is_the_mean_squared_error_over_all_tokens_and_channels():
    task = make_task()
    batch = {"clip": torch.rand(2, 3, 3, 32, 32)}
    torch.manual_seed(7)
    loss = task.training_step(batch, 0)
    torch.manual_seed(7)
    flat = batch["clip"].flatten(0, 1)
    rebuilt, target = task.reconstruction(flat), task.teacher(flat)
    difference = sum((r - t).square().sum() for r, t in zip(rebuilt, target, strict=True))
    torch.testing.assert_close(loss, difference / (6 * 16 * 2 * 2))


def test_features_of_the_batch_stand_in_for_the_teacher():
    task = make_task()
    task.teacher.forward = None  # must not be called
    batch = {"clip": torch.rand(2, 1, 3, 32, 32), "teacher_features": torch.rand(2, 16, 2, 2)}
    assert torch.isfinite(task.training_step(batch, 0))


def test_only_the_student_and_its_decoder_learn_and_the_teacher_stays_out_of_the_checkpoint():
    task = make_task()
    assert not [n for n, _ in task.named_parameters() if n.startswith("teacher.") and _.requires_grad]
    assert not [name for name in task.state_dict() if name.startswith("teacher.")]
    optimizer = task.configure_optimizers()
    batch = {"clip": torch.rand(4, 1, 3, 32, 32)}
    first = task.training_step(batch, 0)
    for _ in range(30):
        loss = task.training_step(batch, 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.6 * first


def test_target_grid_says_which_map_is_resized():
    rebuilt, target = torch.rand(2, 16, 2, 2), torch.rand(2, 16, 4, 4)
    pooled = target.unflatten(2, (2, 2)).unflatten(4, (2, 2)).mean((3, 5))
    torch.testing.assert_close(make_task().compare(rebuilt, target), F.mse_loss(rebuilt, pooled))
    larger = F.interpolate(rebuilt, (4, 4), mode="bilinear")
    torch.testing.assert_close(make_task(target_grid="teacher").compare(rebuilt, target), F.mse_loss(larger, target))
    with pytest.raises(UserError, match=r"the student's grid is 2 x 2, the teacher's 4 x 4: change the image size"):
        make_task(target_grid="same").compare(rebuilt, target)


def test_cosine_distance_ignores_the_features_length():
    task = make_task(distance="cosine")
    features = torch.rand(2, 16, 2, 2)
    torch.testing.assert_close(task.compare(3 * features, features), torch.tensor(0.0), atol=1e-6, rtol=0)
    torch.testing.assert_close(task.compare(-features, features), torch.tensor(2.0))


def test_channels_that_differ_from_the_teachers_are_refused():
    encoder = LayoutEncoder(16, 1, 2, position_size=32, neck_channels=None)
    sam = make_sam(32, 16, 1, 2, (0,), out_channels=16, decoder_mlp_dim=16)
    with pytest.raises(ValueError, match="target_channels must be 16, the teacher's, got 256"):
        DistillTask(MaskedReconstruction(encoder), SamTeacher(sam), lambda p: torch.optim.Adam(p))
