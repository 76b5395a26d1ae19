"""Texts in English and Chinese that mean the same, for a small bilingual text encoder: emoji's names, and words."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from glassine.data.phrases import phrase, pick, some_of
from glassine.data.sampler import SampleId, sample_generator
from glassine.data.sources.emoji_groups import emoji_group, emoji_split
from glassine.data.sources.fluent import default_cache
from glassine.data.sources.procedural import ProceduralStickers
from glassine.data.split import Split
from glassine.errors import UserError
from glassine.minilm import minilm_words

EMOJIBASE = "emojibase-data-17.0.0"
DOMAINS = ("", "", "Cartoon\t", "Cartoon\t", "Real\t")  # what stands before a caption, or nothing, as in a free prompt


@dataclass(frozen=True)
class Emoji:
    """An emoji's names and search words in both languages; one with a skin tone has no words of its own."""

    group: str
    label: str
    label_zh: str
    tags: tuple[str, ...] = ()
    tags_zh: tuple[str, ...] = ()


class TextPairs:
    """Texts to train on, and those held out: all of the groups of one split.

    Hand it to the data module as `pairs`: batches then have `text`, English, and `text_zh`, the same in Chinese, or
    empty where only English is known. The pairs are drawn once, from `seed` alone, so that a teacher can be asked about
    each text once; their order is the data module's.

    An emoji gives its label; the label with some tags; some tags; one tag; and phrases such as "a waving panda". One
    with a skin tone gives its label alone, a word itself, every third a phrase. Most stand behind a domain, as captions
    do (`Cartoon\\ta panda`).

    Args:
        cache: folder that `glassine data fetch fluent` filled; None for its default.
        words: English words of MiniLM's vocabulary to add, the most frequent ones; 0 needs no MiniLM.
        phrases: how many phrases an emoji gives.
        procedural: captions of rendered stickers to add, "a red sleepy ghost slides from side to side, glass".
        held_out: split whose groups are kept for validation and test.
        seed: of all chance.

    Raises:
        UserError: the names have not been fetched, or MiniLM is not installed.
    """

    def __init__(
        self,
        cache: str | None = None,
        words: int = 22000,
        phrases: int = 3,
        procedural: int = 2000,
        held_out: Split = "test",
        seed: int = 0,
    ) -> None:
        emoji = read_emoji(Path(cache) if cache else default_cache())
        self.words = minilm_words(words) if words else []
        self.known = [one for one in emoji if emoji_split(one.group) != held_out]
        unknown = {one.group: one for one in reversed(emoji) if emoji_split(one.group) == held_out}  # one a group
        self.unknown = [one for one in unknown.values() if one.tags and one.label_zh]
        self.phrases, self.procedural, self.seed = phrases, procedural, seed

    def dataset(self, stage: str) -> "PairedTexts":
        """Of `"train"`; of any other stage, what is held out: `label`, six `tags`, `label_zh`, one emoji a group."""
        if stage == "train":
            pairs = [{"text": text, "text_zh": chinese} for text, chinese in self.pairs()]
        else:
            pairs = [{"label": o.label, "tags": " ".join(o.tags[:6]), "label_zh": o.label_zh} for o in self.unknown]
        return PairedTexts(pairs)

    def pairs(self) -> Iterator[tuple[str, str]]:
        """All pairs to train on."""
        for number, emoji in enumerate(self.known):
            chance = sample_generator(self.seed, 0, number)
            for text, chinese in emoji_pairs(emoji, self.phrases, chance):
                domain = pick(DOMAINS, chance)
                yield domain + text, domain + chinese if chinese else ""
        drawn = ProceduralStickers(seed=self.seed, length=max(1, self.procedural))
        for info in map(drawn.info, range(self.procedural)):
            domain = f"{info['domain'].capitalize()}\t"
            yield domain + info["description"], domain + info["description_zh"]
        for number, word in enumerate(self.words):
            chance = sample_generator(self.seed, 1, number)
            yield word, ""
            if number % 3 == 0:
                yield pick(DOMAINS, chance) + phrase(word, "", chance)[0], ""


class PairedTexts(Dataset[dict[str, str]]):
    """Rows of texts.

    Attributes:
        texts: every English text of the rows once, for a teacher; sorted.
    """

    num_damaged = 0

    def __init__(self, rows: Sequence[dict[str, str]]) -> None:
        self.rows = list(rows)
        self.texts = sorted({row["text"] for row in rows if "text" in row})

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, item: int | SampleId) -> dict[str, str]:
        return self.rows[item if isinstance(item, int) else item[1]]

    def damage_line(self) -> str:
        """For the data module: texts are whole."""
        return ""


def emoji_pairs(emoji: Emoji, phrases: int, chance: torch.Generator) -> Iterator[tuple[str, str]]:
    """What one emoji gives, in English and Chinese."""
    yield emoji.label, emoji.label_zh
    if not emoji.tags:
        return
    some, some_zh = some_of(emoji.tags, 2, chance), some_of(emoji.tags_zh, 2, chance)
    yield ", ".join([emoji.label, *some]), ", ".join([emoji.label_zh, *some_zh])
    yield " ".join(some_of(emoji.tags, 4, chance)), " ".join(some_of(emoji.tags_zh, 4, chance))
    yield pick(emoji.tags, chance), ""  # which of the Chinese ones means the same is not known
    for _ in range(phrases):
        yield phrase(emoji.label, emoji.label_zh, chance)


def read_emoji(cache: Path) -> list[Emoji]:
    """All of emojibase's emoji, skin tones too.

    Raises:
        UserError: they have not been fetched, or are damaged.
    """
    tables = []
    for language in ("en", "zh"):
        path = cache / EMOJIBASE / f"{language}-data.json"
        try:
            tables.append(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError as error:
            raise UserError(f"the emoji names are not in {path.parent}; run `glassine data fetch fluent`") from error
        except ValueError as error:
            raise UserError(f"{path} is not JSON ({error}); delete its folder and fetch again") from error
    chinese = {record["hexcode"]: record for record in with_skins(tables[1])}
    emoji = []
    for record in with_skins(tables[0]):
        other = chinese.get(record["hexcode"], {})
        tags, tags_zh = (tuple(map(str, one.get("tags", ()))) for one in (record, other))
        names = record["label"], other.get("label", "")
        emoji.append(Emoji(emoji_group(record["hexcode"]), *names, tags, tags_zh))
    return emoji


def with_skins(records: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each emoji, and after it each of its skin tones."""
    for record in records:
        yield record
        yield from record.get("skins", ())
