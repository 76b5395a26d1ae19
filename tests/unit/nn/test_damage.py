import cv2
import torch

from glassine.nn.background import DamageStatistics


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
