"""Make the tokenizer of a small bilingual text encoder: `glassine pretrain tokenizer --to FOLDER`."""

import re
import string
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import WordPieceTrainer
from transformers import PreTrainedTokenizerFast

from glassine.data.text_pairs import TextPairs
from glassine.utils.errors import UserError

SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
PLAIN = string.ascii_lowercase + string.digits


def make_tokenizer(
    texts: Sequence[str], words: Sequence[str], vocab_size: int, pieces: int = 1500
) -> PreTrainedTokenizerFast:
    """Make a lower-case WordPiece tokenizer that, like BERT's, splits off each Chinese character.

    The vocabulary consists of all characters and words of the texts, then learned word pieces, then words of the list
    until it is full. A fully learned vocabulary would spend a third of its tokens on intermediate pieces of words.

    Args:
        texts: all their words become tokens.
        words: additional words, most frequent first.
        vocab_size: maximum number of tokens, including the four special ones.
        pieces: approximate number of learned word pieces.

    Raises:
        UserError: the texts alone need more than `vocab_size` tokens.
    """
    lower = " ".join(texts).lower()
    own = sorted(set(re.findall(r"[a-z]{2,}", lower)))
    characters = sorted({*lower, *PLAIN} - {*string.whitespace})
    needed = [*SPECIAL.values(), *characters, *(f"##{character}" for character in PLAIN), *own]
    if len(set(needed)) > vocab_size:
        raise UserError(f"vocab-size must be at least {len(set(needed))} for the texts alone, got {vocab_size}")
    unique = list(dict.fromkeys([*needed, *learned_pieces([*own, *words], pieces), *words]))[:vocab_size]
    tokenizer = bert_like(WordPiece({token: number for number, token in enumerate(unique)}, unk_token="[UNK]"))
    ends = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL)


def learned_pieces(words: Sequence[str], count: int) -> list[str]:
    """At most `count` frequent pieces that continue a word, such as `##ing`, learned from `words`."""
    tokenizer = bert_like(WordPiece(unk_token="[UNK]"))
    trainer = WordPieceTrainer(vocab_size=2 * count, show_progress=False)
    tokenizer.train_from_iterator(words, trainer)
    return sorted(token for token in tokenizer.get_vocab() if token.startswith("##"))[:count]


def bert_like(model: WordPiece) -> Tokenizer:
    """A tokenizer with BERT's normalization and pre-tokenization."""
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = BertNormalizer(lowercase=True, handle_chinese_chars=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    return tokenizer


def make(folder: Path, vocab_size: int, words: int) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json` for the texts of `TextPairs`.

    Args:
        folder: created if missing.
        vocab_size: maximum number of tokens.
        words: number of words, see `TextPairs`.

    Raises:
        UserError: `vocab_size` is too small, or the texts are missing.
    """
    pairs = TextPairs(words=words).setup()
    texts = [text for emoji in pairs.known for text in (emoji.label, emoji.label_zh, *emoji.tags, *emoji.tags_zh)]
    texts += [text for row in pairs.rows for text in row.values() if row["text_zh"]]  # includes the words of phrases
    tokenizer = make_tokenizer(texts, pairs.words, vocab_size)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
    print(f"wrote {folder}/tokenizer.json: {len(tokenizer)} tokens")
