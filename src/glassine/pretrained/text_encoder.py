"""Text networks in transformers' own format, from a hub id or a folder, and the small one that ships."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, BertConfig, BertModel, CLIPTextModel
from transformers.utils import logging

from glassine.pretrained.hub import check_complete, hub_errors
from glassine.pretrained.weights import SHIPPED, load_bundle, locate
from glassine.utils.errors import UserError
from glassine.utils.minilm import minilm_folder
from glassine.utils.tensors import weights_digest

TINY_TEXT = "glassine:tiny-text"
MOST_TOKENS = 77  # of every CLIP, and so of Stable Diffusion
TooLong = Literal["error", "cut"]


class TextEncoder(nn.Module):
    """Texts to `prompt_embeds` `b n d`, a fixed number n of tokens: the condition of a diffusion network.

    CLIP's text network is used as Stable Diffusion uses it: no mask, and at the padding what it gives there. A
    BERT-like one masks the padding, and its embeddings there are zero. Both give the last layer's states.

    Args:
        source: hub id or folder in transformers' format; or, as for every network of ours, `glassine:tiny-text` or a
            folder of `glassine export weights` that the tokenizer's files were copied into.
        subfolder: where the network lies in it; `text_encoder` in a Stable Diffusion checkpoint.
        tokenizer_subfolder: where the tokenizer lies; `tokenizer` there.
        layer: how many of the network's layers are used, the final norm after them; None for all. Stable Diffusion 2
            uses 23 of OpenCLIP ViT-H's 24; its own checkpoints hold no more than those.
        length: n, with the tokens that begin and end a text; None is what the network has positions for, at most 77.
        too_long: whether a text of more tokens is an `error` or is `cut`.
        frozen: eval mode and no gradients.
        revision: branch, tag or commit on the hub.
        network: a network instead of that of `source`, for instance one to be trained.

    Attributes:
        width: d.

    Raises:
        UserError: nothing there that can be loaded, or no such layer or length; when called, a text that is too long.
    """

    def __init__(
        self,
        source: str,
        subfolder: str | None = None,
        tokenizer_subfolder: str | None = None,
        layer: int | None = None,
        length: int | None = None,
        too_long: TooLong = "error",
        frozen: bool = True,
        revision: str | None = None,
        network: nn.Module | None = None,
    ) -> None:
        super().__init__()
        ours = source.startswith(SHIPPED) or (Path(source) / "config.yaml").is_file()
        place = str(locate(source)) if ours else source
        self.tokenizer = load_tokenizer(place, tokenizer_subfolder, revision)
        if ours and (layer, subfolder) != (None, None):
            raise UserError(f"layer and subfolder must be left out for {source}")
        if network is None:
            network = load_bundle(source) if ours else load_network(source, subfolder, layer, revision)
        self.network, self.too_long = network, too_long
        config: Any = network.config
        self.masks_padding = not config.model_type.startswith("clip")
        self.width = int(config.hidden_size)
        positions = int(config.max_position_embeddings)
        self.length = min(positions, MOST_TOKENS) if length is None else length
        if not 3 <= self.length <= positions:
            raise UserError(f"length must be in [3, {positions}] tokens for {source}, got {length}")
        if len(self.tokenizer) > config.vocab_size:
            raise UserError(f"{source} must have at most {config.vocab_size} tokens, got {len(self.tokenizer)}")
        if frozen:
            self.requires_grad_(False).eval()

    def forward(self, texts: list[str]) -> Tensor:
        """`prompt_embeds` `b n d` of b texts, empty ones too."""
        tokens = self.tokens(texts, "max_length")
        if not self.masks_padding:
            return self.network(input_ids=tokens["input_ids"]).last_hidden_state
        return self.states(tokens)

    def embed(self, texts: list[str]) -> Tensor:
        """One vector a text, `b d`: the mean over its tokens, as sentence models are used; of any length.

        Raises:
            TypeError: of a CLIP, which is not used so.
        """
        if not self.masks_padding:
            raise TypeError("a mean over tokens needs a BERT-like network, got a CLIP")
        tokens = self.tokens(texts, "longest")
        return self.states(tokens).sum(1) / tokens["attention_mask"].sum(1, keepdim=True)

    def states(self, tokens: dict[str, Tensor]) -> Tensor:
        """The last layer's states `b m d`, zero at the padding."""
        states = self.network(**tokens).last_hidden_state  # b m d
        return states * tokens["attention_mask"][..., None]

    def tokens(self, texts: list[str], padding: Literal["max_length", "longest"]) -> dict[str, Tensor]:
        """`input_ids` and `attention_mask`, both `b m`, on the network's device."""
        if not texts:
            raise ValueError("there must be at least one text")
        if self.too_long == "error" and max(map(len, self.tokenizer(texts, verbose=False)["input_ids"])) > self.length:
            raise UserError(self.complaint(texts))
        encoded = self.tokenizer(
            texts, padding=padding, truncation=True, max_length=self.length, return_tensors="pt", verbose=False
        )
        device = next(self.network.parameters()).device
        return {name: encoded[name].to(device) for name in ("input_ids", "attention_mask")}

    def count(self, text: str) -> int:
        """Tokens of a text, those that begin and end it not counted."""
        return len(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    @property
    def room(self) -> int:
        """Tokens that a text may have."""
        return self.length - self.tokenizer.num_special_tokens_to_add()

    def complaint(self, texts: list[str]) -> str:
        """What to say of the first text that is too long."""
        text, count = next((text, count) for text in texts if (count := self.count(text)) > self.room)
        shown = text if len(text) <= 60 else f"{text[:60]}..."
        return f"the text {shown!r} has {count} tokens, but {self.room} fit into this text encoder: shorten it"

    @property
    def identity(self) -> dict[str, str]:
        """Tells this text encoder from others: its length, and a digest of weights and vocabulary."""
        words = repr(sorted(self.tokenizer.get_vocab().items())) + weights_digest(self.network)
        return {"length": str(self.length), "digest": hashlib.blake2b(words.encode(), digest_size=6).hexdigest()}


def load_tokenizer(source: str, subfolder: str | None, revision: str | None) -> Any:
    """The tokenizer of `source`; UserError if there is none."""
    with hub_errors("tokenizer", place_of(source, subfolder)):
        return AutoTokenizer.from_pretrained(
            source, subfolder=subfolder or "", revision=revision, trust_remote_code=False
        )


def load_network(source: str, subfolder: str | None, layer: int | None, revision: str | None) -> nn.Module:
    """The text network of `source`, its first `layer` layers.

    Raises:
        UserError: there is none, or it does not fit its own description; the message names the first misfit.
    """
    place: dict[str, Any] = {"subfolder": subfolder or "", "revision": revision, "trust_remote_code": False}
    with hub_errors("text network", place_of(source, subfolder)):
        config = AutoConfig.from_pretrained(source, **place)
        clip = config.model_type in ("clip", "clip_text_model")
        config = getattr(config, "text_config", config) if clip else config
        if config.is_encoder_decoder or not hasattr(config, "num_hidden_layers"):
            raise UserError(f"{source} must hold a CLIP or BERT-like network, got a {config.model_type}")
        if layer is not None and not 1 <= layer <= config.num_hidden_layers:
            raise UserError(f"layer must be in [1, {config.num_hidden_layers}] for {source}, got {layer}")
        config.num_hidden_layers = layer or config.num_hidden_layers
        kind: Any = CLIPTextModel if clip else AutoModel
        with quiet():  # its report of what is left out is a page
            network, loaded = kind.from_pretrained(source, config=config, output_loading_info=True, **place)
    check_complete(loaded, source, allow_missing=lambda name: name.startswith("pooler."))
    if hasattr(network, "pooler"):
        network.pooler = None  # of the first token; made at random where the file has none
    return network.eval()


@contextmanager
def quiet() -> Iterator[None]:
    """Without the progress bars and reports of transformers."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def place_of(source: str, subfolder: str | None) -> str:
    """Source and subfolder, for messages."""
    return f"{source}/{subfolder}" if subfolder else source


def minilm(length: int | None = None, frozen: bool = True) -> TextEncoder:
    """all-MiniLM-L6-v2 of the PyPI package, for use as a `class_path` in a YAML; args as `TextEncoder`.

    Raises:
        UserError: the package is not installed.
    """
    return TextEncoder(str(minilm_folder()), length=length, frozen=frozen)


def small_bert(
    vocab_size: int = 9000, width: int = 192, depth: int = 2, num_heads: int = 3, max_tokens: int = 48
) -> BertModel:
    """An untrained BERT (arXiv 1810.04805) without pooler and dropout, for use as a `class_path` in a YAML."""
    config = BertConfig(
        vocab_size=vocab_size,
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=num_heads,
        intermediate_size=4 * width,
        max_position_embeddings=max_tokens,
        type_vocab_size=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return BertModel(config, add_pooling_layer=False)
