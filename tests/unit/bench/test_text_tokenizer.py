import pytest
from transformers import AutoTokenizer

from glassine.bench.text_tokenizer import make_tokenizer
from glassine.utils.errors import UserError

TEXTS = ["Cartoon\ta Waving panda", "挥手的熊猫", "flag: Côte d'Ivoire 🙂"]
WORDS = ["running", "runner", "jumping", "jumped", "singing", "unseen"]


def test_words_of_the_texts_stay_whole_and_chinese_is_read_letter_by_letter():
    tokenizer = make_tokenizer(TEXTS, WORDS, 400)
    assert tokenizer.tokenize(TEXTS[0]) == ["cartoon", "a", "waving", "panda"]
    assert tokenizer.tokenize(TEXTS[1]) == list(TEXTS[1])
    assert tokenizer.tokenize("unseen") == ["unseen"]
    assert len(tokenizer.tokenize("pandaing")) > 1
    for text in TEXTS:
        assert tokenizer.unk_token_id not in tokenizer(text)["input_ids"]


def test_every_word_of_latin_letters_can_be_spelled_when_few_tokens_are_left():
    tokenizer = make_tokenizer(TEXTS, WORDS, 100)
    assert len(tokenizer) == 100
    assert "[UNK]" not in tokenizer.tokenize("xylophone quiz 42")
    with pytest.raises(UserError, match=r"vocab-size must be at least .* for the texts alone, got 60"):
        make_tokenizer(TEXTS, WORDS, 60)


def test_it_is_read_by_transformers_and_pads(tmp_path):
    tokenizer = make_tokenizer(TEXTS, [], 200)
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    tokens = again(["a panda", "a"], padding=True)
    assert tokens["input_ids"] == tokenizer(["a panda", "a"], padding=True)["input_ids"]
    assert tokens["input_ids"][1][0] == again.cls_token_id
    assert tokens["input_ids"][1][2:] == [again.sep_token_id, again.pad_token_id]
