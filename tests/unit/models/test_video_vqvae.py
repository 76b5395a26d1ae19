import threading

import pytest
import torch
from torch import distributed

from glassine.models.video_vqvae import Attention, AxialAttention, Codebook, VideoVQVAE
from glassine.pretrained.weights import load_bundle, save_bundle
from glassine.utils.errors import UserError

SMALL = {"width": 8, "blocks": 1, "heads": 2, "codes": 16, "code_width": 4, "downsample": [2, 4, 4]}


def small(**arguments) -> VideoVQVAE:
    torch.manual_seed(0)
    return VideoVQVAE(**(SMALL | {"downsample": (2, 4, 4)} | arguments))


@pytest.mark.parametrize(
    ("downsample", "grid"), [((2, 4, 4), (2, 4, 2)), ((1, 2, 8), (4, 8, 1)), ((4, 1, 1), (1, 16, 8))]
)
def test_a_clip_becomes_codes_and_a_clip_again_with_any_downsampling(downsample, grid):
    vqvae = small(downsample=downsample).eval()
    codes = vqvae.encode(torch.rand(2, 4, 3, 16, 8))
    assert codes.shape == (2, *grid)
    assert codes.dtype == torch.long
    assert 0 <= codes.min() <= codes.max() < 16
    decoded = vqvae.decode(codes)
    assert decoded.shape == (2, 4, 3, 16, 8)
    assert 0 <= decoded.min() <= decoded.max() <= 1


def test_what_training_sees_is_what_codes_decode_to():
    vqvae = small().eval()
    clip = torch.rand(2, 4, 3, 16, 16)
    reconstruction, codes, _ = vqvae(clip)
    torch.testing.assert_close(reconstruction.clamp(0, 1), vqvae.decode(codes))
    torch.testing.assert_close(codes, vqvae.encode(clip))


def test_training_reaches_the_encoder_through_the_codes_and_lowers_the_loss():
    vqvae = small()
    optimizer = torch.optim.Adam(vqvae.parameters(), lr=0.003)
    colors = torch.rand(4, 1, 3, 1, 1, generator=torch.Generator().manual_seed(0))
    clip = colors.expand(4, 4, 3, 8, 8)
    losses = []
    for _ in range(30):
        reconstruction, _, commitment = vqvae(clip)
        loss = (reconstruction - clip).square().mean()
        optimizer.zero_grad()
        (loss + 0.25 * commitment).backward()
        optimizer.step()
        losses.append(loss.item())
    assert vqvae.encoder[0].weight.grad.abs().sum() > 0
    assert losses[-1] < 0.6 * losses[0]


def test_only_training_changes_the_codebook():
    vqvae = small().eval()
    before = vqvae.codebook.vectors.clone()
    vqvae(torch.rand(1, 4, 3, 16, 16))
    vqvae.encode(torch.rand(1, 4, 3, 16, 16))
    torch.testing.assert_close(vqvae.codebook.vectors, before, rtol=0, atol=0)
    vqvae.train()(torch.rand(1, 4, 3, 16, 16))
    assert not torch.equal(vqvae.codebook.vectors, before)


def test_the_nearest_vector_is_found():
    codebook = Codebook(16, 4, decay=0.9, restart_below=0.0)
    latents = torch.rand(3, 5, 4)
    expected = torch.cdist(latents.flatten(0, 1), codebook.vectors).argmin(1).view(3, 5)
    torch.testing.assert_close(codebook.nearest(latents), expected)


def test_vectors_go_to_the_mean_of_the_latents_that_choose_them():
    codebook = Codebook(2, 2, decay=0.5, restart_below=0.0)
    latents = torch.tensor([[0.0, 0.0], [0.0, 2.0], [9.0, 9.0]])
    for _ in range(40):
        codebook.learn(latents, torch.tensor([0, 0, 1]))
    torch.testing.assert_close(codebook.vectors, torch.tensor([[0.0, 1.0], [9.0, 9.0]]))
    torch.testing.assert_close(codebook.shares, torch.tensor([2 / 3, 1 / 3]))


def test_dead_codes_start_anew_from_latents_and_may_be_left_dead():
    latents = torch.randn(20, 4)
    for restart_below, alive in ((1.0, True), (0.0, False)):
        codebook = Codebook(8, 4, decay=0.5, restart_below=restart_below)
        codebook.begin(torch.cat([torch.zeros(1, 4), torch.full((7, 4), 100.0)]))
        for _ in range(10):
            codebook.learn(latents, codebook.nearest(latents))
        used = len(codebook.nearest(latents).unique())
        assert (used > 4) == alive
        assert (used == 1) != alive


def test_a_batch_smaller_than_the_codebook_fills_it_with_different_vectors():
    codebook = Codebook(16, 4, decay=0.9, restart_below=0.0)
    codebook.begin(torch.rand(5, 4))
    assert len(codebook.vectors.unique(dim=0)) == 16


def test_the_codebook_begins_once_and_goes_on_after_a_reload():
    codebook, again = Codebook(4, 2, 0.9, 0.0), Codebook(4, 2, 0.9, 0.0)
    codebook.begin(torch.rand(9, 2))
    again.load_state_dict(codebook.state_dict())
    again.begin(torch.rand(9, 2) + 5)
    torch.testing.assert_close(again.vectors, codebook.vectors)


def test_processes_learn_one_codebook_as_if_one_had_seen_all(monkeypatch):
    latents, codes = torch.randn(12, 3), torch.arange(12) % 4
    alone = Codebook(5, 3, decay=0.7, restart_below=0.0)
    alone.begin(latents)
    codebooks = [Codebook(5, 3, decay=0.7, restart_below=0.0) for _ in range(2)]
    for codebook in codebooks:
        codebook.load_state_dict(alone.state_dict())
    barrier, parts = threading.Barrier(2, timeout=30), [None, None]
    rank = threading.local()

    def gather(tensor):  # two threads stand for two processes
        parts[rank.number] = tensor.clone()
        barrier.wait()
        both = [part.clone() for part in parts]
        barrier.wait()
        return both

    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "all_reduce", lambda tensor: tensor.copy_(sum(gather(tensor))))
    monkeypatch.setattr(distributed, "broadcast", lambda tensor, source: tensor.copy_(gather(tensor)[source]))

    def process(number):
        rank.number = number
        codebooks[number].restart_below = 1.0
        for _ in range(3):
            codebooks[number].learn(latents[number::2], codes[number::2])

    threads = [threading.Thread(target=process, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    monkeypatch.undo()
    for _ in range(3):
        alone.learn(latents, codes)
    for name, tensor in codebooks[0].state_dict().items():
        torch.testing.assert_close(tensor, codebooks[1].state_dict()[name], rtol=0, atol=0)
    torch.testing.assert_close(codebooks[0].vectors[:4], alone.vectors[:4])  # code 4 is dead and started anew


def test_axial_attention_looks_along_the_axes_only():
    torch.manual_seed(0)
    attention = AxialAttention(4, 2)
    clip = torch.rand(1, 4, 3, 3, 3, requires_grad=True)
    attention(clip)[0, :, 1, 1, 1].sum().backward()
    seen = clip.grad[0].abs().sum(0) > 0
    on_an_axis = (torch.stack(torch.meshgrid(*3 * [torch.arange(3)], indexing="ij")) == 1).sum(0) >= 2
    assert torch.equal(seen, on_an_axis)


def test_causal_attention_token_by_token_is_the_same():
    torch.manual_seed(0)
    attention = Attention(8, 2, causal=True)
    tokens = torch.rand(2, 5, 8)
    cache: list[torch.Tensor] = []
    stepwise = torch.cat([attention(tokens[:, step : step + 1], cache) for step in range(5)], dim=1)
    torch.testing.assert_close(stepwise, attention(tokens))


def test_the_published_network_has_its_size():
    with torch.device("meta"):
        vqvae = VideoVQVAE()
    assert sum(parameter.numel() for parameter in vqvae.parameters()) == 21_141_619
    assert vqvae.grid(8, (256, 256)) == (2, 64, 64)


def test_a_bundle_comes_back_bit_for_bit(tmp_path):
    vqvae = small()
    vqvae(torch.rand(1, 4, 3, 16, 16))  # so that the codebook has begun, and batch statistics are kept
    config = {"class_path": "glassine.models.video_vqvae.VideoVQVAE", "init_args": SMALL}
    save_bundle(vqvae, config, tmp_path / "vqvae", dtype=torch.float32)
    again = load_bundle(str(tmp_path / "vqvae"))
    for name, tensor in vqvae.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    clip = torch.rand(1, 4, 3, 16, 16)
    assert torch.equal(again.decode(again.encode(clip)), vqvae.eval().decode(vqvae.encode(clip)))


def test_what_cannot_be_divided_is_refused():
    with pytest.raises(UserError, match="must be multiples of 2 x 4 x 4, got 4 x 16 x 18: change num_frames"):
        small().encode(torch.rand(1, 4, 3, 16, 18))
    with pytest.raises(ValueError, match=r"downsample must be .*, got \(1, 3, 4\)"):
        small(downsample=(1, 3, 4))
    with pytest.raises(ValueError, match="downsample"):
        small(downsample=(1, 1, 1))
    with pytest.raises(ValueError, match=r"width must be .*, got 10"):
        small(width=10, heads=4)
