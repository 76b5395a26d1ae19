from types import SimpleNamespace

import pytest
import torch
from tests.unit.models.test_sticker_clip import make_names

from glassine.nn.augmentation import PictureAugment
from glassine.tasks.sticker_names import StickerNamesTask, on_white
from glassine.utils.errors import UserError

CALM = {"rotate": 0, "scale": (1, 1), "shift": 0, "bend": 0, "color": 0, "hue": 0, "damage": 0, "missing": 0}


def make_task(network=None, **arguments) -> StickerNamesTask:
    network = network or make_names(("a", "b", "c"))
    arguments = {"augment": PictureAugment(**CALM, white=1.0), **arguments}
    task = StickerNamesTask(network, lambda p: torch.optim.Adam(p, lr=0.003), **arguments)
    task.logged = {}
    task.log = lambda name, value, **_: task.logged.update({name: float(value.detach())})
    task.log_dict = lambda values, **_: task.logged.update({name: float(v) for name, v in values.items()})
    return task


def make_batch() -> dict:
    picture = torch.zeros(6, 4, 32, 32, dtype=torch.uint8)
    picture[:, 3, 8:24, 8:24] = 255
    for row in range(6):
        picture[row, row % 3, 8:24, 8:24] = 255
    return {"picture": picture, "group": ["a", "b", "c"] * 2, "source": ["flat"] * 3 + ["noto"] * 3}


def fit(task, groups, ckpt_path=None):
    data = SimpleNamespace(dataset=lambda stage: SimpleNamespace(groups=groups))
    task._trainer = SimpleNamespace(ckpt_path=ckpt_path, datamodule=data)
    task.on_fit_start()


def test_it_learns_which_picture_is_which_and_says_so_by_source():
    task, batch = make_task(), make_batch()
    task.train()
    optimizer = task.configure_optimizers()
    for _ in range(80):
        optimizer.zero_grad()
        task.training_step(batch, 0).backward()
        optimizer.step()
    task.eval()
    task.validation_step(batch, 0)
    assert {name: task.logged[name] for name in task.logged if name.startswith("val")} == {
        "val/top1": 1, "val/top5": 1, "val/top1_flat": 1, "val/top1_noto": 1,
    }  # fmt: skip
    task.test_step({**batch, "group": ["b", "b", "c", "a", "b", "c"]}, 0)
    assert task.logged["test/top1"] == pytest.approx(5 / 6)
    assert task.logged["test/top1_flat"] == pytest.approx(2 / 3)


def test_a_group_that_was_not_trained_is_named():
    with pytest.raises(UserError, match="among the 3 trained ones, got 'd'"):
        make_task().targets(["a", "d"])


def test_names_come_from_the_data_and_a_resumed_run_keeps_them():
    task = make_task(make_names(()))
    fit(task, ["x", "y"])
    assert task.network.names == ["x", "y"]
    fit(task, ["x", "y"], ckpt_path="last.ckpt")
    with pytest.raises(UserError, match="the groups must be those the run started with"):
        fit(task, ["x", "z"], ckpt_path="last.ckpt")


def test_another_network_is_refused():
    with pytest.raises(TypeError, match="network must be a StickerNames, got a Linear"):
        StickerNamesTask(torch.nn.Linear(1, 1), torch.optim.Adam)


def test_before_training_a_name_is_the_nearest_mean():
    task, batch = make_task(make_names(("a", "b", "c"))), make_batch()
    rows = [
        {"picture": picture, "group": group}
        for seed in range(4)
        for picture, group in zip(batch["picture"].roll(seed, dims=2), batch["group"], strict=True)
    ]
    unused = task.network.prototypes[3:].clone()
    task.embed_means(rows)
    task.eval()
    task.validation_step(batch, 0)
    assert task.logged["val/top1"] == 1
    assert torch.equal(task.network.prototypes[3:], unused)
    pictures = torch.rand(5, 3, 32, 32)
    embedded = task.network.features(torch.stack([on_white(row["picture"][None])[0] for row in rows]))
    torch.testing.assert_close(embedded.mean(0), torch.zeros(8), rtol=0, atol=1e-3)
    assert task.network(pictures).isfinite().all()
    before = task.network.prototypes.clone()
    task.embed_means(rows[:8])  # fewer than there are channels, or as many
    assert torch.equal(task.network.prototypes, before)
