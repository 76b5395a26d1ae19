from functools import partial

import pytest
import torch
from tests.helpers.tiny_image_to_video import WHOLE, save_tiny_image_to_video, tiny_clip_unet, tiny_image_to_video
from tests.helpers.tiny_transparent import stickers, stir

from glassine.models.animation import Animation
from glassine.models.sampling import Distilled, SamplerConfig, make_solver
from glassine.nn.diffusion import clean_and_noise, prediction_for
from glassine.pretrained.weights import save_bundle
from glassine.tasks.distillation import DistillationTask
from glassine.utils.errors import UserError

ADAM = partial(torch.optim.AdamW, lr=0.01)
FOUR = Distilled(num_inference_steps=4, teacher_steps=12, guidance_scale=3.0, image_guidance_scale=1.5)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory) -> str:
    return save_tiny_image_to_video(tmp_path_factory.mktemp("teacher"))


def task(teacher: str, distilled: Distilled | None = FOUR, **arguments) -> DistillationTask:
    unet = tiny_clip_unet(guidance_inputs=distilled is not None and distilled.text_range is not None)
    made = DistillationTask(tiny_image_to_video(unet, distilled), ADAM, teacher, **arguments)
    made.log = made.log_dict = lambda *_, **__: None
    return made


def parts(made: DistillationTask, clips: int = 4) -> tuple:
    torch.manual_seed(1)
    latents = torch.randn(clips, 4, 4, 4, 4)
    embeds = made.generator.text_encoder(["a cat"] * clips)
    places = (torch.arange(clips) + 0.5) / clips
    return latents, torch.randn_like(latents), places, embeds, made.still_frames(latents, "middle"), {}


@pytest.mark.parametrize("kind", ["v_prediction", "epsilon", "sample"])
def test_a_prediction_and_what_it_stands_for_are_one_another(kind):
    noisy, predicted, kept = torch.randn(2, 3), torch.randn(2, 3), torch.tensor([0.3, 0.9])
    clean, noise = clean_and_noise(predicted, noisy, kept, kind)
    rebuilt = kept.sqrt()[:, None] * clean + (1 - kept).sqrt()[:, None] * noise
    torch.testing.assert_close(rebuilt, noisy)
    torch.testing.assert_close(prediction_for(clean, noisy, kept, kind), predicted)


def test_a_student_that_predicts_its_target_arrives_where_its_guided_teacher_does(teacher):
    made = task(teacher)
    latents, noise, _, embeds, mask, conditions = parts(made, 1)
    scheduler = made.generator.scheduler
    kept = scheduler.alphas_cumprod
    solver = make_solver(scheduler, SamplerConfig(4), latents.device)
    starts, ends = made.timesteps(torch.tensor([0.3]))
    assert starts.tolist() == solver.timesteps[1:2].tolist()
    noisy = scheduler.add_noise(latents, noise, starts)
    scales = made.draw_scales(1)
    assert scales.tolist() == [[3.0, 1.5]]
    with torch.no_grad():
        target = made.target(noisy, starts, ends, latents, embeds, mask, scales, conditions)
        there = solver.step(target, starts[0], noisy).prev_sample  # diffusers' own step
        moving, here = noisy, starts
        for step in (1, 2, 3):
            then = (starts + (ends - starts) * step / 3).round().long()
            guided = made.guided(moving, here, latents, embeds, mask, scales, conditions)
            clean, left = clean_and_noise(guided, moving, kept[here], "v_prediction")
            moving, here = kept[then].sqrt() * clean + (1 - kept[then]).sqrt() * left, then
    torch.testing.assert_close(there, moving, atol=1e-4, rtol=1e-3)


def test_the_last_step_arrives_at_the_clean_clip(teacher):
    made = task(teacher)
    _, ends = made.timesteps(torch.tensor([0.99]))
    assert ends.tolist() == [-1]
    latents, noise, _, embeds, mask, conditions = parts(made, 1)
    starts, ends = made.timesteps(torch.tensor([0.99]))
    noisy = made.generator.scheduler.add_noise(latents, noise, starts)
    with torch.no_grad():
        target = made.target(noisy, starts, ends, latents, embeds, mask, made.draw_scales(1), conditions)
    assert target.isfinite().all()


def test_guidance_alone_is_the_teachers_guided_prediction(teacher):
    made = task(teacher, Distilled(guidance_scale=3.0, image_guidance_scale=1.5), guidance_rescale=0.0)
    latents, noise, places, embeds, mask, conditions = parts(made)
    starts, ends = made.eval().timesteps(places)
    assert torch.equal(starts, ends)
    noisy = made.generator.scheduler.add_noise(latents, noise, starts)
    how = Animation(guidance_scale=3.0, image_guidance_scale=1.5)
    empty = made.empty_prompt(embeds).expand_as(embeds)
    wanted = 0
    with torch.no_grad():
        for branch, weight in how.branches(3.0, image=True).items():
            text, shown = embeds if branch.text else empty, mask if branch.image else torch.zeros_like(mask)
            wanted = wanted + weight * made.teacher(noisy, starts, text, latents, shown)
        target = made.target(noisy, starts, ends, latents, embeds, mask, made.draw_scales(4), conditions)
    torch.testing.assert_close(target, wanted, atol=1e-5, rtol=1e-4)


def test_a_student_comes_nearer_to_its_teacher_and_saves_nothing_of_it(teacher):
    made = task(teacher)
    made.generator.unet.load_state_dict(made.teacher.unet.state_dict())
    stir(made.generator.unet, "temp_convs")  # away from it
    optimizer = torch.optim.AdamW(made.trainable_parameters(), lr=0.003)
    batch = stickers() | {"fps": torch.full((2,), 12.0)}
    losses = []
    for step in range(24):
        torch.manual_seed(step % 2)
        loss = made.training_step(batch, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-2:]) < 0.7 * sum(losses[:2])
    assert not any(name.startswith("teacher.") for name in made.state_dict())
    assert all(one.grad is None for one in made.teacher.parameters())


def test_scales_as_inputs_are_drawn_from_their_range_and_reach_the_student(teacher):
    made = task(teacher, Distilled(4, 12, guidance_scale=3.0, text_range=(1.0, 7.0)))
    scales = made.train().draw_scales(500)
    assert 1 <= scales[:, 0].min() < 1.5 < 6.5 < scales[:, 0].max() <= 7
    assert (scales[:, 1] == 1).all()
    loss = made.training_step(stickers() | {"fps": torch.full((2,), 12.0)}, 0)
    loss.backward()
    assert made.generator.unet.time_embedding.scales.linear_2.weight.grad.any()


@pytest.mark.parametrize(
    ("distilled", "arguments", "says"),
    [
        (None, {}, "distilled must be given"),
        (Distilled(4, 12), {"substeps": 2}, "teacher_steps must be 4 x substeps, got 12"),
        (Distilled(4, 12, solver="dpm++"), {}, "solver must be ddim"),
    ],
)
def test_a_student_that_cannot_be_made_so_is_refused(teacher, distilled, arguments, says):
    with pytest.raises(UserError, match=says):
        task(teacher, distilled, **arguments)


def test_a_teacher_that_is_none_is_refused(tmp_path):
    save_bundle(
        tiny_clip_unet().requires_grad_(True),
        {"class_path": "glassine.models.image_to_video_unet.ImageToVideoUNet", "init_args": WHOLE},
        tmp_path,
    )
    with pytest.raises(UserError, match="teacher must be a bundle or checkpoint of an ImageToVideo, got a"):
        task(str(tmp_path))


def test_a_second_distillation_keeps_the_guidance_of_the_first(tmp_path):
    first = save_tiny_image_to_video(tmp_path, num_inference_steps=8, teacher_steps=24, guidance_scale=3.0)
    made = task(first, Distilled(4, 8, guidance_scale=3.0), substeps=2)
    assert made.teacher.distilled == Distilled(8, 24, guidance_scale=3.0)
    with pytest.raises(UserError, match="guidance scales must be those that are distilled into the teacher"):
        task(first, Distilled(4, 8, guidance_scale=5.0), substeps=2)
