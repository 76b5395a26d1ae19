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

from glassine.models.animation import Animation
from glassine.models.transparent_video import TransparentVideo
from glassine.pipelines.animate import AnimatePipeline
from glassine.pipelines.text_to_sticker import TextToStickerPipeline
from glassine.utils.errors import UserError

FAST = {"size": (32, 32), "num_frames": 4, "sampling": Animation(2), "device": "cpu"}
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
    (sticker,) = AnimatePipeline(awake(), **FAST, fps=4)("waves", [0], square())
    assert sticker.frames.shape == (4, 40, 24, 4)
    assert sticker.durations == (250,) * 4
    assert not sticker.frames[sticker.frames[..., 3] == 0].any()


def test_the_still_is_the_middle_frame_and_clean_at_every_step():
    network = awake()
    pipeline = AnimatePipeline(network, **FAST)
    seen = []
    network.unet.register_forward_hook(lambda _, args, __: seen.append(args[0]))
    pipeline("waves", [0], square())
    base = pipeline.base(pipeline.fit(square()).shrink(square()))[None]  # 1 4 h w
    clean = network.encode_transparent(base[:, None, :3], base[:, None, 3:])[:, 0]
    for sample in seen:
        assert all(torch.equal(part[:, :, 2], clean) for part in sample.chunk(2))


def test_the_network_sees_color_under_the_clear_pixels_and_the_shape_kept():
    pipeline = AnimatePipeline(awake(), **FAST)
    base = pipeline.base(pipeline.fit(square()).shrink(square()))
    color, alpha = base[:3], base[3]
    assert color[1].min() > 0.5  # green everywhere, not black
    assert alpha[:, :6].max() == 0
    assert alpha[:, -6:].max() == 0
    assert alpha[16, 16] == 1


def test_a_seed_gives_the_same_sticker_however_many_are_made():
    pipeline = AnimatePipeline(awake(), **FAST)
    three = pipeline("waves", [5, 6, 7], square())
    (alone,) = pipeline("waves", [6], square())
    assert np.array_equal(three[1].frames, alone.frames)
    assert not np.array_equal(three[0].frames, alone.frames)
    batched = AnimatePipeline(awake(), **FAST, batch_size=3)("waves", [5, 6, 7], square())
    differences = [np.abs(a.frames.astype(int) - b.frames).mean() for a, b in zip(three, batched, strict=True)]
    assert max(differences) < 1


def test_saved_and_loaded_again_it_makes_the_same(source, tmp_path):
    first = AnimatePipeline.from_pretrained(source, **FAST)
    first.generator.requires_grad_(True)
    first.save_pretrained(tmp_path)
    again = AnimatePipeline.from_pretrained(str(tmp_path), **FAST)
    one, other = (pipeline("waves", [0], square(), motion=3)[0].frames for pipeline in (first, again))
    assert np.array_equal(one, other)
    with pytest.raises(ValueError, match="pass them as config"):
        AnimatePipeline(awake(), **FAST).save_pretrained(tmp_path)


def test_without_a_still_the_network_makes_one_first():
    steps = []
    (sticker,) = AnimatePipeline(awake(), **FAST)("a cat", [0], progress=lambda *step: steps.append(step))
    assert sticker.frames.shape == (4, 32, 32, 4)
    assert steps == [(done, 4) for done in range(1, 5)]


def test_progress_counts_all_steps_of_all_stickers():
    steps = []
    AnimatePipeline(awake(), **FAST)("waves", [0, 1], square(), progress=lambda *step: steps.append(step))
    assert steps == [(done, 4) for done in range(1, 5)]


def test_prompt_motion_and_guidance_by_the_image_reach_the_network():
    network = awake()
    told = []
    network.text_encoder.register_forward_hook(lambda _, args, __: told.append(list(args[0])))
    plain_one = AnimatePipeline(network, **FAST)("waves ", [0], square(), negative_prompt="a dog")[0].frames
    assert told == [["a dog", "Cartoon\twaves"]]
    moved = AnimatePipeline(network, **FAST)("waves", [0], square(), "a dog", 9)[0].frames
    guided = FAST | {"sampling": Animation(2, image_guidance_scale=3.0)}
    closer = AnimatePipeline(network, **guided)("waves", [0], square(), "a dog")[0].frames
    assert not np.array_equal(plain_one, moved)
    assert not np.array_equal(plain_one, closer)
    assert AnimatePipeline(network, **FAST, domain="").caption("waves") == "waves"


def test_mistakes_are_said(source, tmp_path):
    pipeline = AnimatePipeline(awake(), **FAST)
    with pytest.raises(UserError, match="an empty prompt came"):
        pipeline(" ", [0], square())
    with pytest.raises(UserError, match="has no transparency"):
        pipeline("waves", [0], np.full((8, 8, 4), 255, np.uint8))
    with pytest.raises(UserError, match="clear everywhere"):
        pipeline("waves", [0], np.zeros((8, 8, 4), np.uint8))
    with pytest.raises(UserError, match="do not fit in memory; scale the picture down"):
        pipeline.fit(np.broadcast_to(np.uint8(9), (20000, 20000, 4)))
    with pytest.raises(UserError, match="motion 10 came for this network; it takes 0 to 9"):
        pipeline("waves", [0], square(), motion=10)
    with pytest.raises(UserError, match="clips of 9 frames came; the motion modules have positions for 8"):
        AnimatePipeline(awake(), **FAST | {"num_frames": 9})
    with pytest.raises(UserError, match="multiples of 16"):
        AnimatePipeline(awake(), **FAST | {"size": (40, 40)})
    with pytest.raises(UserError, match="0 frames a second"):
        AnimatePipeline(awake(), **FAST, fps=0)
    with pytest.raises(UserError, match="this network makes single pictures"):
        AnimatePipeline(tiny_transparent(tiny_frame_unet()), **FAST)
    with pytest.raises(UserError, match="holds a TextToVideo; this needs a TransparentVideo"):
        AnimatePipeline.from_pretrained(save_tiny_generator(tmp_path))
    with pytest.raises(UserError, match="transparent from the start: AnimatePipeline takes it"):
        TextToStickerPipeline.from_pretrained(source)
