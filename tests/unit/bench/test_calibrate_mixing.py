"""Trust that is fitted on stickers which the decoder has not seen."""

from pathlib import Path

import pytest
import torch
import yaml

from glassine.bench.calibrate_mixing import Answers, calibrate_mixing, collect, cross_fitted, fit_trust
from glassine.data.shards import ShardWriter
from glassine.data.sources.procedural import ProceduralStickers
from glassine.models.ildiff import LayoutHint
from glassine.models.vae import SmallVAE
from glassine.pretrained.weights import build_network, load_bundle, save_bundle
from glassine.utils.errors import UserError

SMALL = Path(__file__).parents[2] / "helpers" / "ildiff_small.yaml"


@pytest.fixture
def config() -> dict:
    torch.manual_seed(0)
    content = yaml.safe_load(SMALL.read_text())["model"]["init_args"]["ildiff"]
    content["init_args"]["alpha_gain"] = 8.0
    return content


def answers() -> Answers:
    """Forty frames: the decoder is right where the first statistic is 1, the first candidate where it is 0."""
    chance = torch.Generator().manual_seed(0)
    statistics = torch.rand(40, LayoutHint().trust[0].in_features, generator=chance) / 10
    statistics[:, 0] = torch.arange(40) % 2
    truth = torch.rand(40, 100, generator=chance)
    choices = torch.rand(40, 5, 100, generator=chance)
    right = torch.where(statistics[:, 0] == 1, 0, 1)
    choices[torch.arange(40), right] = truth
    groups = tuple(f"group {row // 4}" for row in range(40))
    return Answers(statistics, choices, torch.zeros(40, 5, 100), truth, ("white",) * 40, groups)


def test_what_is_collected_is_what_the_network_mixes(config):
    ildiff = build_network(config, "test").eval()
    torch.nn.init.normal_(ildiff.hint.trust[-1].weight)
    sample = {"clip": torch.rand(2, 3, 32, 32), "alpha": torch.rand(2, 1, 32, 32), "group": "g"}
    known = collect(ildiff, [("white", sample)])
    assert (known.conditions, known.groups) == (("white", "white"), ("g", "g"))
    with torch.no_grad():
        alpha, _ = ildiff.decode(sample["clip"][None])
        psnr = known.psnr(ildiff.hint.weigh(known.statistics), torch.arange(2))
    wanted = -10 * (alpha[0] - sample["alpha"]).square().flatten(1).mean(1).log10()
    torch.testing.assert_close(psnr, wanted, atol=0.02, rtol=0)  # answers are kept in half precision


def test_trust_goes_to_whom_is_right_by_the_statistics_on_new_groups_too():
    hint, known = LayoutHint(), answers()
    rows = torch.arange(40)
    with torch.no_grad():
        before = known.psnr(hint.weigh(known.statistics), rows)
    fit_trust(hint, known, steps=200)
    with torch.no_grad():
        after = known.psnr(hint.weigh(known.statistics), rows)
    assert before.max() < 20
    assert after.mean() > before.mean() + 10
    assert known.psnr(cross_fitted(hint, known, 200), rows).mean() > before.mean() + 10


def test_weights_are_fitted_in_place_and_only_trust_changes(config, tmp_path):
    vae = {"width": 8, "decoder_width": 8, "blocks": 1}
    save_bundle(SmallVAE(**vae), {"class_path": "glassine.models.vae.SmallVAE", "init_args": vae}, tmp_path / "vae")
    shipped = {"class_path": "glassine.pretrained.weights.load_bundle", "init_args": {"source": str(tmp_path / "vae")}}
    config["init_args"]["vae"] = shipped
    save_bundle(build_network(config, "test"), config, tmp_path / "ildiff")
    source = ProceduralStickers(seed=5, size=32, num_frames=2)
    with ShardWriter(tmp_path / "shards") as writer:
        for row in range(4):
            writer.write(f"s{row}", source[row], {**source.info(row), "group": f"g{row}", "split": "val"})
    before = load_bundle(str(tmp_path / "ildiff")).state_dict()
    how = (str(tmp_path / "shards"), torch.device("cpu"), 32, str(tmp_path / "vae"), 20)
    head, rows = calibrate_mixing(tmp_path / "ildiff", *how)
    after = load_bundle(str(tmp_path / "ildiff")).state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("hint.trust.") for name in changed)
    assert [row[0] for row in rows][:2] == ["white", "gray"]
    assert len(head) == 3
    with pytest.raises(UserError, match="must be an ILDiff with a LayoutHint"):
        calibrate_mixing(tmp_path / "vae", *how)
