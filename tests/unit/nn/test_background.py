import cv2
import numpy as np
import pytest
import torch

from glassine.nn.background import (
    BackgroundEvidence,
    DamageStatistics,
    border_barrier,
    estimate_background,
    spread_small,
)


def test_the_background_is_the_borders_most_frequent_color_even_if_the_sticker_covers_much_of_it():
    clip = torch.full((1, 2, 3, 20, 20), 0.8)
    clip[..., :, 12:] = torch.tensor([0.1, 0.2, 0.9])[:, None, None]  # touches 40% of the border
    assert estimate_background(clip)[0].tolist() == pytest.approx([0.8] * 3)


def test_noise_is_averaged_out_of_the_background():
    clip = 0.5 + 0.01 * torch.randn(1, 8, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert estimate_background(clip)[0].tolist() == pytest.approx([0.5] * 3, abs=0.005)


def test_the_barrier_is_the_lowest_level_at_which_a_walk_from_outside_arrives():
    distance = torch.zeros(9, 9)
    distance[2:7, 2:7] = 0.3  # an outline of the distance 0.3 ...
    distance[3:6, 3:6] = 0.0  # ... around an inside of the background's own color
    distance[4, 2] = 0.1  # with a weak place
    barrier = border_barrier(distance[None], levels=(0.05, 0.2, 0.5))[0]
    assert barrier[0, 0] == pytest.approx(0.05)
    assert barrier[4, 4] == pytest.approx(0.2)  # reached through the weak place
    assert barrier[2, 4] == pytest.approx(0.5)
    distance[4, 2] = 0.9
    distance[2:7, 2:7][distance[2:7, 2:7] > 0] = 0.9
    assert border_barrier(distance[None], levels=(0.05, 0.2, 0.5))[0][4, 4] == 1


def test_small_distances_are_spread_and_the_ends_stay():
    assert spread_small(torch.tensor([0.0, 1.0])).tolist() == pytest.approx([0, 1])
    low, high = torch.diff(spread_small(torch.tensor([0.02, 0.04]))), torch.diff(spread_small(torch.tensor([0.4, 0.8])))
    assert low > 0.6 * high


def test_evidence_is_signed_difference_then_distance_then_barrier():
    clip = torch.ones(1, 1, 3, 8, 8)
    clip[0, 0, :, 2:6, 2:6] = torch.tensor([0.4, 1.0, 0.8])[:, None, None]
    evidence = BackgroundEvidence()(clip)
    assert evidence.shape == (1, 1, BackgroundEvidence.channels, 8, 8)
    np.testing.assert_allclose(
        evidence[0, 0, :, 4, 4], [-0.6, 0, -0.2, spread_small(torch.tensor(0.6)), 1.0], atol=1e-6
    )


def disc(size: int = 64) -> torch.Tensor:
    """A soft-edged red disc on gray, `1 1 3 h w`, in whole 255ths."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    alpha = (size / 3 - (x - size / 2).hypot(y - size / 2)).div(4).add(0.5).clamp(0, 1)
    color, gray = torch.tensor([0.9, 0.2, 0.1])[:, None, None], 0.5
    return ((color * alpha + gray * (1 - alpha)) * 255).round()[None, None] / 255


def as_jpeg(clip: torch.Tensor) -> torch.Tensor:
    picture = (clip[0, 0].permute(1, 2, 0) * 255).round().byte().numpy()
    coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 75])[1]
    decoded = torch.from_numpy(cv2.imdecode(coded, cv2.IMREAD_COLOR))
    return decoded.permute(2, 0, 1)[None, None] / 255


def test_a_flat_picture_and_ramps_count_as_smooth():
    statistics, background = DamageStatistics(), torch.full((1, 3), 0.5)
    ramp = torch.linspace(0, 1, 32).expand(1, 2, 3, 32, 32)
    for smooth in (torch.full((1, 2, 3, 32, 32), 0.5), ramp, ramp.mT):
        assert not statistics(smooth, background).any()


def test_compression_roughens_what_is_near_the_background_and_soft_edges_do_not():
    statistics, background = DamageStatistics(), torch.full((1, 3), 128 / 255)
    clean, damaged = (statistics(clip, background)[0, 0] for clip in (disc(), as_jpeg(disc())))
    assert damaged[0] > 3 * clean[0]  # a 255th here and there, nearly everywhere
    assert (damaged[:4] <= damaged[4:]).all()  # near the background is part of anywhere


def test_frames_are_judged_one_by_one():
    clip = torch.cat([disc(), as_jpeg(disc())], dim=1)
    both = DamageStatistics()(clip, torch.full((1, 3), 128 / 255))
    torch.testing.assert_close(both[:, 1:], DamageStatistics()(clip[:, 1:], torch.full((1, 3), 128 / 255)))
    assert both[0, 0, 0] < both[0, 1, 0]
