import math

import pytest
import torch
from torch.nn import functional

from glassine.metrics.clip_score import ClipScores, caption_id, recall
from glassine.utils.errors import UserError

COLORS = {"a red sticker": (1, 0, 0), "a green sticker": (0, 1, 0), "a blue sticker": (0, 0, 1)}
RED, GREEN, BLUE = COLORS


def images(frames):
    return 5 * frames.mean((2, 3))  # the mean color, of any length


def texts(captions):
    return torch.tensor([COLORS[caption] for caption in captions], dtype=torch.float32)


def painted(*colors, frames=2):
    return torch.tensor(colors, dtype=torch.float32).view(-1, 1, 3, 1, 1).expand(-1, frames, -1, 4, 4).clone()


def scores(**arguments):
    return ClipScores(images, texts, "toy", **arguments)


def test_names_say_network_kind_and_background():
    metric = scores()
    metric.update(painted((1, 0, 0)), [RED])
    assert list(metric.compute()) == [
        "clip_toy_score_white", "clip_toy_similarity_softmax_white",
        "clip_toy_t2v_r1_white", "clip_toy_t2v_r5_white", "clip_toy_v2t_r1_white", "clip_toy_v2t_r5_white",
        "clip_toy_white_n",
    ]  # fmt: skip


def test_score_is_the_mean_over_frames_and_clips_of_a_hundred_cosines():
    clips = painted((1, 0, 0), (1, 1, 0))
    clips[0, 1] = painted((0, 1, 0))[0, 0]  # the second frame is green: cosine 0
    metric = scores()
    metric.update(clips[:1], [RED])
    metric.update(clips[1:], [RED])
    assert metric.compute()["clip_toy_score_white"] == pytest.approx(100 * (0.5 + math.sqrt(0.5)) / 2, abs=1e-3)
    assert metric.compute()["clip_toy_white_n"] == 2


def test_the_mean_score_is_at_least_zero_though_pairs_may_be_below():
    metric = ClipScores(images, lambda captions: -texts(captions), "toy", reading="cosine")
    metric.update(painted((1, 0, 0)), [RED])
    result = metric.compute()
    assert result["clip_toy_score_white"] == 0
    assert result["clip_toy_similarity_cosine_white"] == pytest.approx(-1)


def test_softmax_similarity_is_the_probability_among_all_captions():
    clips = painted((1, 0, 0), (0.5, 1, 0), (0, 0, 1))
    clips[0, 1] = painted((0.6, 0, 0.8))[0, 0]
    metric = scores(logit_scale=3.0)
    metric.update(clips[:2], [RED, GREEN])
    metric.update(clips[2:], [BLUE])
    frames = functional.normalize(clips.mean((3, 4)), dim=-1)  # the captions are the axes
    expected = [(3 * frames[n]).softmax(-1)[:, n].mean() for n in range(3)]
    similarity = metric.compute()["clip_toy_similarity_softmax_white"]
    assert similarity == pytest.approx(torch.stack(expected).mean().item(), abs=1e-5)


def test_a_caption_that_comes_twice_is_one_candidate():
    metric = scores(logit_scale=1.0)
    metric.update(painted((1, 0, 0), (1, 0, 0), (0, 1, 0)), [RED, RED, GREEN])
    expected = math.e / (math.e + 1)
    assert metric.compute()["clip_toy_similarity_softmax_white"] == pytest.approx(expected, abs=1e-5)


def test_relative_similarity_is_measured_by_the_real_clips():
    metric = scores(reading="relative")
    generated, real = painted((1, 1, 0), (0, 1, 0)), painted((1, 0, 0), (1, 1, 0))
    metric.update(generated, [RED, GREEN], real)
    expected = (math.sqrt(0.5) / 1 + 1 / math.sqrt(0.5)) / 2
    assert metric.compute()["clip_toy_similarity_relative_white"] == pytest.approx(expected, abs=1e-5)
    with pytest.raises(UserError, match="real must be given for the relative reading"):
        metric.update(generated, [RED, GREEN])


def test_retrieval_finds_what_is_nearest_in_both_directions():
    metric = scores()
    # the clip for "green" is more red than the one for "red"
    metric.update(painted((1, 0.9, 0), (1, 0.1, 0), (0, 0, 1)), [RED, GREEN, BLUE])
    result = metric.compute()
    assert result["clip_toy_t2v_r1_white"] == pytest.approx(1 / 3)  # only blue
    assert result["clip_toy_v2t_r1_white"] == pytest.approx(2 / 3)  # red and blue
    assert result["clip_toy_t2v_r5_white"] == result["clip_toy_v2t_r5_white"] == 1


def test_the_same_clip_for_every_caption_finds_nothing():
    metric = scores()
    metric.update(painted(*[(1, 1, 1)] * 3), [RED, GREEN, BLUE])
    result = metric.compute()
    assert result["clip_toy_t2v_r1_white"] == result["clip_toy_v2t_r1_white"] == 0


def test_every_clip_of_a_caption_is_a_right_answer():
    similarity = torch.tensor([[0.9, 0.5, 0.1], [0.2, 0.3, 0.1]])
    matches = torch.tensor([[False, True, True], [True, False, False]])
    assert recall(similarity, matches, 1) == 0
    assert recall(similarity, matches, 2) == 1
    assert recall(similarity, torch.tensor([[True, False, True], [False, True, False]]), 1) == 1


def test_transparent_clips_lie_on_the_named_background():
    clear = torch.cat([painted((1, 0, 0)), torch.zeros(1, 2, 1, 4, 4)], dim=2)
    metric = scores(background="#0000ff")
    metric.update(clear, [BLUE])
    assert metric.compute()["clip_toy_score_0000ff"] == pytest.approx(100, abs=1e-3)


def test_two_processes_together_give_the_value_of_one():
    clips, captions = painted((1, 0.5, 0), (0.2, 1, 0), (0, 0.6, 1), (1, 0, 0.4)), [RED, GREEN, BLUE, RED]
    whole, half, other, idle = (scores() for _ in range(4))
    whole.update(clips, captions)
    half.update(clips[:1], captions[:1])
    other.update(clips[1:], captions[1:])
    half.merge_state(other)
    half.merge_state(idle)
    assert half.compute() == pytest.approx(whole.compute())


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_no_clip_has_no_score():
    result = scores().compute()
    assert result.pop("clip_toy_white_n") == 0
    assert all(math.isnan(value) for value in result.values())


def test_captions_keep_their_identity_as_numbers_that_float32_holds():
    ids = torch.tensor([caption_id(f"Cartoon\ta panda {n}") for n in range(1000)])
    assert len(ids.unique(dim=0)) == 1000
    assert torch.equal(ids.float().long(), ids)
    assert caption_id("熊猫") != caption_id("猫熊")


def test_mistakes_are_named():
    with pytest.raises(UserError, match="reading must be one of softmax, cosine, relative, got"):
        scores(reading="rm")
    metric = scores()
    with pytest.raises(ValueError, match="captions must be as many as clips, 1, got 2"):
        metric.update(painted((1, 0, 0)), [RED, GREEN])
    metric.update(painted((1, 0, 0)), [RED])
    with pytest.raises(UserError, match="as many frames as those before, 2, got 3"):
        metric.update(painted((1, 0, 0), frames=3), [RED])
