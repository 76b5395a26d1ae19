import torch

from glassine.pipelines.backgrounds import give_back_colors


def test_a_shift_of_all_colors_is_taken_back_in_every_frame():
    base = torch.full((4, 32, 32), 0.6)
    base[3] = 0
    base[3, 8:24, 8:24] = 1
    clips = base.expand(2, 3, -1, -1, -1).clone()
    clips[:, :, 0] -= 0.2
    clips[:, 0, 1] += 0.1  # what differs from the reference frame stays so
    given = give_back_colors(clips, base, reference=1)
    inside = given[..., 8:24, 8:24]
    torch.testing.assert_close(inside[:, :, 0], torch.full_like(inside[:, :, 0], 0.6))
    torch.testing.assert_close(inside[:, 0, 1], torch.full_like(inside[:, 0, 1], 0.7))
    assert torch.equal(given[:, :, 3], clips[:, :, 3])


def test_details_are_not_painted_over_what_moves():
    base = torch.ones(4, 32, 32)
    base[:3, 16, 16] = 0
    clips = torch.ones(1, 2, 4, 32, 32)
    assert (give_back_colors(clips, base, reference=0) - clips).abs().max() < 0.02
