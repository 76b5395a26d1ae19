import numpy as np
import pytest
import torch
from tests.helpers.tiny_generator import save_tiny_generator, tiny_generator

from glassine.data.sticker import Sticker
from glassine.models.sampling import SamplerConfig
from glassine.pipelines.text_to_sticker import TextToStickerPipeline
from glassine.utils.errors import UserError

FAST = {"size": (32, 32), "num_frames": 2, "sampling": SamplerConfig(2), "device": "cpu"}


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> str:
    return save_tiny_generator(tmp_path_factory.mktemp("generator"))


def test_stickers_have_the_size_frames_and_speed_that_were_asked_for(source):
    (sticker,) = TextToStickerPipeline.from_pretrained(source, **FAST, fps=4)(["a cat"], [0])
    assert sticker.frames.shape == (2, 32, 32, 4)
    assert sticker.durations == (250, 250)
    assert (sticker.frames[..., 3] == 255).all()


def test_a_seed_gives_the_same_sticker_however_many_are_made(source):
    pipeline = TextToStickerPipeline.from_pretrained(source, **FAST)
    three = pipeline(["a cat"] * 3, [5, 6, 7])
    (alone,) = pipeline(["a cat"], [6])
    assert np.array_equal(three[1].frames, alone.frames)
    assert not np.array_equal(three[0].frames, alone.frames)


def test_batches_change_nothing_but_rounding(source):
    one, two = (
        TextToStickerPipeline.from_pretrained(source, **FAST, batch_size=size)(["a cat"] * 2, [0, 1]) for size in (1, 2)
    )
    assert np.abs(one[1].frames.astype(int) - two[1].frames.astype(int)).max() <= 1


def test_saved_and_loaded_again_it_makes_the_same(source, tmp_path):
    first = TextToStickerPipeline.from_pretrained(source, **FAST)
    first.generator.requires_grad_(True)
    first.save_pretrained(tmp_path)
    again = TextToStickerPipeline.from_pretrained(str(tmp_path), **FAST)
    assert np.array_equal(again(["a cat"], [0])[0].frames, first(["a cat"], [0])[0].frames)


def test_the_prompt_is_told_as_training_captions_are():
    told = []
    generator = tiny_generator()
    generator.text_encoder.register_forward_hook(lambda _, args, __: told.extend(args[0]))
    TextToStickerPipeline(generator, **FAST)([" a cat "], [0], "a dog")
    assert told == ["a dog", "Cartoon\ta cat"]
    assert TextToStickerPipeline(generator, **FAST, domain="").caption("a cat") == "a cat"


def test_what_comes_out_is_cut_out_where_that_is_wanted():
    def half(sticker: Sticker) -> Sticker:
        frames = sticker.frames.copy()
        frames[..., 3] = 128
        return Sticker(frames, sticker.durations)

    (sticker,) = TextToStickerPipeline(tiny_generator(), half, **FAST)(["a cat"], [0])
    assert (sticker.frames[..., 3] == 128).all()


def test_progress_counts_all_steps_of_all_stickers():
    seen = []
    TextToStickerPipeline(tiny_generator(), **FAST)(["a"] * 2, [0, 1], progress=lambda *step: seen.append(step))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_mistakes_are_said(source):
    pipeline = TextToStickerPipeline(tiny_generator(), **FAST)
    with pytest.raises(UserError, match="an empty prompt came"):
        pipeline([" "], [0])
    with pytest.raises(UserError, match="multiples of 16"):
        TextToStickerPipeline(tiny_generator(), size=(40, 40))
    with pytest.raises(UserError, match="0 frames a second"):
        TextToStickerPipeline(tiny_generator(), **FAST, fps=0)
    with pytest.raises(UserError, match="holds a SmallVAE; text needs a TextToVideo"):
        TextToStickerPipeline.from_pretrained("glassine:tiny-vae")
    assert torch.is_grad_enabled()
