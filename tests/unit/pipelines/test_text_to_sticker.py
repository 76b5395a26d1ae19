from typing import Any

import numpy as np
import pytest
import torch
from tests.helpers.tiny_generator import save_tiny_generator, tiny_generator

from glassine.data.sticker import Sticker
from glassine.pipelines.text_to_sticker import TextToStickerPipeline
from glassine.utils.errors import UserError

FAST: dict[str, Any] = {"num_frames": 2, "height": 32, "width": 32, "num_inference_steps": 2, "guidance_rescale": 0.0}


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> str:
    return save_tiny_generator(tmp_path_factory.mktemp("generator"))


def test_stickers_have_the_size_frames_and_speed_that_were_asked_for(source):
    (sticker,) = TextToStickerPipeline.from_pretrained(source, device="cpu")("a cat", **FAST, fps=4)
    assert sticker.frames.shape == (2, 32, 32, 4)
    assert sticker.durations == (250, 250)
    assert (sticker.frames[..., 3] == 255).all()


def test_a_seed_gives_the_same_sticker_however_many_are_made(source):
    pipeline = TextToStickerPipeline.from_pretrained(source, device="cpu")
    three = pipeline("a cat", **FAST, seed=[5, 6, 7])
    (alone,) = pipeline("a cat", **FAST, seed=6)
    assert np.array_equal(three[1].frames, alone.frames)
    assert not np.array_equal(three[0].frames, alone.frames)


def test_batches_change_nothing_but_rounding(source):
    pipeline = TextToStickerPipeline.from_pretrained(source, device="cpu")
    one, two = (pipeline(["a cat"] * 2, **FAST, batch_size=size) for size in (1, 2))
    assert np.abs(one[1].frames.astype(int) - two[1].frames.astype(int)).max() <= 1


def test_saved_and_loaded_again_it_makes_the_same(source, tmp_path):
    first = TextToStickerPipeline.from_pretrained(source, device="cpu")
    first.model.requires_grad_(True)
    first.save_pretrained(tmp_path)
    again = TextToStickerPipeline.from_pretrained(str(tmp_path), device="cpu")
    assert np.array_equal(again("a cat", **FAST)[0].frames, first("a cat", **FAST)[0].frames)


def test_prompts_are_encoded_as_training_captions():
    encoded = []
    model = tiny_generator()
    model.text_encoder.register_forward_hook(lambda _, args, __: encoded.append(list(args[0])))
    pipeline = TextToStickerPipeline(model, device="cpu")
    pipeline(" a cat ", **FAST, negative_prompt="a dog")
    pipeline("a cat", **FAST, domain="", guidance_scale=1.0)
    assert encoded == [["a dog", "Cartoon\ta cat"], ["a cat"]]


def test_styles_are_named_as_in_training_captions_and_taken_in_turn():
    encoded = []
    model = tiny_generator()
    model.styles = ("3D", "flat")
    model.text_encoder.register_forward_hook(lambda _, args, __: encoded.extend(args[0]))
    pipeline = TextToStickerPipeline(model, device="cpu")
    settings = FAST | {"guidance_scale": 1.0, "domain": ""}
    pipeline("a cat", **settings, seed=[0, 1, 2])
    pipeline("猫", **settings, style="flat")
    pipeline("a cat", **settings, style="")
    assert encoded == ["a cat, 3D", "a cat, flat", "a cat, 3D", "猫，flat", "a cat"]


def test_a_style_that_the_network_does_not_know_is_refused():
    with pytest.raises(UserError, match="style must be left out, since this network knows none, got 'oil'"):
        TextToStickerPipeline(tiny_generator(), device="cpu")("a cat", **FAST, style="oil")


def test_settings_of_one_call_do_not_reach_the_next(source):
    pipeline = TextToStickerPipeline.from_pretrained(source, device="cpu")
    before = pipeline("a cat", **FAST)[0]
    other = pipeline("a cat", 3, 48, 32, 1, 1.0, seed=4, solver="dpm++", fps=20)[0]
    assert other.frames.shape == (3, 48, 32, 4)
    assert other.durations == (50,) * 3
    assert np.array_equal(pipeline("a cat", **FAST)[0].frames, before.frames)


def test_what_comes_out_is_cut_out_where_that_is_wanted():
    def half(sticker: Sticker) -> Sticker:
        frames = sticker.frames.copy()
        frames[..., 3] = 128
        return Sticker(frames, sticker.durations)

    (sticker,) = TextToStickerPipeline(tiny_generator(), half, device="cpu")("a cat", **FAST)
    assert (sticker.frames[..., 3] == 128).all()


def test_progress_counts_all_steps_of_all_stickers():
    seen = []
    TextToStickerPipeline(tiny_generator(), device="cpu")(["a"] * 2, **FAST, progress=lambda *step: seen.append(step))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_mistakes_are_said(source):
    pipeline = TextToStickerPipeline(tiny_generator(), device="cpu")
    with pytest.raises(UserError, match="prompt must not be empty"):
        pipeline(" ")
    with pytest.raises(UserError, match="got 2 prompts and 3 seeds"):
        pipeline(["a", "b"], seed=[0, 1, 2])
    with pytest.raises(UserError, match="multiples of 16"):
        pipeline("a cat", height=40, width=40)
    with pytest.raises(UserError, match=r"fps must be in \[0.1, 100\], got 0"):
        pipeline("a cat", fps=0)
    with pytest.raises(UserError, match="batch_size must be at least 1, got 0"):
        pipeline("a cat", batch_size=0)
    with pytest.raises(UserError, match="must hold a TextToVideo such as glassine:sti, got a SmallVAE"):
        TextToStickerPipeline.from_pretrained("glassine:tiny-vae")
    assert torch.is_grad_enabled()
