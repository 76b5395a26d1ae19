"""Text encoders in transformers' format, from a hub id or a folder, and the small one that ships."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, BertConfig, BertModel, CLIPTextModel, T5EncoderModel
from transformers.utils import logging

from glassine.pretrained.hub import check_complete, hub_errors
from glassine.pretrained.weights import SHIPPED, load_bundle, locate
from glassine.utils.errors import UserError
from glassine.utils.minilm import minilm_folder
from glassine.utils.tensors import weights_digest

TINY_TEXT = "glassine:tiny-text"
MOST_POSITIONS = 512  # of a T5, which has no limit: the longest texts that it was trained on
MOST_TOKENS = 77  # the limit of every CLIP, and therefore of Stable Diffusion
TooLong = Literal["error", "cut"]


class TextEncoder(nn.Module):
    """Encodes texts as `prompt_embeds` `b n d` with a fixed number n of tokens, to condition diffusion networks.

    CLIP's text network is used as in Stable Diffusion: without a mask, keeping its outputs for padding. A BERT-like
    network and the encoder of a T5 (such as FLAN-T5) mask the padding, and their embeddings there are zero. All return
    the last layer's states.

    Args:
        source: hub id or folder in transformers' format; or, as for all our networks, `glassine:tiny-text` or a folder
            of `glassine export weights` into which the tokenizer's files were copied.
        subfolder: subfolder of the network; `text_encoder` in a Stable Diffusion checkpoint.
        tokenizer_subfolder: subfolder of the tokenizer; `tokenizer` there.
        layer: number of layers to use, followed by the final norm; None for all. Stable Diffusion 2
            uses 23 of OpenCLIP ViT-H's 24; its own checkpoints only contain these.
        length: n, including the start and end tokens; None is the number of the network's positions, at most 77.
            A T5 has relative positions, so that there is no limit to what may be asked of it.
        too_long: whether longer texts are an `error` or are `cut`.
        frozen: use eval mode and no gradients.
        revision: branch, tag or commit on the hub.
        network: a network to use instead of that of `source`, for instance one to train.

    Attributes:
        width: d.

    Raises:
        UserError: `source` cannot be loaded, or an invalid layer or length; when called, a text that is too long.
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
        positions = int(getattr(config, "max_position_embeddings", None) or MOST_POSITIONS)
        self.length = min(positions, MOST_TOKENS) if length is None else length
        if not 3 <= self.length <= positions:
            raise UserError(f"length must be in [3, {positions}] tokens for {source}, got {length}")
        if len(self.tokenizer) > config.vocab_size:
            raise UserError(f"{source} must have at most {config.vocab_size} tokens, got {len(self.tokenizer)}")
        if frozen:
            self.requires_grad_(False).eval()

    def forward(self, texts: list[str]) -> Tensor:
        """`prompt_embeds` `b n d` of b texts, including empty ones."""
        tokens = self.tokens(texts, "max_length")
        if not self.masks_padding:
            return self.network(input_ids=tokens["input_ids"]).last_hidden_state
        return self.states(tokens)

    def embed(self, texts: list[str]) -> Tensor:
        """One vector per text, `b d`: the mean over its tokens, as for sentence models; texts may have any length.

        Raises:
            TypeError: the network is a CLIP, which does not support this.
        """
        if not self.masks_padding:
            raise TypeError("a mean over tokens needs a BERT-like network, got a CLIP")
        tokens = self.tokens(texts, "longest")
        return self.states(tokens).sum(1) / tokens["attention_mask"].sum(1, keepdim=True)

    def states(self, tokens: dict[str, Tensor]) -> Tensor:
        """The last layer's states `b m d`, zero for padding."""
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
        """Number of tokens of a text, without the start and end tokens."""
        return len(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    @property
    def room(self) -> int:
        """Maximum number of tokens of a text."""
        return self.length - self.tokenizer.num_special_tokens_to_add()

    def complaint(self, texts: list[str]) -> str:
        """The error message for the first text that is too long."""
        text, count = next((text, count) for text in texts if (count := self.count(text)) > self.room)
        shown = text if len(text) <= 60 else f"{text[:60]}..."
        return f"the text {shown!r} has {count} tokens, but {self.room} fit into this text encoder: shorten it"

    @property
    def identity(self) -> dict[str, str]:
        """Identity of this text encoder: its length, and a digest of weights and vocabulary."""
        words = repr(sorted(self.tokenizer.get_vocab().items())) + weights_digest(self.network)
        return {"length": str(self.length), "digest": hashlib.blake2b(words.encode(), digest_size=6).hexdigest()}


def load_tokenizer(source: str, subfolder: str | None, revision: str | None) -> Any:
    """The tokenizer of `source`; raises UserError if there is none."""
    with hub_errors("tokenizer", place_of(source, subfolder)):
        return AutoTokenizer.from_pretrained(
            source, subfolder=subfolder or "", revision=revision, trust_remote_code=False
        )


def load_network(source: str, subfolder: str | None, layer: int | None, revision: str | None) -> nn.Module:
    """The first `layer` layers of the text network of `source`.

    Raises:
        UserError: there is none, or it does not match its own config; the message names the first mismatch.
    """
    place: dict[str, Any] = {"subfolder": subfolder or "", "revision": revision, "trust_remote_code": False}
    with hub_errors("text network", place_of(source, subfolder)):
        config = AutoConfig.from_pretrained(source, **place)
        clip = config.model_type in ("clip", "clip_text_model")
        config = getattr(config, "text_config", config) if clip else config
        t5 = config.model_type == "t5"
        if (config.is_encoder_decoder and not t5) or not hasattr(config, "num_hidden_layers"):
            raise UserError(f"{source} must hold a CLIP, T5 or BERT-like network, got a {config.model_type}")
        if layer is not None and not 1 <= layer <= config.num_hidden_layers:
            raise UserError(f"layer must be in [1, {config.num_hidden_layers}] for {source}, got {layer}")
        config.num_hidden_layers = layer or config.num_hidden_layers
        kind: Any = CLIPTextModel if clip else T5EncoderModel if t5 else AutoModel
        with quiet():  # its report of unused weights is very long
            network, loaded = kind.from_pretrained(source, config=config, output_loading_info=True, **place)
    check_complete(loaded, source, allow_missing=lambda name: name.startswith("pooler."))
    if hasattr(network, "pooler"):
        network.pooler = None  # for the first token; randomly initialized if the file has none
    return network.eval()


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the progress bars and reports of transformers."""
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
    """all-MiniLM-L6-v2 from the PyPI package, for use as a `class_path` in a YAML; args as `TextEncoder`.

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
