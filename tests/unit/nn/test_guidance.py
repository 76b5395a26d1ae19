import torch

from glassine.nn.diffusion import rescale_noise_cfg


def test_frames_that_are_given_do_not_count():
    towards, guided = torch.randn(2, 4, 3, 8, 8), torch.randn(2, 4, 3, 8, 8) * 5
    given = torch.zeros(2, 4, dtype=torch.bool)
    given[:, 1] = True
    once = rescale_noise_cfg(guided, towards, 0.7, given)
    changed = guided.clone()
    changed[:, 1] = 100
    again = rescale_noise_cfg(changed, towards, 0.7, given)
    assert torch.equal(once[:, 2:], again[:, 2:])
    whole = rescale_noise_cfg(guided, towards, 1.0, given)[:, [0, 2, 3]].flatten(1).std(dim=1)
    torch.testing.assert_close(whole, towards[:, [0, 2, 3]].flatten(1).std(dim=1))
