import math

import pytest
import torch

from glassine.models.sticker_clip import HashedTags, TagVocabulary
from glassine.models.video_gpt import TokenSampling, VideoGPT
from glassine.models.video_vqvae import VideoVQVAE
from glassine.pretrained.weights import load_bundle, save_bundle
from glassine.utils.errors import UserError

VQVAE = {"width": 8, "blocks": 1, "heads": 2, "codes": 12, "code_width": 4, "downsample": [2, 4, 4]}
PRIOR = {"tags": ["cat", "dog", "no"], "frames": 4, "size": [8, 8], "width": 16, "layers": 2, "heads": 2}
OBJECTIVES = ["autoregressive", "masked"]


def small(seed: int = 0, **arguments) -> VideoGPT:
    torch.manual_seed(seed)
    vqvae = VideoVQVAE(**(VQVAE | {"downsample": (2, 4, 4)}))
    prior = VideoGPT(vqvae, **(PRIOR | {"size": (8, 8)} | arguments)).eval()
    for parameter in (prior.output.weight, prior.input.weight, *prior.positions):
        torch.nn.init.normal_(parameter)  # they begin (nearly) at zero, and nothing could be told apart
    return prior


def codes_of(prior: VideoGPT, tags, sampling: TokenSampling, seed: int = 0) -> torch.Tensor:
    kept = {}
    prior.decode = lambda codes: kept.setdefault("codes", codes)
    prior.sample(tags, sampling, torch.Generator().manual_seed(seed))
    del prior.decode
    return kept["codes"]


def test_a_vocabulary_is_counted_from_trigger_words():
    stickers = [["Cat", "cat ", "dog"], ["dog", "dog"], ["猫", "cat"], ["dog"], []]
    assert TagVocabulary.count(stickers).words == ["dog", "cat", "猫"]
    assert TagVocabulary.count(stickers, min_count=2).words == ["dog", "cat"]
    assert TagVocabulary.count(iter(stickers), min_count=9).words == []


def test_any_words_can_be_tags_by_their_hashes():
    tags = HashedTags(1000)
    shares = tags.mixture([["Cat", " cat ", "猫"], [], "dog"])
    assert shares.shape == (3, 1000)
    assert shares.sum(1).tolist() == [1, 0, 1]
    assert sorted(shares[0][shares[0] > 0].tolist()) == [0.5, 0.5]
    assert torch.equal(shares[2], HashedTags(1000).mixture([["DOG"]])[0])
    with pytest.raises(ValueError, match="size must be at least 1, got 0"):
        HashedTags(0)


def test_known_tags_share_alike_and_others_are_ignored():
    vocabulary = TagVocabulary(["cat", "dog", "猫"])
    mixture = vocabulary.mixture([["CAT", "dog", "cat", "fish"], ["猫"], ["fish"], []])
    torch.testing.assert_close(mixture, torch.tensor([[0.5, 0.5, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]]))
    torch.testing.assert_close(vocabulary.mixture(["dog"]), vocabulary.mixture([["dog"]]))  # not d, o, g
    with pytest.raises(ValueError, match="tags must differ, got 'cat' twice"):
        TagVocabulary(["cat", "dog", "Cat"])


def test_a_code_depends_on_those_before_it_only():
    prior, mixture = small(), torch.tensor([[1.0, 0, 0]])
    codes = torch.randint(12, (1, 8))
    changed = codes.clone()
    changed[0, 4] = (codes[0, 4] + 1) % 12
    before, after = prior(codes, mixture), prior(changed, mixture)
    torch.testing.assert_close(before[:, :5], after[:, :5])
    assert not torch.allclose(before[:, 5], after[:, 5])


def test_a_masked_prior_does_not_see_what_is_masked_and_sees_the_rest_on_both_sides():
    prior, mixture = small(objective="masked"), torch.zeros(1, 3)
    codes = torch.randint(12, (1, 8))
    codes[0, 3] = prior.vqvae.codes
    changed = codes.clone()
    changed[0, 7] = (codes[0, 7] + 1) % 12
    assert prior(codes, mixture).shape == (1, 8, 12)
    assert not torch.allclose(prior(codes, mixture)[:, 3], prior(changed, mixture)[:, 3])


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_tags_tell_something_in_any_order(objective):
    prior, codes = small(objective=objective), torch.randint(12, (1, 8))
    cat, dog, both, swapped, none = (
        prior(codes, prior.vocabulary.mixture([tags]))
        for tags in (["cat"], ["dog"], ["cat", "dog"], ["dog", "cat"], ["fish"])
    )
    assert not torch.allclose(cat, dog)
    assert not torch.allclose(cat, both)
    assert not torch.allclose(cat, none)
    torch.testing.assert_close(both, swapped)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_an_untrained_prior_thinks_all_codes_alike(objective):
    prior = small(objective=objective)
    torch.nn.init.zeros_(prior.output.weight)
    nats = prior.nats(torch.randint(12, (3, 8)), torch.zeros(3, 3))
    torch.testing.assert_close(nats, torch.full((3, 8), math.log(12)))


def test_masks_come_from_the_generator_and_hide_from_hardly_any_to_all_codes():
    prior = small(objective="masked")
    seen = []
    prior.forward = lambda codes, mixture: seen.append(codes) or torch.zeros(*codes.shape, 12)
    codes = torch.randint(12, (400, 8))
    for _ in range(2):
        prior.nats(codes, torch.zeros(400, 3), torch.Generator().manual_seed(5))
    assert torch.equal(*seen)
    hidden = seen[0] == prior.vqvae.codes
    assert torch.equal(seen[0][~hidden], codes[~hidden])
    counts = hidden.sum(1)
    assert (counts.min(), counts.max()) == (1, 8)
    assert abs(counts.float().mean() / 8 - 2 / math.pi) < 0.1  # the mean of a cosine, rounded up


def test_a_trained_prior_says_back_what_it_was_told():
    torch.manual_seed(0)
    prior = small(dropout=0.0).train()
    codes = torch.stack([torch.arange(8), torch.arange(8).flip(0)])
    mixture = prior.vocabulary.mixture([["cat"], ["dog"]])
    optimizer = torch.optim.Adam([p for p in prior.parameters() if p.requires_grad], lr=0.02)
    for _ in range(60):
        loss = prior.nats(codes, mixture).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    prior.eval()
    drawn = codes_of(prior, [["dog"], ["cat"]], TokenSampling(temperature=0))
    assert torch.equal(drawn, codes.flip(0))


@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
def test_drawing_with_a_cache_is_drawing_without(guidance_scale):
    prior, sampling = small(), TokenSampling(temperature=0.8, top_k=6, top_p=0.9, guidance_scale=guidance_scale)
    tags = [["cat"], [], ["dog", "no"]]
    generator, mixture = torch.Generator().manual_seed(3), prior.vocabulary.mixture(tags)
    rows = 1 if guidance_scale == 1 else 2
    mixture = torch.cat([mixture, torch.zeros_like(mixture)])[: rows * 3]
    codes = torch.zeros(rows * 3, 8, dtype=torch.long)
    for step in range(8):  # the whole sequence each time, no cache
        drawn, _ = sampling.draw(prior(codes, mixture)[:, step], generator)
        codes[:, step] = drawn.repeat(rows)
    assert torch.equal(codes_of(prior, tags, sampling, seed=3), codes[:3])


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_seed_gives_the_same_clips_another_seed_others(objective):
    prior = small(objective=objective)
    one, again, other = (
        prior.sample([["cat"], ["dog"]], generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert one.shape == (2, 4, 3, 8, 8)
    assert 0 <= one.min() <= one.max() <= 1
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("steps", [1, 3, 20])
def test_a_masked_prior_leaves_no_code_masked(steps):
    prior = small(objective="masked")
    codes = codes_of(prior, [["cat"], []], TokenSampling(steps=steps, guidance_scale=2.0))
    assert codes.shape == (2, 8)
    assert codes.max() < prior.vqvae.codes


@pytest.mark.parametrize(("objective", "steps"), [("autoregressive", 8), ("masked", 5)])
def test_progress_is_told(objective, steps):
    told = []
    sampling = TokenSampling(steps=5)
    small(objective=objective).sample([["cat"]], sampling, progress=lambda done, of: told.append((done, of)))
    assert told == [(step, steps) for step in range(1, steps + 1)]


def test_top_k_and_top_p_leave_out_the_unlikely_and_draws_are_fair():
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log().repeat(20000, 1)
    for sampling, expected in (
        (TokenSampling(), [0.5, 0.3, 0.15, 0.05]),
        (TokenSampling(top_k=2), [0.625, 0.375, 0, 0]),
        (TokenSampling(top_p=0.6), [0.625, 0.375, 0, 0]),
        (TokenSampling(top_p=0.4), [1.0, 0, 0, 0]),
        (TokenSampling(temperature=0.5), [0.25 / 0.365, 0.09 / 0.365, 0.0225 / 0.365, 0.0025 / 0.365]),
        (TokenSampling(temperature=0), [1.0, 0, 0, 0]),
    ):
        codes, chances = sampling.draw(logits, torch.Generator().manual_seed(0))
        shares = torch.bincount(codes, minlength=4) / len(codes)
        torch.testing.assert_close(shares, torch.tensor(expected), atol=0.015, rtol=0)
        if sampling.temperature:
            torch.testing.assert_close(chances.exp(), torch.tensor(expected)[codes], atol=1e-5, rtol=1e-4)
    assert torch.equal(TokenSampling(top_k=99).draw(logits, torch.Generator().manual_seed(0))[0][:9],
                       TokenSampling().draw(logits, torch.Generator().manual_seed(0))[0][:9])  # fmt: skip


def test_guidance_of_one_changes_nothing_and_more_moves_away_from_no_tags():
    told, untold = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 0.5]])
    _, plain = TokenSampling(temperature=0.01).draw(told, None)
    strong = TokenSampling(guidance_scale=3.0).draw(torch.cat([told, untold]), torch.Generator().manual_seed(0))
    assert strong[0].shape == plain.shape == (1,)
    torch.testing.assert_close(strong[1], torch.tensor([[3.0, -1.0]]).log_softmax(-1)[:, strong[0][0]])


@pytest.mark.parametrize("wrong", [{"temperature": -1.0}, {"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.5}, {"steps": 0}])
def test_sampling_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="temperature must be at least 0"):
        TokenSampling(**wrong)


def test_the_vqvae_stays_as_it_is_while_the_prior_trains():
    prior = small().train()
    assert not prior.vqvae.training
    assert not any(parameter.requires_grad for parameter in prior.vqvae.parameters())
    before = {name: tensor.clone() for name, tensor in prior.vqvae.state_dict().items()}
    prior.encode(torch.rand(2, 4, 3, 8, 8))
    for name, tensor in prior.vqvae.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_gradient_checkpointing_changes_no_gradient():
    gradients = []
    for again in (False, True):
        prior = small(dropout=0.0, gradient_checkpointing=again).train()
        prior.nats(torch.arange(8)[None], torch.tensor([[1.0, 0, 0]])).mean().backward()
        gradients.append(prior.blocks[0].attention.qkv.weight.grad)
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_bundle_comes_back_bit_for_bit_without_a_second_copy_of_the_vqvae(tmp_path, objective):
    from safetensors.torch import load_file

    prior = small(objective=objective)
    at_vqvae = {"class_path": "glassine.models.video_vqvae.VideoVQVAE", "init_args": VQVAE}
    save_bundle(prior.vqvae.requires_grad_(True), at_vqvae, tmp_path / "vqvae", dtype=torch.float32)
    prior.vqvae.requires_grad_(False)
    loaded = {
        "class_path": "glassine.pretrained.weights.load_bundle",
        "init_args": {"source": f"{tmp_path}/vqvae", "frozen": True},
    }
    arguments = {"vqvae": loaded, **PRIOR, "objective": objective}
    config = {"class_path": "glassine.models.video_gpt.VideoGPT", "init_args": arguments}
    save_bundle(prior, config, tmp_path / "prior", dtype=torch.float32)
    assert not any(name.startswith("vqvae.") for name in load_file(tmp_path / "prior" / "model.safetensors"))
    again = load_bundle(str(tmp_path / "prior"))
    assert again.vocabulary.words == ["cat", "dog", "no"]
    for name, tensor in prior.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    clips = [network.sample([["no"]], generator=torch.Generator().manual_seed(4)) for network in (prior, again)]
    assert torch.equal(*clips)


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_default_has_the_size_that_vsd2m_gives_and_so_has_the_other_reading():
    tags = [str(number) for number in range(500)]
    with torch.device("meta"):
        whole = VideoGPT(VideoVQVAE(), tags)
        alone = VideoGPT(VideoVQVAE(codes=1024), tags, width=1024, layers=8, heads=8)
    assert whole.grid == (2, 64, 64)
    assert abs(parameters(whole) / 0.102e9 - 1) < 0.005
    assert abs((parameters(alone) - parameters(alone.vqvae)) / 0.102e9 - 1) < 0.005


def test_parts_that_do_not_fit_are_refused():
    vqvae = small().vqvae
    with pytest.raises(UserError, match="got 3 x 8 x 8"):
        VideoGPT(vqvae, ["cat"], frames=3, size=(8, 8))
    with pytest.raises(ValueError, match=r"width must be .*, got 10"):
        VideoGPT(vqvae, ["cat"], frames=4, size=(8, 8), width=10, heads=4)
    with pytest.raises(TypeError, match="must be a VideoVQVAE, got a Linear"):
        VideoGPT(torch.nn.Linear(1, 1), ["cat"])
