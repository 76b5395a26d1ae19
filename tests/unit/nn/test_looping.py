import torch
from torch import nn

from glassine.nn.looping import cycle, neighbor_changes, wrap_around


def test_on_a_circle_the_last_place_is_as_near_to_the_first_as_any_neighbor():
    places = cycle(8, 16, torch.zeros(1))
    steps = (places.roll(-1, dims=0) - places).norm(dim=1)
    torch.testing.assert_close(steps, steps[:1].expand(8))
    distances = torch.cdist(places, places) + 10 * torch.eye(8)
    assert distances.min() > 0.5  # all places differ


def test_a_wrapped_convolution_gives_the_turned_clip_for_a_turned_clip_and_its_weights_stay():
    torch.manual_seed(0)
    layer = nn.Sequential(nn.Conv3d(2, 2, (3, 1, 1), padding=(1, 0, 0)))
    before, clip = layer[0].weight.clone(), torch.randn(1, 2, 5, 3, 3)
    straight = layer(clip)
    wrap_around([layer])
    torch.testing.assert_close(layer(clip.roll(2, dims=2)), layer(clip).roll(2, dims=2))
    assert not torch.allclose(layer(clip)[:, :, 0], straight[:, :, 0])
    torch.testing.assert_close(layer(clip)[:, :, 1:4], straight[:, :, 1:4])
    wrap_around([layer], False)
    assert torch.equal(layer(clip), straight)
    assert torch.equal(layer[0].weight, before)


def test_changes_of_a_loop_include_the_one_over_its_ends():
    clip = torch.tensor([[0.0, 1.0, 3.0]])
    assert neighbor_changes(clip).tolist() == [[1.0, 2.0]]
    assert neighbor_changes(clip, wraps=True).tolist() == [[1.0, 2.0, -3.0]]
