import pytest
import torch
from torchvision.models.optical_flow import raft_large, raft_small

from glassine.pretrained.raft import RAFTFlow, raft
from glassine.utils.errors import UserError


class Told(torch.nn.Module):
    """What torchvision's RAFT is called with; the last of its answers is the pixel's own place."""

    def forward(self, first, second, num_flow_updates):
        self.seen, self.updates = (first, second), num_flow_updates
        rows, columns = torch.meshgrid(*(torch.arange(side) for side in first.shape[-2:]), indexing="ij")
        return [torch.full_like(first[:, :2], torch.nan), torch.stack([columns, rows])[None].to(first)]


def test_sides_are_filled_up_to_multiples_of_8_and_cut_off_again():
    network = Told()
    first, second = torch.rand(2, 1, 3, 131, 134)
    flow = RAFTFlow(network)(first, second)
    assert network.updates == 20
    assert [x.shape for x in network.seen] == [(1, 3, 136, 136)] * 2
    torch.testing.assert_close(network.seen[1][..., 2:133, 1:135], 2 * second - 1)
    assert torch.equal(network.seen[0][..., 0, :], network.seen[0][..., 2, :])
    assert flow.shape == (1, 2, 131, 134)
    assert flow[0, :, 0, 0].tolist() == [1, 2]


def test_published_files_load_by_name_and_are_frozen(tmp_path):
    torch.manual_seed(0)
    torch.save(raft_small(weights=None).state_dict(), tmp_path / "small.pth")
    network = raft(str(tmp_path / "small.pth"), small=True, updates=2)
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    frames = torch.rand(2, 3, 128, 128)
    flow = network(frames, frames.flip(3))
    plain = raft_small(weights=None).eval()
    plain.load_state_dict(torch.load(tmp_path / "small.pth"))
    with torch.no_grad():
        torch.testing.assert_close(flow, plain(2 * frames - 1, 2 * frames.flip(3) - 1, num_flow_updates=2)[-1])
    torch.save({"mask_predictor.conv.bias": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="does not match"):
        raft(str(tmp_path / "other.pth"), small=True)
    with pytest.raises(UserError, match="no weight file"):
        raft(str(tmp_path / "none.pth"))


def test_the_large_network_has_as_many_parameters_as_is_published():
    with torch.device("meta"):
        assert sum(p.numel() for p in raft_large(weights=None).parameters()) == 5_257_536


def test_frames_that_are_too_small_are_refused():
    with pytest.raises(UserError, match="must be at least 128 x 128 for RAFT, got 120 x 200"):
        RAFTFlow(Told())(torch.rand(1, 3, 120, 200), torch.rand(1, 3, 120, 200))
