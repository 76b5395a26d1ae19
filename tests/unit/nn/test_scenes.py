import torch

from glassine.nn.augmentation import compose_scenes, random_moves


def stickers(count: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    colors = torch.eye(3)[:count, :, None, None].expand(-1, -1, 48, 48)  # red, green, blue squares
    alpha = torch.zeros(count, 1, 48, 48)
    alpha[:, :, 12:36, 12:36] = 1
    return colors, alpha


def test_what_is_seen_of_all_stickers_and_of_the_background_makes_the_picture():
    foreground, alpha = stickers()
    background = torch.full((3, 3), 0.25)
    generator = torch.Generator().manual_seed(0)
    pictures, seen = compose_scenes(foreground, alpha, background, 3, generator)
    assert seen.shape == (3, 3, 48, 48)
    rest = 1 - seen.sum(1)
    assert rest.min() > -1e-5
    assert (seen.sum((-2, -1)) > 0).any(0).all()
    # all stickers have one pure color, so what is neither background is as much as is seen
    color = pictures - 0.25 * rest[:, None]
    torch.testing.assert_close(color.sum(1), seen.sum(1), atol=1e-4, rtol=0)


def test_later_stickers_hide_earlier_ones_and_the_scenes_own_is_the_first():
    foreground, alpha = stickers()
    alpha = torch.ones_like(alpha)
    full = (1.0, 1.0)
    pictures, seen = compose_scenes(foreground, alpha, torch.zeros(3, 3), 2, torch.Generator().manual_seed(1), full)
    center = seen[:, :, 24, 24]
    torch.testing.assert_close(center, torch.tensor([[0.0, 1.0]]).expand(3, -1), atol=1e-5, rtol=0)
    alone, _ = compose_scenes(foreground, alpha, torch.zeros(3, 3), 1, torch.Generator().manual_seed(1), full)
    torch.testing.assert_close(alone[:, :, 24, 24], torch.eye(3), atol=1e-5, rtol=0)
    assert not torch.allclose(pictures, alone)


def test_the_same_generator_gives_the_same_scene():
    foreground, alpha = stickers()
    draws = [compose_scenes(foreground, alpha, torch.zeros(3, 3), 3, torch.Generator().manual_seed(5)) for _ in "ab"]
    assert torch.equal(draws[0][0], draws[1][0])


def test_moves_keep_the_middle_of_a_sticker_in_the_picture():
    moves = random_moves(200, (0.3, 0.9), torch.Generator().manual_seed(0))
    linear, shift = moves[:, :, :2], moves[:, :, 2:]
    centers = -torch.linalg.solve(linear, shift)  # where the sticker's middle comes to lie
    assert centers.abs().max() <= 0.7
    scales = linear.det().abs() ** -0.5
    assert 0.29 < scales.min() < 0.4
    assert 0.8 < scales.max() < 0.91
