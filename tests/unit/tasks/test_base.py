import pytest
import torch
from diffusers.models.attention_processor import Attention
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging
from torch import nn
from torch.utils.data import DataLoader

from glassine.tasks.base import StickerTask, without_fused_attention
from glassine.tasks.checkpoints import LastCheckpoint
from glassine.utils.errors import UserError


class Task(StickerTask):
    frozen = ("teacher",)

    def __init__(self, seed: int = 0, lr: float = 0.1, init_from: str | None = None) -> None:
        super().__init__(lambda parameters: torch.optim.SGD(parameters, lr=lr), init_from=init_from)
        torch.manual_seed(0)
        self.teacher = nn.Linear(2, 2).requires_grad_(False)
        torch.manual_seed(seed)
        self.student = nn.Linear(2, 2)

    def training_step(self, batch, batch_idx):
        return (self.student(batch) - self.teacher(batch)).square().mean()

    def train_dataloader(self):
        return DataLoader(torch.ones(4, 2), batch_size=1)


@pytest.mark.parametrize("averaged", [False, True])
def test_frozen_parts_stay_out_of_the_checkpoint_and_it_reloads(tmp_path, averaged):
    callbacks = [LastCheckpoint(every_n_train_steps=100), *([EMAWeightAveraging(decay=0.5)] if averaged else [])]
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    trainer = Trainer(max_steps=3, callbacks=callbacks, default_root_dir=tmp_path, **quiet)
    task = Task()
    trainer.fit(task)
    path = tmp_path / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    assert set(checkpoint["state_dict"]) == {"student.weight", "student.bias"}
    other = Task(seed=1)
    other.load_state_dict(checkpoint["state_dict"])  # strict: only the frozen part may be missing
    torch.testing.assert_close(other.student.weight, task.student.weight)
    with pytest.raises(RuntimeError, match=r"student\.bias"):
        other.load_state_dict({"student.weight": checkpoint["state_dict"]["student.weight"]})

    resumed = Trainer(max_steps=6, callbacks=callbacks, default_root_dir=tmp_path / "more", **quiet)
    resumed.fit(other, ckpt_path=path, weights_only=True)
    assert resumed.global_step == 6


def test_a_run_that_ends_between_two_beats_still_leaves_its_end(tmp_path):
    trainer = Trainer(
        max_steps=2, callbacks=[LastCheckpoint(every_n_train_steps=100)], default_root_dir=tmp_path, logger=False,
        enable_progress_bar=False, enable_model_summary=False, accelerator="cpu",
    )  # fmt: skip
    trainer.fit(Task())
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 2


QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}


@pytest.mark.parametrize("averaged", [False, True])
def test_a_run_starts_from_the_weights_of_another(tmp_path, averaged):
    source = Task(seed=1)
    torch.save({"state_dict": source.state_dict()}, tmp_path / "earlier.ckpt")
    callbacks = [EMAWeightAveraging(decay=0.5)] if averaged else []
    task = Task(lr=0.0, init_from=str(tmp_path / "earlier.ckpt"))
    Trainer(max_steps=2, callbacks=callbacks, default_root_dir=tmp_path, enable_checkpointing=False, **QUIET).fit(task)
    torch.testing.assert_close(task.student.state_dict(), source.student.state_dict())


def test_a_run_may_start_from_the_last_step_of_another_instead_of_its_average(tmp_path):
    average, last = Task(seed=1), Task(seed=2)
    content = {"state_dict": average.state_dict(), "current_model_state": last.state_dict()}
    torch.save(content, tmp_path / "earlier.ckpt")
    for suffix, source in (("", average), ("#last", last)):
        task = Task(lr=0.0, init_from=f"{tmp_path / 'earlier.ckpt'}{suffix}")
        Trainer(max_steps=1, default_root_dir=tmp_path, enable_checkpointing=False, **QUIET).fit(task)
        torch.testing.assert_close(task.student.state_dict(), source.student.state_dict())


def test_a_resumed_run_does_not_need_the_weights_it_once_started_from(tmp_path):
    Trainer(max_steps=2, callbacks=[LastCheckpoint(every_n_train_steps=100)], default_root_dir=tmp_path, **QUIET).fit(
        Task(seed=1)
    )
    trainer = Trainer(max_steps=3, default_root_dir=tmp_path / "more", enable_checkpointing=False, **QUIET)
    path = tmp_path / "checkpoints" / "last.ckpt"
    trainer.fit(Task(init_from="nowhere.ckpt"), ckpt_path=path, weights_only=True)
    assert trainer.global_step == 3


def test_a_missing_start_is_said_in_one_line(tmp_path):
    trainer = Trainer(max_steps=1, default_root_dir=tmp_path, enable_checkpointing=False, **QUIET)
    with pytest.raises(UserError, match="no weight file at nowhere"):
        trainer.fit(Task(init_from="nowhere.ckpt"))


def test_attention_by_plain_products_gives_the_same_values_and_gradients():
    torch.manual_seed(0)
    layer = Attention(query_dim=16, cross_attention_dim=12, heads=2, dim_head=8)
    picture, text = torch.randn(2, 5, 16, requires_grad=True), torch.randn(2, 3, 12)
    results = []
    for change in (lambda _: None, without_fused_attention):
        change(layer)
        made = layer(picture, encoder_hidden_states=text)
        results.append((type(layer.processor).__name__, made, *torch.autograd.grad(made.square().sum(), picture)))
    (before, *wanted), (after, *got) = results
    assert (before, after) == ("AttnProcessor2_0", "AttnProcessor")
    torch.testing.assert_close(got, wanted)
