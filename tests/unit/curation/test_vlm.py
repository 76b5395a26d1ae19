"""The adapters of vision-language models, on small checkpoints made here."""

import json

import numpy as np
import pytest
import torch
from tests.helpers.small_crawl import sticker
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from glassine.curation.vlm import SUMMARIZE, LanguageModel, VisionLanguageDescriber, VisionLanguageModel, filled
from glassine.data.sticker import Sticker
from glassine.utils.errors import UserError

WORDS = [
    *("<pad>", "<s>", "</s>", "<unk>", "<image>"),
    *("a", "cat", "waves", "Describe", "this", "sticker", "Summarize", "blue"),
]
CHAT = (
    "{% for message in messages %}{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}{% else %}<image> {% endif %}"
    "{% endfor %}{% endif %}{% endfor %}"
)


def tokenizer() -> PreTrainedTokenizerFast:
    plain = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    made = PreTrainedTokenizerFast(tokenizer_object=plain, **special, additional_special_tokens=["<image>"])
    made.chat_template = CHAT
    return made


def text_config() -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(WORDS), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("models")
    LlamaForCausalLM(text_config()).save_pretrained(root / "language")
    tokenizer().save_pretrained(root / "language")
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14
    )
    config = LlavaConfig(vision_config=vision, text_config=text_config(), image_token_index=4, image_seq_length=4)
    LlavaForConditionalGeneration(config).save_pretrained(root / "vision")
    pictures = CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    LlavaProcessor(
        pictures, tokenizer(), patch_size=14, vision_feature_select_strategy="default", chat_template=CHAT,
        image_token="<image>", num_additional_image_tokens=1,
    ).save_pretrained(root / "vision")  # fmt: skip
    return root


def test_a_model_says_the_same_of_a_sticker_alone_and_in_a_batch(folders):
    model = VisionLanguageModel(str(folders / "vision"), "Describe this sticker", max_new_tokens=5, batch_size=2)
    stickers = [Sticker(sticker(seed).frames[:1], (100,)) for seed in range(3)]
    together = model.answer(stickers)
    assert len(together) == 3
    assert all(isinstance(text, str) for text in together)
    assert [model.answer([one])[0] for one in stickers] == together


def test_descriptions_record_model_version_and_prompt_and_go_through_the_language_model(folders):
    where = {"model": str(folders / "vision"), "max_new_tokens": 4}
    describer = VisionLanguageDescriber(
        animated={**where, "prompt": "Describe this", "video": False},
        still={**where, "prompt": "Describe this sticker"},
        summarize={"model": str(folders / "language"), "max_new_tokens": 4},
        translate={"model": str(folders / "language"), "max_new_tokens": 3},
    )
    stickers = [sticker(0), Sticker(sticker(1).frames[:1], (100,))]
    rows = describer.describe(stickers, [{"frames": 6}, {"frames": 1}])
    for row, prompt in zip(rows, ("Describe this", "Describe this sticker"), strict=True):
        assert row["made"]["model"]["prompt"] == prompt
        assert row["made"]["model"]["model"] == str(folders / "vision")
        assert row["made"]["model"]["transformers"]
        assert row["made"]["summary"]["prompt"] == SUMMARIZE
        said = describer.summarize.answer([row["parts"]["model_said"]])[0]
        assert row["description"] == said
        assert row["description_zh"] == describer.translate.answer([said])[0]
    json.dumps(rows)


def test_a_missing_model_and_a_prompt_without_its_place_are_said(tmp_path):
    with pytest.raises(UserError, match="no vision-language model at"):
        VisionLanguageModel(str(tmp_path / "none"), "Describe").answer([sticker(0)])
    with pytest.raises(UserError, match=r"must have [{]description[}]"):
        LanguageModel("x", "Summarize this")


def test_short_clips_are_filled_up_with_their_last_frame():
    clip = np.arange(3)[:, None]
    assert filled(clip, 5).ravel().tolist() == [0, 1, 2, 2, 2]
    assert filled(clip, 2) is clip
