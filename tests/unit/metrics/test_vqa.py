import math

import pytest
import torch

from glassine.metrics.vqa import VQA, frame_index, spatial_fragments
from glassine.utils.errors import UserError


def test_a_long_clip_is_seen_in_windows_spread_evenly():
    index = frame_index(300, clip_len=32, frame_interval=2, num_clips=4)
    assert index.shape == (4, 32)
    assert index[:, 0].tolist() == [29, 88, 148, 207]  # (300 - 64 + 1) / 4 = 59.25 apart, half of that before the first
    assert index[3, -1] == 207 + 62 < 300


def test_a_short_clip_is_begun_again():
    index = frame_index(8, clip_len=6, frame_interval=2, num_clips=2)
    assert index.tolist() == [[0, 2, 4, 6, 0, 2]] * 2
    assert frame_index(8, clip_len=9, frame_interval=1, num_clips=1).tolist() == [[*range(8), 0]]


def reference(window, seed, windows):
    """Fragments of the last of several windows, patch by patch, as the authors' loop does it."""
    torch.manual_seed(seed)
    height, width = window.shape[-2:]
    down, right = (
        torch.randint(size // 7 - 32, (7, 7, windows)) if size // 7 > 32 else torch.zeros(7, 7, windows).int()
        for size in (height, width)
    )
    out = torch.zeros(*window.shape[:-2], 224, 224)
    for i in range(7):
        for j in range(7):
            top = min(height // 7 * i, height - 32) + int(down[i, j, -1])
            left = min(width // 7 * j, width - 32) + int(right[i, j, -1])
            patch = window[..., top : top + 32, left : left + 32]
            out[..., i * 32 : (i + 1) * 32, j * 32 : (j + 1) * 32] = patch
    return out


@pytest.mark.parametrize("size", [(256, 301), (224, 230), (400, 224)])
def test_fragments_are_raw_patches_where_a_plain_loop_finds_them(size):
    clip = torch.rand(2, 3, *size)
    index = torch.tensor([[0, 0, 0], [1, 1, 1], [0, 1, 0]])
    fragments = spatial_fragments(clip, index, torch.Generator().manual_seed(5))
    assert fragments.shape == (3, 3, 3, 224, 224)
    assert torch.equal(fragments[2], reference(clip[index[2]], 5, windows=3))


def test_small_frames_are_enlarged_and_seen_as_a_whole():
    ramp = torch.linspace(0, 1, 64).expand(1, 3, 48, 64)  # brighter to the right
    fragments = spatial_fragments(ramp, frame_index(1, 2, 1, 1), torch.Generator().manual_seed(0))
    assert fragments.shape[-2:] == (224, 224)
    assert fragments[..., :32].mean() < 0.15
    assert fragments[..., -32:].mean() > 0.85


def brightness(fragments):
    assert fragments.shape[1:] == (3, 32, 224, 224)
    return fragments.mean((1, 2, 3, 4)) - 0.5


@pytest.fixture
def metric():
    return VQA(brightness, "toy", num_clips=2, mean=0.1, std=0.5)


def test_score_is_the_mean_over_clips_of_the_mapped_answer(metric):
    clips = torch.cat([torch.full((1, 8, 3, 32, 32), 0.6), torch.full((1, 8, 3, 32, 32), 1.0)])
    metric.update(clips[:1])
    metric.update(clips[1:])
    expected = [1 / (1 + math.exp(-(raw - 0.1) / 0.5)) for raw in (0.1, 0.5)]
    assert metric.per_clip().tolist() == pytest.approx(expected, abs=1e-6)
    assert metric.compute() == pytest.approx({"vqa_toy_white": sum(expected) / 2, "vqa_toy_white_n": 2}, abs=1e-6)


def test_a_score_depends_on_the_seed_and_not_on_the_clips_beside():
    def noticing(fragments):
        return (fragments[:, 0, 0] * torch.linspace(0, 1, 224)).mean((1, 2))

    clips = torch.rand(3, 2, 3, 256, 256)
    together, alone, other = (VQA(noticing, "toy", seed=seed, num_clips=2, mean=0.25, std=0.1) for seed in (0, 0, 1))
    together.update(clips)
    for clip in reversed(clips):
        alone.update(clip[None])
    other.update(clips)
    torch.testing.assert_close(together.per_clip(), alone.per_clip().flip(0))
    assert not torch.allclose(together.per_clip(), other.per_clip(), atol=1e-4)


def test_transparent_clips_lie_on_the_named_background():
    clear = torch.zeros(1, 8, 4, 32, 32)
    bright, dark = (VQA(brightness, "toy", background, num_clips=1) for background in ("white", "black"))
    for metric in (bright, dark):
        metric.update(clear)
    assert bright.compute()["vqa_toy_white"] > 0.99
    assert dark.compute()["vqa_toy_black"] < 0.01


def test_two_processes_together_give_the_value_of_one(metric):
    clips = torch.rand(3, 2, 3, 32, 32)
    half, other = (VQA(brightness, "toy", num_clips=2, mean=0.1, std=0.5) for _ in range(2))
    metric.update(clips)
    half.update(clips[:1])
    other.update(clips[1:])
    half.merge_state(other)
    assert half.compute() == pytest.approx(metric.compute())


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_no_clip_has_no_score_and_mistakes_are_named(metric):
    assert math.isnan(metric.compute()["vqa_toy_white"])
    with pytest.raises(UserError, match="background must be a color"):
        VQA(brightness, "toy", background="blurple")
    with pytest.raises(UserError, match="must be lower-case words"):
        VQA(brightness, "")
