"""Parallel English and Chinese texts for training a small bilingual text encoder.

They consist of names and search words of emoji, phrases around them ("a waving panda", "挥手的熊猫"), captions of
rendered stickers, and frequent English words.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from glassine.data.dataset import LazyDataset
from glassine.data.sampler import SampleId, sample_generator
from glassine.data.sources.emoji import emoji_group, emoji_split
from glassine.data.sources.emoji_art import default_cache
from glassine.data.sources.procedural import ProceduralStickers
from glassine.data.sticker import Split
from glassine.utils.errors import UserError
from glassine.utils.files import read_plain
from glassine.utils.minilm import minilm_words


def table(text: str) -> dict[str, str]:
    """`a/b c/d` as a dict."""
    return dict(pair.split("/") for pair in text.split())


MOTIONS = table("""
    waving/挥手 spinning/旋转 jumping/跳跃 dancing/跳舞 running/奔跑 walking/走路 sleeping/睡觉 laughing/大笑
    crying/哭泣 smiling/微笑 flying/飞翔 swimming/游泳 eating/吃东西 drinking/喝水 singing/唱歌 bouncing/弹跳
    blinking/眨眼 nodding/点头 shaking/摇晃 clapping/鼓掌 cheering/欢呼 hugging/拥抱 kissing/亲吻 thinking/思考
    yawning/打哈欠 floating/漂浮 falling/掉落 growing/长大 melting/融化 burning/燃烧 glowing/发光 exploding/爆炸
    swinging/摆动 sitting/坐着
    reading/看书 cooking/做饭 playing/玩耍 rolling/滚动 hiding/躲藏 working/工作
""")
QUALITIES = table("""
    happy/开心 sad/难过 angry/生气 surprised/惊讶 sleepy/困倦 cute/可爱 tiny/小小 big/巨大 old/年老 young/年轻
    funny/搞笑 scary/可怕 shy/害羞 lonely/孤独 hungry/饥饿 beautiful/漂亮 strong/强壮 golden/金色 shiny/闪亮
    red/红色 blue/蓝色 green/绿色 yellow/黄色 black/黑色 white/白色 pink/粉色 purple/紫色 orange/橙色 brown/棕色
    fluffy/毛茸茸 magic/魔法 hot/火热 cold/寒冷 fast/快速 slow/缓慢 lazy/懒惰 proud/骄傲 scared/害怕 tired/疲倦
    excited/兴奋
""")
FORMS = (
    ("a {motion} {label}", "{motion}的{label}"),
    ("{label} {motion}", "{label}在{motion}"),
    ("a {quality} {label}", "{quality}的{label}"),
    ("a {quality} {label} {motion}", "{quality}的{label}在{motion}"),
    ("a {label}", "一个{label}"),
    ("a sticker of a {label}", "{label}的贴纸"),
)


def phrase(label: str, label_zh: str, generator: torch.Generator) -> tuple[str, str]:
    """A label as part of a phrase, in English and Chinese; no Chinese label gives no Chinese phrase."""
    motion, quality = pick(tuple(MOTIONS), generator), pick(tuple(QUALITIES), generator)
    english, chinese = pick(FORMS, generator)
    text = english.format(label=label, motion=motion, quality=quality)
    text_zh = chinese.format(label=label_zh, motion=MOTIONS[motion], quality=QUALITIES[quality])
    return text, text_zh if label_zh else ""


def pick(choices: Sequence[Any], generator: torch.Generator) -> Any:
    """A random choice."""
    return choices[int(torch.randint(len(choices), (), generator=generator))]


def some_of(choices: Sequence[str], most: int, generator: torch.Generator) -> list[str]:
    """At most this many of the choices, shuffled."""
    return [choices[place] for place in torch.randperm(len(choices), generator=generator)[:most].tolist()]


EMOJIBASE = "emojibase-data-17.0.0"
DOMAINS = ("", "", "Cartoon\t", "Cartoon\t", "Real\t")  # caption prefixes; empty as in a free prompt


@dataclass(frozen=True)
class Emoji:
    """An emoji's names and search words in both languages; skin tone variants have no search words of their own."""

    group: str
    label: str
    label_zh: str
    tags: tuple[str, ...] = ()
    tags_zh: tuple[str, ...] = ()


class TextPairs(LazyDataset):
    """Texts to train on, or the held-out ones: all groups of one split.

    Training samples have `text`, English, and `text_zh`, the same in Chinese, or empty if only English is known. The
    pairs are generated once, from `seed` only, so that a teacher can embed each text once; their order is up to the
    data module. Evaluation samples have `label`, six `tags`, and `label_zh`, one emoji per group.

    An emoji gives its label; the label with some tags; some tags; one tag; and phrases such as "a waving panda". A skin
    tone variant only gives its label, a word itself, every third a phrase. Most are prefixed with a domain, like
    captions (`Cartoon\\ta panda`).

    Args:
        cache: folder filled by `glassine data fetch fluent`; None for its default.
        words: number of frequent English words from MiniLM's vocabulary to add; 0 does not need MiniLM.
        phrases: number of phrases per emoji.
        procedural: number of captions of rendered stickers to add, "a red sleepy ghost slides from side to side,
            glass".
        held_out: split whose groups are kept for validation and test.
        seed: random seed.
        training: False for the held-out texts.

    Attributes:
        rows: the samples; available once opened.
        texts: every English text of the rows once, for a teacher; sorted.
        known: emoji to train on.
        words: English words to train on.

    Raises:
        UserError: when opened: the names have not been fetched, or MiniLM is not installed.
    """

    def __init__(
        self,
        cache: str | None = None,
        words: int = 22000,
        phrases: int = 3,
        procedural: int = 2000,
        held_out: Split = "test",
        seed: int = 0,
        training: bool = True,
    ) -> None:
        self.cache, self.num_words, self.phrases, self.procedural = cache, words, phrases, procedural
        self.held_out, self.seed, self.training = held_out, seed, training

    def _open(self) -> None:
        emoji = read_emoji(Path(self.cache) if self.cache else default_cache())
        self.words = minilm_words(self.num_words) if self.num_words and self.training else []
        self.known = [one for one in emoji if emoji_split(one.group) != self.held_out]
        self.rows: list[dict[str, str]] = []
        if self.training:
            self.rows = [{"text": text, "text_zh": chinese} for text, chinese in self._pairs()]
        else:
            unknown = {one.group: one for one in reversed(emoji) if emoji_split(one.group) == self.held_out}
            for one in unknown.values():  # one per group
                if one.tags and one.label_zh:
                    row = {"label": one.label, "tags": " ".join(one.tags[:6]), "label_zh": one.label_zh}
                    self.rows.append(row)
        self.texts = sorted({row["text"] for row in self.rows if "text" in row})

    def _pairs(self) -> Iterator[tuple[str, str]]:
        """All pairs to train on."""
        for number, emoji in enumerate(self.known):
            generator = sample_generator(self.seed or 0, 0, number)
            for text, chinese in emoji_pairs(emoji, self.phrases, generator):
                domain = pick(DOMAINS, generator)
                yield domain + text, domain + chinese if chinese else ""
        drawn = ProceduralStickers(seed=self.seed or 0, length=max(1, self.procedural))
        for info in map(drawn.info, range(self.procedural)):
            domain = f"{info['domain'].capitalize()}\t"
            yield domain + info["description"], domain + info["description_zh"]
        for number, word in enumerate(self.words):
            generator = sample_generator(self.seed or 0, 1, number)
            yield word, ""
            if number % 3 == 0:
                yield pick(DOMAINS, generator) + phrase(word, "", generator)[0], ""

    def evaluation(self, split: str) -> "TextPairs":
        """The held-out texts, for both validation and test."""
        how = (self.cache, self.num_words, self.phrases, self.procedural, self.held_out, self.seed or 0)
        return TextPairs(*how, training=False)

    def __len__(self) -> int:
        self.setup()
        return len(self.rows)

    def __getitem__(self, item: int | SampleId) -> dict[str, Any]:
        self.setup()
        return self.rows[item if isinstance(item, int) else item[1]]


def emoji_pairs(emoji: Emoji, phrases: int, generator: torch.Generator) -> Iterator[tuple[str, str]]:
    """The texts of one emoji, in English and Chinese."""
    yield emoji.label, emoji.label_zh
    if not emoji.tags:
        return
    some, some_zh = some_of(emoji.tags, 2, generator), some_of(emoji.tags_zh, 2, generator)
    yield ", ".join([emoji.label, *some]), ", ".join([emoji.label_zh, *some_zh])
    yield " ".join(some_of(emoji.tags, 4, generator)), " ".join(some_of(emoji.tags_zh, 4, generator))
    yield pick(emoji.tags, generator), ""  # it is not known which Chinese tag corresponds
    for _ in range(phrases):
        yield phrase(emoji.label, emoji.label_zh, generator)


def read_emoji(cache: Path) -> list[Emoji]:
    """All emoji of emojibase, including skin tones.

    Raises:
        UserError: they have not been fetched, or are damaged.
    """
    tables = []
    for language in ("en", "zh"):
        path = cache / EMOJIBASE / f"{language}-data.json"
        try:
            tables.append(json.loads(read_plain(path)))
        except FileNotFoundError as error:
            raise UserError(f"the emoji names are not in {path.parent}; run `glassine data fetch fluent`") from error
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be read as JSON ({error}); delete its folder and fetch again") from error
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
