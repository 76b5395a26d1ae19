import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glassine.bench.text_tokenizer import make_tokenizer
from glassine.pretrained.text_encoder import TextEncoder, small_bert
from glassine.tasks.distill_text import DistillTextTask, embed_sorted, retrieval

SAME = {"red": "红", "blue": "蓝", "cat": "猫", "dog": "狗"}
PAIRS = [(f"{c} {a}", f"{SAME[c]}{SAME[a]}") for c in ("red", "blue") for a in ("cat", "dog")]


class Teacher(nn.Module):
    """Adds up a fixed vector for each word."""

    width = 12

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Parameter(torch.randn(len(SAME), self.width, generator=torch.Generator().manual_seed(0)))

    def embed(self, texts: list[str]) -> Tensor:
        places = [[list(SAME).index(word) for word in text.split()] for text in texts]
        return torch.stack([self.words[place].sum(0) for place in places])


@pytest.fixture
def task(tmp_path) -> DistillTextTask:
    torch.manual_seed(0)
    make_tokenizer([" ".join(pair) for pair in PAIRS], [], 90).save_pretrained(tmp_path)
    small_bert(90, 16, 1, 2, 8).save_pretrained(tmp_path)
    return DistillTextTask(TextEncoder(str(tmp_path), frozen=False), Teacher(), lambda p: torch.optim.Adam(p, lr=0.01))


def batch() -> dict:
    return {"text": [text for text, _ in PAIRS], "text_zh": [chinese for _, chinese in PAIRS[:3]] + [""]}


def test_the_loss_is_the_squared_distance_of_both_languages_to_the_teacher_of_the_english(task):
    loss = task.training_step(batch(), 0)
    target = F.normalize(task.teacher.embed(batch()["text"]), dim=-1)
    english = sum(
        (task.head(task.student.embed([t]))[0] - w).square().sum() for t, w in zip(batch()["text"], target, strict=True)
    )
    chinese = sum(
        (task.head(task.student.embed([t]))[0] - w).square().sum()
        for t, w in zip(batch()["text_zh"][:3], target[:3], strict=True)
    )
    torch.testing.assert_close(loss, english / 4 + chinese / 3)


def test_a_translation_that_was_not_seen_is_understood(task):
    """The last pair's Chinese comes in no batch; its characters do."""
    optimizer = task.configure_optimizers()
    for _ in range(60):
        loss = task.training_step(batch(), 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    task.eval()
    with torch.no_grad():
        queries = task.head(task.student.embed([chinese for _, chinese in PAIRS]))
        scores = retrieval("zh", queries, task.teacher.embed([text for text, _ in PAIRS]))
    assert scores["zh_r1"] == 1
    assert not [name for name in task.state_dict() if name.startswith("teacher.")]


def test_starting_from_words_brings_the_student_near_before_any_step(task):
    texts = sorted(text for text, _ in PAIRS)
    before = task.training_step(batch(), 0)
    task.places = {text: place for place, text in enumerate(texts)}
    task.answers = task.ask(texts)
    task.start([(text, english) for english, chinese in PAIRS for text in (english, chinese)])
    after = task.training_step(batch(), 0)
    assert after < 0.8 * before


def test_validation_scores_what_is_held_out(task):
    logged = {}
    task.log_dict = logged.update
    rows = {"label": [t for t, _ in PAIRS], "tags": [t for t, _ in PAIRS], "label_zh": [c for _, c in PAIRS]}
    for part in (slice(0, 3), slice(3, 4)):
        task.validation_step({name: texts[part] for name, texts in rows.items()}, 0)
    task.on_validation_epoch_end()
    assert logged["val/student_tags_r1"] == 1  # the same texts
    assert logged["val/student_tags_auroc"] == 1
    assert logged["val/cosine_label"] == logged["val/cosine_tags"]
    assert {"val/cosine_label_zh", "val/student_label_zh_r5", "val/teacher_tags_r1"} <= set(logged)
    assert not task.spaces["student_tags"].update_called


def test_retrieval_counts_labels_that_are_nearer_than_the_own_one():
    labels = torch.eye(6)
    queries = torch.stack(
        [labels[0], labels[0] + 0.5 * labels[1], labels[2], labels[:6].sum(0) - labels[3], *labels[4:]]
    )
    scores = retrieval("x", queries, labels)
    assert scores["x_r1"] == pytest.approx(4 / 6)
    assert scores["x_r5"] == pytest.approx(5 / 6)
    assert 0.5 < scores["x_auroc"] < 1


def test_texts_keep_their_order_when_like_lengths_go_together():
    class Lengths(nn.Module):
        def embed(self, texts: list[str]) -> Tensor:
            assert max(map(len, texts)) - min(map(len, texts)) <= 3
            return torch.tensor([[float(len(text))] for text in texts])

    texts = ["a" * number for number in (5, 1, 9, 2, 8, 3)]
    assert embed_sorted(Lengths(), texts, at_once=2).flatten().tolist() == [5, 1, 9, 2, 8, 3]
