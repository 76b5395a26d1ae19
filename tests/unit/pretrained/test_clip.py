import json
import string

import pytest
import torch
from safetensors.torch import load_file, save_file
from torchmetrics.multimodal import CLIPScore
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

from glassine.metrics.clip_score import ClipScores
from glassine.pretrained.clip import CLIP
from glassine.utils.errors import UserError

LETTERS = [*string.ascii_lowercase, *(f"{letter}</w>" for letter in string.ascii_lowercase)]
VOCABULARY = {token: n for n, token in enumerate([*LETTERS, "<|startoftext|>", "<|endoftext|>"])}
LAYERS = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.fixture
def checkpoint(tmp_path):
    """A folder with the smallest CLIP, its tokenizer and its processor."""
    torch.manual_seed(0)
    tokens = {"vocab_size": len(VOCABULARY), "max_position_embeddings": 16, "bos_token_id": 52, "eos_token_id": 53}
    pixels = {"image_size": 32, "patch_size": 16}
    config = CLIPConfig(text_config=LAYERS | tokens, vision_config=LAYERS | pixels, projection_dim=8)
    CLIPModel(config).save_pretrained(tmp_path / "clip")
    pictures = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    CLIPProcessor(pictures, CLIPTokenizer(VOCABULARY, [], model_max_length=16)).save_pretrained(tmp_path / "clip")
    return tmp_path / "clip"


class Unwrapped(CLIPModel):
    """CLIP whose features are tensors, as torchmetrics expects them."""

    def get_image_features(self, pixel_values):
        return super().get_image_features(pixel_values=pixel_values).pooler_output

    def get_text_features(self, input_ids, attention_mask):
        return super().get_text_features(input_ids=input_ids, attention_mask=attention_mask).pooler_output


def test_the_score_is_that_of_torchmetrics(checkpoint):
    clip = CLIP(str(checkpoint), batch_size=2)
    ours = ClipScores(clip.encode_images, clip.encode_texts, "small")
    theirs = CLIPScore(
        lambda: (Unwrapped.from_pretrained(checkpoint).eval(), CLIPProcessor.from_pretrained(checkpoint))
    )
    pictures = torch.randint(0, 256, (3, 2, 3, 40, 50), dtype=torch.uint8)
    captions = ["a waving panda", "a bee", "Cartoon\ta red car"]
    ours.update(pictures / 255, captions)
    theirs.update(list(pictures.flatten(0, 1)), [caption for caption in captions for _ in range(2)])
    expected = theirs.score / theirs.n_samples  # before the clamp at zero, which random weights may meet
    result = ours.compute()
    assert result["clip_small_score_white"] == pytest.approx(max(expected.item(), 0), abs=1e-3)
    cosine = ClipScores(clip.encode_images, clip.encode_texts, "small", reading="cosine")
    cosine.update(pictures / 255, captions)
    assert cosine.compute()["clip_small_similarity_cosine_white"] == pytest.approx(expected.item() / 100, abs=1e-5)


def test_captions_that_are_too_long_are_cut_off(checkpoint):
    clip = CLIP(str(checkpoint))
    long, longer = clip.encode_texts(["a panda " * 20, "a panda " * 30])
    torch.testing.assert_close(long, longer)
    assert clip.encode_texts(["a panda"]).shape == (1, 8)


def test_its_scale_is_that_of_its_softmax(checkpoint):
    clip = CLIP(str(checkpoint))
    assert clip.logit_scale == pytest.approx(CLIPModel.from_pretrained(checkpoint).logit_scale.exp().item())
    assert not any(parameter.requires_grad for parameter in clip.parameters())


def test_features_may_be_tensors_as_before_transformers_5(checkpoint):
    clip = CLIP(str(checkpoint))
    before = clip.encode_images(torch.full((1, 3, 32, 32), 0.5))
    clip.network = Unwrapped.from_pretrained(checkpoint).eval()
    torch.testing.assert_close(clip.encode_images(torch.full((1, 3, 32, 32), 0.5)), before)


def test_what_is_no_clip_is_named(checkpoint, tmp_path):
    with pytest.raises(UserError, match=r"no CLIP at .*nowhere.*local folder"):
        CLIP(str(tmp_path / "nowhere"))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "videomae"}))
    with pytest.raises(UserError, match="must hold a clip, got a videomae"):
        CLIP(str(tmp_path))
    state = load_file(checkpoint / "model.safetensors")
    del state["text_projection.weight"]
    save_file(state, checkpoint / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 1 .*text_projection"):
        CLIP(str(checkpoint))


def test_a_network_without_its_tokenizer_is_not_used_with_another(checkpoint):
    for name in ("tokenizer.json", "tokenizer_config.json", "processor_config.json"):
        (checkpoint / name).unlink()
    with pytest.raises(UserError, match="no CLIP at"):
        CLIP(str(checkpoint))
