import numpy as np
import pytest
from tests.helpers.tiny_dynamics import save_tiny_dynamics, tiny_dynamics
from tests.helpers.tiny_generator import save_tiny_generator
from tests.helpers.tiny_transparent import tiny_frame_unet, tiny_transparent

from glassine.pipelines.animate import AnimatePipeline
from glassine.pipelines.motion import MotionPipeline, MovedStickerPipeline, load_animator
from glassine.utils.errors import UserError

FAST = {"num_inference_steps": 2, "num_frames": 6}


def square(height: int = 90, width: int = 70) -> np.ndarray:
    still = np.zeros((height, width, 4), np.uint8)
    still[height // 4 : -height // 4, width // 4 : -width // 4] = (20, 180, 60, 255)
    return still


def test_the_middle_frame_is_the_image_bit_for_bit_and_the_others_move():
    (sticker,) = MotionPipeline(tiny_dynamics(), "cpu")("waves", square(), **FAST, fps=4)
    assert sticker.frames.shape == (6, 90, 70, 4)
    assert sticker.durations == (250,) * 6
    assert np.array_equal(sticker.frames[3], square())
    assert not np.array_equal(sticker.frames[0], square())
    assert set(np.unique(sticker.frames[0][sticker.frames[0, ..., 3] == 255][:, 1])) <= set(range(178, 183))
    assert not sticker.frames[sticker.frames[..., 3] == 0].any()


def test_soft_edges_of_the_image_are_kept_in_its_own_frame():
    still = square()
    still[30, 20:50, 3] = np.linspace(1, 254, 30)
    (sticker,) = MotionPipeline(tiny_dynamics(), "cpu")("waves", still, **FAST)
    assert np.array_equal(sticker.frames[3], still)
    faint = np.where(still[..., 3:] > 0, (9, 9, 9, 4), 0).astype(np.uint8)
    with pytest.raises(UserError, match="must show something"):
        MotionPipeline(tiny_dynamics(), "cpu")("waves", faint)


def test_a_seed_gives_the_same_sticker_however_many_are_made():
    pipeline = MotionPipeline(tiny_dynamics(), "cpu")
    alone = pipeline("waves", square(), **FAST, seed=5)[0]
    told: list[tuple[int, int]] = []
    both = pipeline("waves", square(), **FAST, seed=[4, 5], progress=lambda *at: told.append(at))
    assert np.array_equal(both[1].frames, alone.frames)
    assert not np.array_equal(both[0].frames, alone.frames)
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_more_motion_moves_more():
    pipeline = MotionPipeline(tiny_dynamics(), "cpu")
    little, much = (pipeline("waves", square(), **FAST, motion=motion)[0].frames for motion in (0, 3))
    change = [np.abs(frames.astype(int) - square()).mean() for frames in (little, much)]
    assert change[1] > 1.5 * change[0]


def test_weights_are_loaded_by_what_they_are(tmp_path, monkeypatch):
    monkeypatch.setenv("GLASSINE_ALLOW_CLASSES", "tests.helpers")
    source = save_tiny_dynamics(tmp_path / "fields")
    loaded = load_animator(source, "cpu")
    assert isinstance(loaded, MotionPipeline)
    made = loaded("waves", square(), **FAST)[0].frames
    loaded.save_pretrained(tmp_path / "again")
    again = load_animator(str(tmp_path / "again"), "cpu")("waves", square(), **FAST)[0].frames
    assert np.abs(made.astype(int) - again).mean() < 0.5  # saved in half precision
    with pytest.raises(UserError, match="must hold an ImageDynamics"):
        MotionPipeline.from_pretrained(save_tiny_generator(tmp_path / "other"))
    with pytest.raises(UserError, match="must hold a TransparentVideo"):
        AnimatePipeline.from_pretrained(source)


def test_what_cannot_be_moved_is_said():
    pipeline = MotionPipeline(tiny_dynamics(), "cpu")
    with pytest.raises(UserError, match="must have transparent pixels"):
        pipeline("waves", np.full((9, 9, 4), 255, np.uint8))
    with pytest.raises(UserError, match="num_frames must be at least 2, got 1"):
        pipeline("waves", square(), num_frames=1)
    with pytest.raises(UserError, match="prompt must not be empty"):
        pipeline(" ", square())
    with pytest.raises(UserError, match="must be uint8 RGBA"):
        pipeline("waves", np.zeros(5, np.uint8))
    with pytest.raises(UserError, match="must be at most 32000 to be moved, got 1 and 40000"):
        pipeline("waves", np.tile(np.uint8([[[9, 9, 9, 90]]]), (1, 40000, 1)))
    with pytest.raises(UserError, match="do not fit in memory"):
        pipeline("waves", np.broadcast_to(np.uint8(9), (20000, 20000, 4)))


def test_an_image_from_text_is_moved_with_its_own_seed():
    images = AnimatePipeline(tiny_transparent(tiny_frame_unet()), "cpu")
    pipeline = MovedStickerPipeline(images, MotionPipeline(tiny_dynamics(), "cpu"))
    size = {"height": 32, "width": 32, "num_inference_steps": 2}
    stills = pipeline("a cat", 1, **size, seed=[3, 4])
    moved = pipeline("a cat", 6, **size, seed=[3, 4], fps=4)
    for still, sticker in zip(stills, moved, strict=True):
        assert still.num_frames == 1
        assert sticker.frames.shape == (6, 32, 32, 4)
        assert sticker.durations == (250,) * 6
        assert np.abs(sticker.frames[3].astype(int) - still.frames[0]).mean() < 40
    alone = pipeline("a cat", 6, **size, seed=[4])[0]
    assert np.array_equal(alone.frames, moved[1].frames)
    with pytest.raises(UserError, match=r"motion must be in \[0, 3\], got 9"):
        pipeline("a cat", **size, motion=9)
