from typing import Any

import lightning
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from glassine.models.sticker_domain import StickerDomain
from glassine.tasks.sticker_domain import StickerDomainTask


def batches(count: int) -> DataLoader[dict[str, Any]]:
    """White is real and black is a cartoon."""
    clip = torch.stack([torch.zeros(1, 3, 32, 32), torch.ones(1, 3, 32, 32)])
    return DataLoader([{"clip": clip, "domain": ["cartoon", "real"]}] * count, batch_size=None)  # type: ignore[arg-type]


def sums(network: StickerDomain) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.encoder.state_dict().items() if "classifier" not in name}


@pytest.mark.parametrize("trained", [False, True])
def test_a_frozen_encoder_keeps_its_statistics_in_a_fit(trained: bool) -> None:
    """Batch norms that follow the batches would move the features that the last layer learns on."""
    network = StickerDomain("test_efficientnet", 32, train_encoder=trained)
    task = StickerDomainTask(network, lambda parameters: torch.optim.SGD(parameters, 0.01), start=None)
    before, head = sums(network), network.encoder.get_classifier().weight.detach().clone()
    trainer = lightning.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.fit(task, batches(2), batches(1))
    same = all(torch.equal(value, before[name]) for name, value in sums(network).items())
    assert same is not trained
    assert not torch.equal(head, network.encoder.get_classifier().weight)


def test_the_temperature_makes_overconfident_answers_less_sure() -> None:
    network = StickerDomain("test_efficientnet", 32)
    labels = torch.tensor([0, 1] * 50)
    logits = torch.nn.functional.one_hot(labels, 2) * 12.0
    logits[:20] = logits[:20].flip(1)  # a fifth is wrong, as surely
    assert network.calibrate(logits, labels) > 4


def test_an_untrained_head_is_sure_of_nothing() -> None:
    pictures = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(StickerDomain("test_efficientnet", 32).probabilities(pictures), torch.full((4, 2), 0.5))
