"""Distill an English sentence model into a small bilingual text encoder (Reimers & Gurevych, arXiv 2004.09813)."""

from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import CatMetric
from torchmetrics.functional.classification import binary_auroc

from glassine.tasks.base import StickerTask
from glassine.utils.errors import UserError

SPACES = ("student_label", "student_tags", "student_label_zh", "teacher_label", "teacher_tags")


class DistillTextTask(StickerTask):
    """The paper's equation 1: a text and its translation both match the teacher's embedding of the text.

    Embeddings are means over tokens, with unit length for the teacher (as all-MiniLM-L6-v2 is meant to be used); a
    linear head, discarded afterwards, maps the student's to the teacher's width. The distance is summed over the width,
    since the mean over the components of a unit vector is tiny.

    Batches come from `TextPairs`: `text` and its translation `text_zh`, empty if there is none.

    Args:
        student: network whose `embed` maps texts to `b d`, with `width` and `tokenizer`: a `TextEncoder` that is not
            frozen.
        teacher: network with the same interface; frozen.
        optimizer: see `StickerTask`.
        lr_scheduler: see `StickerTask`.
        init_from: see `StickerTask`.
        start_from_words: initialize the student's token embeddings with the teacher's embeddings of texts that contain
            the token, reduced to the student's width by PCA, like Model2Vec, but for a network that is trained further.
            Not in the paper, which starts from a pretrained network.
    """

    frozen = ("teacher",)

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None = None,
        init_from: str | None = None,
        start_from_words: bool = True,
    ) -> None:
        super().__init__(optimizer, lr_scheduler, init_from)
        self.student, self.teacher = student, teacher.requires_grad_(False).eval()
        self.head = nn.Linear(student.width, teacher.width)  # type: ignore[arg-type]
        self.start_from_words = start_from_words
        self.answers = torch.empty(0)
        self.places: dict[str, int] = {}
        self.spaces = nn.ModuleDict({name: CatMetric() for name in SPACES})

    def on_fit_start(self) -> None:
        """Compute the teacher's embeddings once, in the same order in every run; it is slower than the student."""
        super().on_fit_start()
        data: Any = getattr(self.trainer, "datamodule", None)
        pairs: Any = data.dataset("train") if data else None
        if not hasattr(pairs, "texts"):
            raise UserError("data.train must be a glassine.data.text_pairs.TextPairs, got another dataset")
        self.places = {text: place for place, text in enumerate(pairs.texts)}
        parts = [pairs.texts[at : at + 256] for at in range(0, len(pairs.texts), 256)]
        self.answers = torch.cat([self.ask(part).cpu() for part in parts])
        if self.start_from_words and self.trainer.ckpt_path is None and self.init_from is None:
            self.start([(text, row["text"]) for row in pairs.rows for text in row.values() if text])

    @torch.no_grad()
    def ask(self, texts: list[str]) -> Tensor:
        """The teacher's embeddings, `b d` of unit length."""
        return F.normalize(embed_sorted(self.teacher, texts), dim=-1)

    @torch.no_grad()
    def start(self, pairs: list[tuple[str, str]]) -> None:
        """Initialize token embeddings and head; `pairs` are texts and the texts embedded for them."""
        middle = self.answers.mean(0)
        axes = torch.linalg.eigh((self.answers - middle).T @ (self.answers - middle)).eigenvectors.flip(1)  # d d
        axes = axes[:, : self.head.in_features]
        meanings = (self.answers - middle) @ axes  # m w, or m d if the student is wider
        read = self.student.tokenizer([text for text, _ in pairs], add_special_tokens=False)["input_ids"]  # type: ignore[operator]
        counts = torch.tensor([len(tokens) for tokens in read])
        tokens = torch.tensor([token for tokens in read for token in tokens])  # t
        rows = torch.tensor([self.places[asked] for _, asked in pairs]).repeat_interleave(counts)  # t
        shares = counts.repeat_interleave(counts).float()[:, None] ** -2  # short texts say most about their tokens
        table = self.student.network.get_input_embeddings().weight  # type: ignore[union-attr, operator]
        sums = torch.zeros(len(table), axes.shape[1]).index_add_(0, tokens, meanings[rows] * shares)
        weights = torch.zeros(len(table), 1).index_add_(0, tokens, shares)
        met = weights[:, 0] > 0
        table[met.to(table.device), : axes.shape[1]] = (sums / weights)[met].to(table)
        self.head.weight.zero_()
        self.head.weight[:, : axes.shape[1]] = axes / axes.shape[1] ** 0.5  # the student's norms make each part about 1
        self.head.bias.copy_(middle)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """One step on a batch of pairs."""
        texts: list[str] = batch["text"]
        translated = [row for row, text in enumerate(batch["text_zh"]) if text]
        if all(text in self.places for text in texts):
            target = self.answers[[self.places[text] for text in texts]].to(self.device)  # b d
        else:
            target = self.ask(texts)
        read = self.head(embed_sorted(self.student, [*texts, *(batch["text_zh"][row] for row in translated)]))
        loss = squared_distance(read[: len(texts)], target)
        if translated:
            loss = loss + squared_distance(read[len(texts) :], target[translated])
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Embed held-out emoji: the labels, the tags, and the Chinese labels."""
        spaces: Any = self.spaces
        for name in ("label", "tags", "label_zh"):
            spaces[f"student_{name}"].update(embed_sorted(self.student, batch[name]))
        for name in ("label", "tags"):
            spaces[f"teacher_{name}"].update(self.ask(batch[name]))

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """The same."""
        self.validation_step(batch, batch_idx)

    def on_validation_epoch_end(self) -> None:
        """Log the scores."""
        self.log_scores("val")

    def on_test_epoch_end(self) -> None:
        """Log the scores."""
        self.log_scores("test")

    def log_scores(self, stage: str) -> None:
        """Cosine to the teacher, through the head, and retrieval of the English label without it."""
        found: dict[str, Tensor] = {name: metric.compute() for name, metric in self.spaces.items()}  # type: ignore[operator]
        scores: dict[str, Tensor] = {}
        for name, truth in (("label", "label"), ("tags", "tags"), ("label_zh", "label")):
            read = self.head(found[f"student_{name}"])
            scores[f"cosine_{name}"] = F.cosine_similarity(read, found[f"teacher_{truth}"]).mean()
        for who, name in (("student", "tags"), ("student", "label_zh"), ("teacher", "tags")):
            scores |= retrieval(f"{who}_{name}", found[f"{who}_{name}"], found[f"{who}_label"])
        self.log_dict({f"{stage}/{name}": value for name, value in scores.items()})
        for metric in self.spaces.values():
            metric.reset()  # type: ignore[operator]


def embed_sorted(network: nn.Module, texts: list[str], at_once: int = 64) -> Tensor:
    """`network.embed(texts)`, `b d`, sorted by length to reduce padding."""
    order = sorted(range(len(texts)), key=lambda place: len(texts[place].encode()))
    parts = [[texts[place] for place in order[at : at + at_once]] for at in range(0, len(texts), at_once)]
    embedded = torch.cat([network.embed(part) for part in parts])  # type: ignore[operator]
    return embedded[torch.tensor(order).argsort().to(embedded.device)]


def squared_distance(found: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared distance of embeddings `b d` over texts."""
    return (found - wanted).square().sum(-1).mean()


def retrieval(name: str, queries: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """How well `queries` `n d` retrieve the label of the same row among `labels` `n d`, by cosine similarity.

    Returns:
        `NAME_r1` and `NAME_r5`, the share of queries whose label ranks first or in the top five; and `NAME_auroc`, the
        probability that a query is closer to its own label than to another one.
    """
    likeness = F.normalize(queries, dim=-1) @ F.normalize(labels, dim=-1).T  # n n
    own = torch.eye(len(labels), dtype=torch.long, device=labels.device)
    ahead = (likeness > likeness.diagonal()[:, None]).sum(1)  # n
    recalls = {f"{name}_r{most}": (ahead < most).float().mean() for most in (1, 5)}
    return recalls | {f"{name}_auroc": binary_auroc(likeness.flatten(), own.flatten())}
