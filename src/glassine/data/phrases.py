"""Phrases around a name, in English and Chinese: what people ask for beside what an emoji is called."""

from collections.abc import Sequence
from typing import Any

import torch


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


def phrase(label: str, label_zh: str, chance: torch.Generator) -> tuple[str, str]:
    """A label as part of a phrase, in English and Chinese; no Chinese label gives no Chinese phrase."""
    motion, quality = pick(tuple(MOTIONS), chance), pick(tuple(QUALITIES), chance)
    english, chinese = pick(FORMS, chance)
    text = english.format(label=label, motion=motion, quality=quality)
    text_zh = chinese.format(label=label_zh, motion=MOTIONS[motion], quality=QUALITIES[quality])
    return text, text_zh if label_zh else ""


def pick(choices: Sequence[Any], chance: torch.Generator) -> Any:
    """One of the choices."""
    return choices[int(torch.randint(len(choices), (), generator=chance))]


def some_of(choices: Sequence[str], most: int, chance: torch.Generator) -> list[str]:
    """At most so many of the choices, shuffled."""
    return [choices[place] for place in torch.randperm(len(choices), generator=chance)[:most].tolist()]
