"""What a step needs is counted without data, and written beside the experiments."""

import pytest
import torch
import yaml
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from glassine.__main__ import main
from glassine.bench.full_size import without_files
from glassine.bench.memory import MARKERS, Ledger, estimate, imitated_cuda

SMALL = {
    "model": {
        "class_path": "glassine.tasks.video_vqvae.VideoVQVAETask",
        "init_args": {
            "vqvae": {
                "class_path": "glassine.models.video_vqvae.VideoVQVAE",
                "init_args": {"width": 8, "blocks": 1, "heads": 2, "codes": 12, "code_width": 4},
            },
            "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.1}},
        },
    },
    "data": {
        "train": {
            "class_path": "glassine.data.dataset.Stickers",
            "init_args": {"root": "nowhere", "size": [32, 32], "num_frames": 8},
        },
        "batch_size": 2,
    },
    "trainer": {"precision": "bf16-mixed", "strategy": "ddp", "callbacks": []},
}


def test_the_ledger_counts_what_is_alive_and_the_most_of_it():
    with FakeTensorMode(), Ledger() as ledger:
        first = torch.empty(1000, dtype=torch.float32)
        view = first.view(10, 100)
        assert ledger.now == 4000
        second = first + 1
        assert ledger.now == ledger.peak == 8000
        del second
        assert (ledger.now, ledger.peak) == (4000, 8000)
        del first
        assert ledger.now == 4000
        del view
        assert ledger.now == 0


def test_autograd_keeps_what_the_backward_pass_needs():
    with FakeTensorMode(), Ledger() as ledger:
        x = torch.empty(1000, requires_grad=True)
        y = x.exp().sin()  # keeps the result of the one and the argument of the other: the same tensor
        assert ledger.now == 3 * 4000
        y.sum().backward()
        assert x.grad is not None
        del y
        assert ledger.now == 2 * 4000


def test_mixed_precision_is_that_of_cuda_and_attention_is_fused():
    with FakeTensorMode(), Ledger() as ledger, imitated_cuda(), torch.autocast("cpu", torch.bfloat16):
        features = nn.Conv2d(3, 8, 3)(torch.empty(1, 3, 16, 16))
        assert features.dtype == torch.bfloat16
        assert F.group_norm(features, 2).dtype == torch.float32
        q = torch.empty(1, 2, 4096, 8, requires_grad=True)
        before = ledger.now
        out = F.scaled_dot_product_attention(q, q, q)
        assert out.shape == q.shape
        assert ledger.now - before < 4096 * 4096  # no scores
        out.sum().backward()
        assert q.grad is not None


def test_the_verb_writes_a_row_for_each_experiment(tmp_path, capsys):
    (tmp_path / "paper.yaml").write_text(yaml.safe_dump(SMALL))
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{MARKERS[0]}\nold\n{MARKERS[1]}\nafter\n")
    assert main(["benchmark", "memory", "--readme", str(readme)]) == 0
    text = readme.read_text()
    assert text.startswith(f"before\n{MARKERS[0]}\n|")
    assert text.endswith(f"{MARKERS[1]}\nafter\n")
    assert "old" not in text
    row = next(line for line in text.splitlines() if "`paper.yaml`" in line)
    assert "| 16 GB | nothing |" in row
    assert "paper.yaml" in capsys.readouterr().out
    (tmp_path / "paper_other.yaml").write_text(yaml.safe_dump(SMALL))
    assert main(["benchmark", "memory", str(tmp_path / "paper_other.yaml"), "--readme", str(readme)]) == 0
    assert row in readme.read_text()  # rows of others stay
    assert "`paper_other.yaml`" in readme.read_text()
    (tmp_path / "paper.yaml").unlink()
    assert main(["benchmark", "memory", "--readme", str(readme)]) == 0
    assert "`paper.yaml`" not in readme.read_text()
    capsys.readouterr()
    readme.write_text("no markers")
    assert main(["benchmark", "memory", "--readme", str(readme)]) == 2
    assert "must have <!-- table:memory -->" in capsys.readouterr().err


def test_more_clips_take_more_and_states_lie_beside(tmp_path):
    (tmp_path / "paper.yaml").write_text(yaml.safe_dump(SMALL))
    two, four = estimate(tmp_path / "paper.yaml"), estimate(tmp_path / "paper.yaml", batch=4)
    assert 1.5 * two.step < four.step < 2.5 * two.step
    assert two.beside == four.beside == 3 * 4 * two.trained  # Adam's two and DDP's bucket
    averaged = {"class_path": "lightning.pytorch.callbacks.EMAWeightAveraging"}
    content = SMALL | {"trainer": SMALL["trainer"] | {"callbacks": [averaged]}}
    (tmp_path / "paper.yaml").write_text(yaml.safe_dump(content))
    assert estimate(tmp_path / "paper.yaml").beside == two.beside + 4 * two.parameters


def test_loaders_are_replaced_by_what_they_fill_and_their_files_named():
    unet = {"class_path": "glassine.models.motion_unet.MotionUNet"}
    inner = {
        "class_path": "glassine.pretrained.image_unet.with_image_unet",
        "init_args": {"source": "a/b", "unet": unet},
    }
    outer = "glassine.pretrained.layer_diffuse.with_layer_diffuse"
    described = {"class_path": outer, "init_args": {"weights": "w.safetensors", "unet": inner}}
    files: list[str] = []
    assert without_files({"generator": [described]}, files) == {"generator": [unet]}
    assert files == ["a/b/unet", "w.safetensors"]


@pytest.mark.parametrize("name", ["network", "codec"])
def test_other_classes_stay_as_they_are(name):
    described = {"class_path": "torch.nn.Linear", "init_args": {name: [1, {"x": None}]}}
    files: list[str] = []
    assert without_files(described, files) == described
    assert files == []
