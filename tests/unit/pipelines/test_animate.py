from typing import Any

import numpy as np
import pytest
import torch
from tests.helpers.tiny_generator import save_tiny_generator
from tests.helpers.tiny_transparent import (
    MOTION,
    plain,
    save_tiny_transparent,
    stir,
    tiny_frame_unet,
    tiny_motion_unet,
    tiny_transparent,
)

from glassine.models.transparent_video import TransparentVideo
from glassine.pipelines.animate import AnimatePipeline
from glassine.pipelines.text_to_sticker import TextToStickerPipeline
from glassine.utils.errors import UserError

FAST: dict[str, Any] = {"num_frames": 4, "height": 32, "width": 32, "num_inference_steps": 2, "guidance_rescale": 0.0}
UNET = {"class_path": "glassine.models.motion_unet.MotionUNet", "init_args": plain(MOTION) | {"motion_buckets": 10}}


def awake(**arguments) -> TransparentVideo:
    """Networks in which base image, Inter-Frame Attention and motion do something."""
    unet = tiny_motion_unet(motion_buckets=10, **arguments)
    for place in (".processor.to_out.", "time_embedding.motion."):
        stir(unet, place)
    return tiny_transparent(unet)


def square(height: int = 40, width: int = 24) -> np.ndarray:
    """A green square on nothing, `h w 4`."""
    still = np.zeros((height, width, 4), np.uint8)
    still[height // 4 : -height // 4, width // 4 : -width // 4] = (20, 180, 60, 255)
    return still


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> str:
    # of half precision, as it is saved; the frozen parts need gradients, so that they are in the file
    network = awake().half().float().requires_grad_(True)
    return save_tiny_transparent(network, tmp_path_factory.mktemp("animate"), UNET)


def test_stickers_have_the_stills_size_and_the_frames_and_speed_that_were_asked_for():
    (sticker,) = AnimatePipeline(awake(), "cpu")("waves", square(), **FAST, fps=4)
    assert sticker.frames.shape == (4, 40, 24, 4)
    assert sticker.durations == (250,) * 4
    assert not sticker.frames[sticker.frames[..., 3] == 0].any()


def test_the_still_is_the_middle_frame_and_clean_at_every_step():
    network = awake()
    pipeline = AnimatePipeline(network, "cpu")
    seen = []
    network.unet.register_forward_hook(lambda _, args, __: seen.append(args[0]))
    pipeline("waves", square(), **FAST)
    base = pipeline.base(pipeline.fit(square(), 4, (32, 32)).shrink())[None]  # 1 4 h w
    clean = network.encode_transparent(base[:, None, :3], base[:, None, 3:])[:, 0]
    for sample in seen:
        assert all(torch.equal(part[:, :, 2], clean) for part in sample.chunk(2))


def test_the_network_sees_color_under_the_clear_pixels_and_the_shape_kept():
    pipeline = AnimatePipeline(awake(), "cpu")
    base = pipeline.base(pipeline.fit(square(), 4, (32, 32)).shrink())
    color, alpha = base[:3], base[3]
    assert color[1].min() > 0.5  # green everywhere, not black
    assert alpha[:, :6].max() == 0
    assert alpha[:, -6:].max() == 0
    assert alpha[16, 16] == 1


def test_a_seed_gives_the_same_sticker_however_many_are_made():
    pipeline = AnimatePipeline(awake(), "cpu")
    three = pipeline("waves", square(), **FAST, seed=[5, 6, 7])
    (alone,) = pipeline("waves", square(), **FAST, seed=6)
    assert np.array_equal(three[1].frames, alone.frames)
    assert not np.array_equal(three[0].frames, alone.frames)
    batched = pipeline("waves", square(), **FAST, seed=[5, 6, 7], batch_size=3)
    differences = [np.abs(a.frames.astype(int) - b.frames).mean() for a, b in zip(three, batched, strict=True)]
    assert max(differences) < 1


def test_saved_and_loaded_again_it_makes_the_same(source, tmp_path):
    first = AnimatePipeline.from_pretrained(source, "cpu")
    first.model.requires_grad_(True)
    first.save_pretrained(tmp_path)
    again = AnimatePipeline.from_pretrained(str(tmp_path), "cpu")
    one, other = (pipeline("waves", square(), **FAST, motion=3)[0].frames for pipeline in (first, again))
    assert np.array_equal(one, other)
    with pytest.raises(ValueError, match="pass them as config"):
        AnimatePipeline(awake(), "cpu").save_pretrained(tmp_path)


def test_without_a_still_the_network_makes_one_first():
    steps = []
    (sticker,) = AnimatePipeline(awake(), "cpu")("a cat", **FAST, progress=lambda *step: steps.append(step))
    assert sticker.frames.shape == (4, 32, 32, 4)
    assert steps == [(done, 4) for done in range(1, 5)]


def test_progress_counts_all_steps_of_all_stickers():
    steps = []
    AnimatePipeline(awake(), "cpu")("waves", square(), **FAST, seed=[0, 1], progress=lambda *s: steps.append(s))
    assert steps == [(done, 4) for done in range(1, 5)]


def test_prompt_motion_and_guidance_by_the_image_reach_the_network():
    network = awake()
    encoded = []
    network.text_encoder.register_forward_hook(lambda _, args, __: encoded.append(list(args[0])))
    pipeline = AnimatePipeline(network, "cpu")
    settings = FAST | {"negative_prompt": "a dog"}
    plain_one = pipeline("waves ", square(), **settings)[0].frames
    assert encoded == [["a dog", "Cartoon\twaves"]]
    moved = pipeline("waves", square(), **settings, motion=9)[0].frames
    closer = pipeline("waves", square(), **settings, image_guidance_scale=3.0)[0].frames
    assert not np.array_equal(plain_one, moved)
    assert not np.array_equal(plain_one, closer)


def test_mistakes_are_said(source, tmp_path):
    pipeline = AnimatePipeline(awake(), "cpu")
    with pytest.raises(UserError, match="prompt must not be empty"):
        pipeline(" ", square())
    with pytest.raises(UserError, match="must have transparent pixels"):
        pipeline("waves", np.full((8, 8, 4), 255, np.uint8))
    with pytest.raises(UserError, match="fully transparent"):
        pipeline("waves", np.zeros((8, 8, 4), np.uint8))
    with pytest.raises(UserError, match="do not fit in memory: scale the image down"):
        pipeline.fit(np.broadcast_to(np.uint8(9), (20000, 20000, 4)), 4, (32, 32))
    with pytest.raises(UserError, match=r"motion must be in \[0, 9\] for this network, got 10"):
        pipeline("waves", square(), **FAST, motion=10)
    with pytest.raises(UserError, match="num_frames must be at most 8 for these motion modules, got 9"):
        pipeline("waves", num_frames=9)
    with pytest.raises(UserError, match="multiples of 16"):
        pipeline("waves", height=40, width=40)
    with pytest.raises(UserError, match=r"fps must be in \[0.1, 100\], got 0"):
        pipeline("waves", fps=0)
    with pytest.raises(UserError, match="num_frames must be 1 for this network"):
        AnimatePipeline(tiny_transparent(tiny_frame_unet()), "cpu")("waves", num_frames=4)
    with pytest.raises(UserError, match="num_frames must be at least 2 to animate an image, got 1"):
        pipeline("waves", square(), 1)
    with pytest.raises(UserError, match=r"must hold a TransparentVideo such as .*, got a TextToVideo"):
        AnimatePipeline.from_pretrained(save_tiny_generator(tmp_path))
    with pytest.raises(UserError, match="alpha in the latents: use AnimatePipeline"):
        TextToStickerPipeline.from_pretrained(source)
