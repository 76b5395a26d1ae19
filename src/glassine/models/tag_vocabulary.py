"""Words that stickers are found by, as a network takes them."""

from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor


class TagVocabulary:
    """Known tags, and the shares in which a sticker has them; case and outer spaces do not count.

    Args:
        words: the tags; ValueError where one comes twice.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self.words = [plain(word) for word in words]
        self.places = {word: place for place, word in enumerate(self.words)}
        if len(self.places) < len(self.words):
            raise ValueError(f"the tag {Counter(self.words).most_common(1)[0][0]!r} came twice; give each once")

    @classmethod
    def count(cls, stickers: Iterable[Iterable[str]], min_count: int = 1) -> "TagVocabulary":
        """The trigger words that at least `min_count` stickers have, the most frequent first."""
        counts = Counter(word for words in stickers for word in {plain(word) for word in words})
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return cls(word for word, stickers_with in ordered if stickers_with >= min_count)

    def mixture(self, stickers: Sequence[Iterable[str]]) -> Tensor:
        """`b v`: a sticker's known tags in equal shares that sum up to 1; zeros where none is known."""
        shares = torch.zeros(len(stickers), len(self.words))
        for row, words in zip(shares, stickers, strict=True):
            listed = [words] if isinstance(words, str) else words
            row[[self.places[word] for word in map(plain, listed) if word in self.places]] = 1
        return shares / shares.sum(1, keepdim=True).clamp(min=1)


def plain(word: str) -> str:
    """A tag as it is compared."""
    return " ".join(word.split()).casefold()
