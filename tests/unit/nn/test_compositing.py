import torch

from glassine.nn.compositing import composite_on, own_colors, random_backgrounds, random_placement


def sticker(count: int = 6) -> torch.Tensor:
    """A red disc on clear ground, color-padded."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 32), indexing="ij")
    alpha = ((x**2 + y**2) < 0.3).float()[None, None]
    red = torch.tensor([0.9, 0.1, 0.2]).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    return torch.cat([red, alpha], dim=1).repeat(count, 1, 1, 1)


def test_a_background_shows_only_where_the_sticker_is_clear():
    rgba = sticker(1)
    opaque = composite_on(rgba, torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1))
    assert opaque[0, :, 0, 0].tolist() == [0.0, 0.0, 1.0]
    torch.testing.assert_close(opaque[0, :, 16, 16], torch.tensor([0.9, 0.1, 0.2]))


def test_backgrounds_are_drawn_from_the_seed_and_lie_in_range():
    drawn = []
    for _ in range(2):
        torch.manual_seed(3)
        drawn.append(random_backgrounds(sticker(64)))
    assert torch.equal(*drawn)
    assert drawn[0].shape == (64, 3, 32, 32)
    assert drawn[0].min() >= 0
    assert drawn[0].max() <= 1
    flat = (drawn[0] == drawn[0][:, :, :1, :1]).flatten(1).all(1)
    assert 0.5 < flat.float().mean() < 0.95  # flat colors, own colors and plain ones


def test_an_own_color_is_one_of_the_opaque_pixels():
    torch.testing.assert_close(own_colors(sticker(4)), torch.tensor([[0.9, 0.1, 0.2]]).expand(4, 3))
    assert own_colors(torch.zeros(2, 4, 8, 8)).shape == (2, 3)  # nothing opaque: any pixel's


def test_moved_stickers_keep_colors_and_soft_edges():
    torch.manual_seed(0)
    rgba = sticker(32)
    moved = random_placement(rgba, share=1.0)
    assert moved.shape == rgba.shape
    assert not torch.equal(moved, rgba)
    inside = moved[:, 3] > 0.5
    values = moved[:, :3].permute(0, 2, 3, 1)[inside].sort(dim=-1).values  # channels may have changed places
    torch.testing.assert_close(values, torch.tensor([0.1, 0.2, 0.9]).expand_as(values), atol=0.02, rtol=0)
    assert torch.equal(random_placement(rgba, share=0.0), rgba)
