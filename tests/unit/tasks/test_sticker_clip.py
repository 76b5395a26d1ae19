import pytest
import torch
from tests.unit.models.test_sticker_clip import make_clip

from glassine.tasks.sticker_clip import MOTIONS, StickerCLIPTask, moved


def make_task(**arguments) -> StickerCLIPTask:
    return StickerCLIPTask(make_clip(), lambda p: torch.optim.Adam(p, lr=0.003), **arguments)


def make_batch() -> dict:
    names = ["a cat", "a dog", "a tree", "a bus"]
    clip = torch.rand(4, 4, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    return {"clip": clip, "caption": names, "trigger_words": [[], [], [], []], "group": ["0", "1", "2", "3"]}


def test_training_pairs_clips_with_their_captions():
    task, batch = make_task(motion_weight=0.0), make_batch()
    optimizer = task.configure_optimizers()
    task.clip.train()
    for _ in range(30):
        loss = task.training_step(batch, 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    similar = task.clip.embed_clips(batch["clip"]) @ task.clip.embed_texts(batch["caption"]).T
    assert similar.argmax(dim=1).tolist() == [0, 1, 2, 3]
    assert not [name for name in task.state_dict() if "text_encoder" in name]


def test_captions_of_the_same_group_are_right_for_each_other():
    task = make_task()
    vectors = torch.eye(2)[[0, 0, 1]]  # the first two are the same sticker
    apart = task.contrast(vectors, vectors, ["x", "y", "z"])
    together = task.contrast(vectors, vectors, ["x", "x", "z"])
    torch.testing.assert_close(apart, together)  # even over both, which is what equal vectors say anyway
    wrong = task.contrast(vectors, vectors, ["x", "y", "x"])
    assert wrong > together


def test_moved_clips_are_what_they_are_called():
    clip = torch.arange(6.0)[None, :, None, None, None].expand(40, 6, 3, 2, 2)
    shown, kinds = moved(clip, torch.Generator().manual_seed(0))
    order = shown[:, :, 0, 0, 0]
    for kind, name in enumerate(MOTIONS):
        rows = order[kinds == kind]
        assert len(rows)
        steps = rows.diff(dim=1)
        if name == "still":
            assert not steps.any()
        if name == "as it is":
            assert (steps == 1).all()
        if name == "reversed":
            assert (steps == -1).all()
        if name == "shuffled":
            assert (rows.sort(dim=1).values == torch.arange(6.0)).all()
            assert (steps != 1).any()


def test_trigger_words_stand_in_for_some_captions():
    task = make_task(words=0.5)
    said = [task.say("a cat", ["puss", "kitty"]) for _ in range(40)]
    assert 5 < said.count("a cat") < 35
    assert {"puss", "kitty", "puss kitty", "kitty puss"} >= set(said) - {"a cat"}
    assert make_task(words=1.0).say("a cat", []) == "a cat"


def test_a_head_for_other_motions_is_refused():
    with pytest.raises(ValueError, match="got 2"):
        StickerCLIPTask(make_clip(motions=2), torch.optim.Adam)


def test_thumbnails_are_changed_in_training_and_shown_on_white_otherwise():
    task = make_task()
    picture = torch.zeros(2, 4, 32, 32, dtype=torch.uint8)
    picture[:, 3, 8:24, 8:24] = picture[:, 0, 8:24, 8:24] = 255
    batch = {"picture": picture, "caption": ["a", "b"], "trigger_words": [[], []], "group": ["0", "1"]}
    task.eval()
    white = task.shown(batch)
    assert white.shape == (2, 1, 3, 32, 32)
    assert white[0, 0, :, 0, 0].tolist() == [1, 1, 1]
    assert white[0, 0, :, 16, 16].tolist() == [1, 0, 0]
    task.train()
    assert not torch.equal(task.shown(batch), white)
    assert task.training_step(batch, 0).isfinite()
