"""Training the network that corrects closed-form alpha."""

import pytest
import torch

from glassine.models.alpha_refiner import AlphaRefiner, refiner_inputs
from glassine.tasks.alpha_refining import AlphaRefiningTask, root_error

pytestmark = pytest.mark.filterwarnings("ignore:You are trying to `self.log:UserWarning")


def task() -> AlphaRefiningTask:
    torch.manual_seed(0)
    network = AlphaRefiner(block_out_channels=(16, 16), layers_per_block=1)
    return AlphaRefiningTask(network, lambda parameters: torch.optim.Adam(parameters, 0.01))


def batch(count: int = 4, side: int = 32) -> dict:
    """Disks of which the closed form has lost the left half in every second picture."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    alpha = ((x - 16) ** 2 + (y - 16) ** 2 < 100).float().expand(count, 1, side, side).contiguous()
    closed = alpha.clone()
    closed[::2, ..., : side // 2] = 0
    picture = torch.rand(count, 3, 1, 1, generator=torch.Generator().manual_seed(0)).expand(-1, -1, side, side)
    picture = picture * alpha + (1 - alpha)
    keys = {"key": ["disk"] * count, "condition": ["white", "white+jpeg"] * (count // 2)}
    planes = {"picture": picture, "behind": torch.ones_like(picture), "closed": closed, "opened": closed}
    return {**planes, "alpha": alpha, "noise": torch.zeros(count), **keys}


def test_it_mends_what_is_wrong_and_keeps_what_is_right():
    module, shown = task(), batch()
    optimizer = torch.optim.Adam(module.network.parameters(), 0.01)
    for _ in range(80):
        loss = module.training_step(shown, 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    refined = module.predict(shown).clamp(0, 1)
    wrong, right = slice(0, None, 2), slice(1, None, 2)
    assert root_error(refined[wrong], shown["alpha"][wrong]) < 0.5 * root_error(
        shown["closed"][wrong], shown["alpha"][wrong]
    )
    assert root_error(refined[right], shown["alpha"][right]) < 0.1


def test_what_is_predicted_is_the_networks_own_result():
    module, shown = task(), batch()
    torch.nn.init.normal_(module.network.conv_out.weight)
    inputs = refiner_inputs(*(shown[name] for name in ("picture", "behind", "closed", "opened", "noise")))
    torch.testing.assert_close(module.predict(shown), module.network(inputs, shown["closed"]))


def test_clean_and_damaged_files_are_scored_apart():
    module, logged = task(), {}
    module.log = lambda name, value, **_: logged.update({name: float(torch.as_tensor(value).detach())})
    module.validation_step(batch(), 0)
    assert set(logged) == {f"val/{alpha}_{kind}" for alpha in ("refined", "closed") for kind in ("damaged", "clean")}
    assert logged["val/refined_damaged"] == pytest.approx(32.5, abs=1)  # untrained: the gate is at 0.05
    assert logged["val/closed_damaged"] == pytest.approx(60)  # nothing is lost there
    assert logged["val/closed_clean"] < 20
