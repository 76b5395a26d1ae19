"""Descriptions by open vision-language models, as VSD2M makes them: a video model for animations, an image model for
stills, then a language model that summarizes, then Chinese. Models come by hub id or path through transformers.

VSD2M, "Data Construction": Video-LLaMA fine-tuned on 330K annotated GIFs for animations, LLaVA for stills, Baichuan 2
with "Summarize the following text from both static and dynamic features:" for cleaner captions, and a Chinese version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from glassine.curation.blocks import Row
from glassine.curation.parts import package_version
from glassine.data.alpha import composite_frames
from glassine.data.sticker import Sticker
from glassine.utils.errors import UserError

SUMMARIZE = "Summarize the following text from both static and dynamic features:\n {description}"
TRANSLATE = (
    "Translate the following description of a sticker into Chinese. Answer with the translation only:\n {description}"
)
DESCRIBE_ANIMATION = "Describe this animated sticker in detail: what it shows, and how it moves."
DESCRIBE_STILL = "Describe this sticker in detail."


class PretrainedModel:
    """A model of transformers by hub id or path, loaded when it is first asked.

    Args:
        what: how an error calls it.
        kinds: names of transformers' classes for its processor or tokenizer, and for its network.
        model: a hub id or the path of a local copy.
        prompt: what it is asked.
        max_new_tokens: of an answer.
        batch_size: items at once.
        device: None is `cuda` where there is one.
        dtype: of weights; None is as they were saved.
        revision: branch, tag or commit on the hub.
    """

    def __init__(
        self,
        what: str,
        kinds: tuple[str, str],
        model: str,
        prompt: str,
        max_new_tokens: int,
        batch_size: int,
        device: str | None,
        dtype: str | None,
        revision: str | None,
    ) -> None:
        self.what, self.kinds, self.model, self.prompt = what, kinds, model, prompt
        self.max_new_tokens, self.batch_size = max_new_tokens, batch_size
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.dtype, self.revision = dtype, revision
        self.identity = identity(model, revision, prompt)
        self._loaded: tuple[Any, Any] | None = None

    def _load(self) -> tuple[Any, Any]:
        """Its processor or tokenizer, which pads on the left since answers come behind the prompt, and its network."""
        if self._loaded is None:
            import transformers

            reads, network = (getattr(transformers, kind) for kind in self.kinds)
            revision = self.revision or "main"
            try:
                reader = reads.from_pretrained(self.model, revision=revision)
                loaded = network.from_pretrained(self.model, revision=revision, dtype=self.dtype or "auto")
            except (OSError, ValueError, KeyError) as error:
                reason = " ".join(str(error).split())[:200]
                raise UserError(f"no {self.what} at {self.model} ({reason})") from error
            getattr(reader, "tokenizer", reader).padding_side = "left"
            self._loaded = reader, loaded.eval().to(self.device)
        return self._loaded


class VisionLanguageModel(PretrainedModel):
    """A model that says what a picture or a clip shows.

    Args:
        model: a hub id or the path of a local copy, of any architecture that transformers knows as image-text-to-text,
            e.g. `llava-hf/llava-1.5-7b-hf`, `llava-hf/LLaVA-NeXT-Video-7B-hf`, `Qwen/Qwen2.5-VL-7B-Instruct`.
        prompt: what it is asked.
        video: hand it a clip; False hands it one picture.
        frames: of a clip; models want 8 to 32.
        max_new_tokens: of an answer.
        batch_size: stickers at once.
        device: None is `cuda` where there is one.
        dtype: of weights: `float32`, `bfloat16`, ...; None is as they were saved.
        background: stickers are composited on this color, red, green, blue.
        revision: branch, tag or commit on the hub; give one, or the record says less.
    """

    def __init__(
        self,
        model: str,
        prompt: str,
        video: bool = False,
        frames: int = 8,
        max_new_tokens: int = 128,
        batch_size: int = 8,
        device: str | None = None,
        dtype: str | None = None,
        background: tuple[int, int, int] = (255, 255, 255),
        revision: str | None = None,
    ) -> None:
        kinds = ("AutoProcessor", "AutoModelForImageTextToText")
        how = (model, prompt, max_new_tokens, batch_size, device, dtype, revision)
        super().__init__("vision-language model", kinds, *how)
        self.video, self.frames = video, frames if video else 1
        red, green, blue = background  # a list in a YAML
        self.background = (red, green, blue)

    def answer(self, stickers: Sequence[Sticker]) -> list[str]:
        """What the model says of each sticker, decoded greedily: the same in every run."""
        answers: list[str] = []
        for start in range(0, len(stickers), self.batch_size):
            answers += self._answer(stickers[start : start + self.batch_size])
        return answers

    @torch.no_grad()
    def _answer(self, stickers: Sequence[Sticker]) -> list[str]:
        processor, network = self._load()
        kind = "video" if self.video else "image"
        text = processor.apply_chat_template(
            [{"role": "user", "content": [{"type": kind}, {"type": "text", "text": self.prompt}]}],
            add_generation_prompt=True,
        )
        clips = [composite_frames(sticker.frames, self.background) for sticker in stickers]
        if self.video:
            media: dict[str, Any] = {"videos": [list(filled(clip, self.frames)) for clip in clips]}
        else:
            media = {"images": [[Image.fromarray(clip[0])] for clip in clips]}
        inputs = processor(text=[text] * len(stickers), padding=True, return_tensors="pt", **media).to(self.device)
        for name, value in inputs.items():
            if torch.is_tensor(value) and value.is_floating_point():
                inputs[name] = value.to(network.dtype)
        made = network.generate(**inputs, max_new_tokens=self.max_new_tokens, do_sample=False)
        new = made[:, inputs["input_ids"].shape[1] :]
        return [" ".join(one.split()) for one in processor.batch_decode(new, skip_special_tokens=True)]


class LanguageModel(PretrainedModel):
    """A model that rewrites a text.

    Args:
        model: a hub id or the path of a local copy of a causal language model.
        prompt: with `{description}` where the text goes.
        max_new_tokens: of an answer.
        batch_size: texts at once.
        device: None is `cuda` where there is one.
        dtype: of weights; None is as they were saved.
        revision: branch, tag or commit on the hub.

    Raises:
        UserError: a prompt without `{description}`.
    """

    def __init__(
        self,
        model: str,
        prompt: str = SUMMARIZE,
        max_new_tokens: int = 96,
        batch_size: int = 16,
        device: str | None = None,
        dtype: str | None = None,
        revision: str | None = None,
    ) -> None:
        if "{description}" not in prompt:
            raise UserError(f"a prompt must have {{description}} where the text goes, got {prompt!r}")
        how = (model, prompt, max_new_tokens, batch_size, device, dtype, revision)
        super().__init__("language model", ("AutoTokenizer", "AutoModelForCausalLM"), *how)

    def _load(self) -> tuple[Any, Any]:
        tokenizer, network = super()._load()
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        return tokenizer, network

    @torch.no_grad()
    def answer(self, texts: Sequence[str]) -> list[str]:
        """The model's version of each text, decoded greedily."""
        tokenizer, network = self._load()
        answers: list[str] = []
        for start in range(0, len(texts), self.batch_size):
            asked = [self.prompt.replace("{description}", text) for text in texts[start : start + self.batch_size]]
            if tokenizer.chat_template:
                asked = [
                    tokenizer.apply_chat_template(
                        [{"role": "user", "content": one}], tokenize=False, add_generation_prompt=True
                    )
                    for one in asked
                ]
            inputs = tokenizer(asked, padding=True, return_tensors="pt", return_token_type_ids=False).to(self.device)
            made = network.generate(
                **inputs, max_new_tokens=self.max_new_tokens, do_sample=False, pad_token_id=tokenizer.pad_token_id
            )
            new = made[:, inputs["input_ids"].shape[1] :]
            answers += [" ".join(one.split()) for one in tokenizer.batch_decode(new, skip_special_tokens=True)]
        return answers


class VisionLanguageDescriber:
    """VSD2M's way to descriptions, for `describe:` of a curation's YAML.

    Args:
        animated: init_args of a `VisionLanguageModel` for animations.
        still: likewise for stills.
        summarize: init_args of a `LanguageModel` that cleans both; None leaves them as they are.
        translate: init_args of a `LanguageModel` that makes Chinese of the summary; None makes none.
    """

    def __init__(
        self,
        animated: Mapping[str, Any],
        still: Mapping[str, Any],
        summarize: Mapping[str, Any] | None = None,
        translate: Mapping[str, Any] | None = None,
    ) -> None:
        self.animated = VisionLanguageModel(**{"prompt": DESCRIBE_ANIMATION, "video": True, **animated})
        self.still = VisionLanguageModel(**{"prompt": DESCRIBE_STILL, **still})
        self.summarize = None if summarize is None else LanguageModel(**{"prompt": SUMMARIZE, **summarize})
        self.translate = None if translate is None else LanguageModel(**{"prompt": TRANSLATE, **translate})
        self.frames = self.animated.frames
        self.identity = {"by": "vision-language model", "version": 1}

    def describe(self, stickers: Sequence[Sticker], rows: Sequence[Row]) -> list[Row]:
        """See `glassine.curation.describe.Describer`."""
        moving = np.array([row["frames"] > 1 for row in rows], bool)
        said = [""] * len(rows)
        for places, model in ((np.flatnonzero(moving), self.animated), (np.flatnonzero(~moving), self.still)):
            for place, text in zip(
                places, model.answer([stickers[int(n)] for n in places]) if len(places) else [], strict=True
            ):
                said[int(place)] = text
        clean = self.summarize.answer(said) if self.summarize and said else said
        chinese = self.translate.answer(clean) if self.translate and said else [""] * len(said)
        out: list[Row] = []
        for number, raw in enumerate(said):
            made: dict[str, Any] = {
                **self.identity,
                "model": (self.animated if moving[number] else self.still).identity,
            }
            made |= {"summary": self.summarize.identity} if self.summarize else {}
            made |= {"chinese": self.translate.identity} if self.translate else {}
            parts = {"model_said": raw}
            out.append({"description": clean[number], "description_zh": chinese[number], "parts": parts, "made": made})
        return out


def identity(model: str, revision: str | None, prompt: str) -> dict[str, Any]:
    """What is recorded with each text: model, version, prompt."""
    return {
        "model": model,
        "revision": revision or "",
        "transformers": package_version("transformers"),
        "prompt": prompt,
    }


def filled(clip: np.ndarray, count: int) -> np.ndarray:
    """A clip of at least so many frames, the last one repeated: models want them all alike in a batch."""
    missing = count - len(clip)
    return np.concatenate([clip, np.repeat(clip[-1:], missing, axis=0)]) if missing > 0 else clip
