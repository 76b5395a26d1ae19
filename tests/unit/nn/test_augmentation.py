import math

import torch

from glassine.nn.augmentation import PictureAugment, blur, coarse, compose_scenes, random_moves, recolored

NOTHING = {"rotate": 0, "scale": (1, 1), "shift": 0, "bend": 0, "color": 0, "hue": 0, "damage": 0, "missing": 0}


def square(count=1, side=32, color=(0.8, 0.2, 0.1)):
    """Premultiplied: a square of one color, half as wide as the picture."""
    pictures = torch.zeros(count, 4, side, side)
    pictures[:, 3, side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] = 1
    pictures[:, :3] = torch.tensor(color)[:, None, None] * pictures[:, 3:]
    return pictures


def test_without_any_change_it_composites():
    pictures = square()
    made = PictureAugment(**NOTHING, white=1.0)(pictures)
    torch.testing.assert_close(made, pictures[:, :3] + 1 - pictures[:, 3:])
    same = PictureAugment(**NOTHING, white=1.0)((pictures * 255).round().byte())
    torch.testing.assert_close(same, made, rtol=0, atol=1 / 255)


def test_backgrounds_are_white_gray_or_any():
    torch.manual_seed(0)
    corners = PictureAugment(**NOTHING, white=0.4)(square(400))[:, :, 0, 0]
    white, gray = (corners == 1).all(1).float().mean(), (corners == 0.5).all(1).float().mean()
    assert 0.33 < white < 0.47
    assert 0.14 < gray < 0.26


def test_stickers_are_moved_and_scaled_within_the_limits():
    torch.manual_seed(0)
    augment = PictureAugment(**{**NOTHING, "scale": (0.5, 1.0), "shift": 0.1}, white=1.0)
    pictures = square(64)
    areas = augment.moved(pictures)[:, 3].sum((1, 2)) / pictures[:, 3].sum((1, 2))
    assert 0.2 < areas.min() < 0.4
    assert 0.8 < areas.max() < 1.05
    columns = torch.arange(32.0)
    alpha = augment.moved(pictures)[:, 3]
    middle = (alpha.sum(1) * columns).sum(1) / alpha.sum((1, 2)) - 15.5
    assert 1.5 < middle.abs().max() <= 0.1 * 32 + 0.1
    turned = PictureAugment(**{**NOTHING, "rotate": 30}).moved(square(16))
    assert (turned[:, 3].sum((1, 2)) - pictures[0, 3].sum()).abs().max() < 15  # of 256: turned, not scaled


def test_colors_change_and_alpha_does_not():
    torch.manual_seed(0)
    pictures = square(32)
    augment = PictureAugment(**{**NOTHING, "color": 0.3})
    changed = recolored(pictures, augment.color_matrices(pictures))
    assert torch.equal(changed[:, 3], pictures[:, 3])
    assert (changed[:, :3] <= changed[:, 3:]).all()  # still premultiplied
    assert changed[:, :, 16, 16].std(0)[:3].min() > 0.02
    hue = PictureAugment(**{**NOTHING, "hue": 0.05})
    turned = recolored(pictures, hue.color_matrices(pictures))[:, :3, 16, 16]
    torch.testing.assert_close(turned.sum(1), torch.full((32,), 1.1), rtol=0, atol=0.12)  # gray is the axis
    identity, offset = PictureAugment(**NOTHING).color_matrices(pictures)
    torch.testing.assert_close(identity, torch.eye(3).expand(32, 3, 3))
    assert not offset.any()


def test_some_pictures_are_damaged_and_some_lack_a_part():
    torch.manual_seed(0)
    clean = PictureAugment(**NOTHING, white=1.0)(square())
    made = PictureAugment(**{**NOTHING, "damage": 0.2}, white=1.0)(square(100))
    touched = (made - clean).abs().amax((1, 2, 3)) > 1e-3
    assert abs(float(touched.float().mean()) - (1 - 0.8**4)) < 0.15
    assert made.min() >= 0
    assert made.max() <= 1
    cut = PictureAugment(**{**NOTHING, "missing": 1.0}).without_parts(square(50))
    assert (cut[:, 3].sum((1, 2)) < 256).float().mean() > 0.3
    assert (cut[:, 3].sum((1, 2)) > 0).all()


def test_blur_is_a_gaussian_and_a_low_resolution_loses_details():
    point = torch.zeros(1, 1, 41, 41)
    point[0, 0, 20, 20] = 1
    blurred = blur(1.5)(point)[0, 0]
    assert blurred.sum().item() == 1.0 or math.isclose(blurred.sum().item(), 1, abs_tol=1e-5)
    spread = (blurred.sum(0) * (torch.arange(41.0) - 20) ** 2).sum().sqrt()
    assert abs(float(spread) - 1.5) < 0.1
    stripes = (torch.arange(32) % 2).float().expand(1, 3, 32, 32)
    assert coarse(8)(stripes).std() < 0.05
    flat = torch.full((1, 3, 32, 32), 0.3)
    torch.testing.assert_close(coarse(8)(flat), flat)


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
