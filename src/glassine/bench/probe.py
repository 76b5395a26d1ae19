"""Linear probing of a distilled encoder: `glassine benchmark probe RUN`.

A logistic regression predicts foreground or background from single frozen feature vectors: of the student before and
after distillation, of the teacher, and of raw pixels as a baseline. Stickers are on a background of their own main
color, so that pixels alone are a weak predictor.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from lightning.pytorch import seed_everything
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.classification import binary_auroc

from glassine.bench.loading import shown
from glassine.bench.protocols import AlphaEvalSet
from glassine.bench.records import plain, versions
from glassine.bench.run import steps_of
from glassine.bench.tables import Table, markdown, print_table, write_text
from glassine.data.sticker import Split
from glassine.models.layout_encoder import MaskedReconstruction
from glassine.pretrained.run_parts import load_part, read_run_config
from glassine.pretrained.weights import build_network
from glassine.utils.devices import hardware, pick_device
from glassine.utils.errors import UserError
from glassine.utils.experiments import dataset_values, training_root
from glassine.utils.files import atomic_path

Encoder = Callable[[Tensor], Tensor]
"""Pictures `n 3 h w` in [0, 1] to features `n c g g`."""

CONDITION = "own_color"
TITLES = {
    "pixels": "pixels of the patch",
    "before": "student before distillation",
    "after": "student after distillation",
    "teacher": "teacher",
}
MEASURED = (
    "logistic regression on single features, standardized, fitted on one frame of each of {train} training stickers "
    "and read on {test} held-out groups, all on their own main color at {size} px; a feature is foreground where its "
    "patch has a mean alpha of at least 0.5; accuracy, and the area under the ROC curve"
)


def probe_run(
    run: Path,
    data: str | None = None,
    train_stickers: int = 200,
    split: Split = "test",
    folder: Path = Path("benchmarks"),
    device: str = "auto",
) -> dict[str, Any]:
    """Probe a run's student, print the table, and write the record and `distill.md`.

    Args:
        run: folder with `config.yaml` and `checkpoints/last.ckpt`.
        data: shard folder; None for the one that the run was trained on.
        train_stickers: maximum number of stickers to fit on, from the training split.
        split: on which the probe is evaluated.
        folder: with `results/distill`; the table is written there.
        device: `auto`, `cpu` or `cuda`.

    Returns:
        The record.

    Raises:
        UserError: the run does not exist or is no distillation, or it has no data and none is given.
    """
    checkpoint = run / "checkpoints" / "last.ckpt"
    config = read_run_config(checkpoint)
    root = data or training_root(config)
    size = (dataset_values(config, "train") or config["data"])["size"][0]
    if not root:
        raise UserError(f"data must be a shard folder for {run}, which was trained on procedural stickers: give --data")
    place = pick_device(device)
    trained, description = load_part(checkpoint, "reconstruction", config)
    seed_everything(config.get("seed_everything") or 0, verbose=False)
    fresh = build_network(description, str(run)).eval()
    teacher = build_network(config["model"]["init_args"]["teacher"], str(run)).eval()
    if not isinstance(trained, MaskedReconstruction) or not isinstance(fresh, MaskedReconstruction):
        raise UserError(f"{run} must be the run of a distillation, got one of a {type(trained).__name__}")
    stride = trained.encoder.stride
    encoders: dict[str, Encoder] = {
        "pixels": lambda pictures: F.pixel_unshuffle(pictures, stride),
        "before": fresh.encoder.to(place).blocks_output,
        "after": trained.encoder.to(place).blocks_output,
        "teacher": teacher.to(place),
    }
    known = AlphaEvalSet(root, "train", size, num_frames=1, limit=train_stickers)
    unknown = AlphaEvalSet(root, split, size, num_frames=1)
    scores = {name: probe(encoder, known, unknown, place) for name, encoder in encoders.items()}
    record = {
        "run": shown(run),
        "seed": config.get("seed_everything"),
        "split": split,
        "steps": steps_of(checkpoint),
        "scores": scores,
        "measured": MEASURED.format(train=len(known), test=len(unknown), size=size),
        "versions": versions(),
        "hardware": hardware(),
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
    }
    write_report(record, folder)
    print_table(probe_table(scores), f"Linear probing of {shown(run)}")
    return record


@torch.no_grad()
def tokens(encoder: Encoder, eval_set: AlphaEvalSet, device: torch.device) -> tuple[Tensor, Tensor]:
    """All feature vectors of the stickers, `n c`, and their labels, `n` bool: whether each is foreground."""
    features, labels = [], []
    for pictures, alpha in batches(eval_set):
        feature = encoder(pictures.to(device)).float().cpu()  # n c g g
        truth = F.interpolate(alpha, feature.shape[-2:], mode="area") >= 0.5  # n 1 g g
        features.append(rearrange(feature, "n c h w -> (n h w) c"))
        labels.append(rearrange(truth, "n 1 h w -> (n h w)"))
    return torch.cat(features), torch.cat(labels)


def batches(eval_set: AlphaEvalSet, size: int = 16) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of at most `size` pictures `n 3 h w` with their alphas `n 1 h w`."""
    dataset = eval_set.dataset(CONDITION)
    for start in range(0, len(dataset), size):
        samples = [dataset[row] for row in range(start, min(start + size, len(dataset)))]
        yield torch.stack([s["clip"][0] for s in samples]), torch.stack([s["alpha"][0] for s in samples])


def probe(
    encoder: Encoder, known: AlphaEvalSet, unknown: AlphaEvalSet, device: torch.device
) -> dict[str, float | None]:
    """`accuracy` and `auroc`, in [0, 1], on the `unknown` stickers of a regression fitted on the `known` ones."""
    x, y = tokens(encoder, known, device)
    mean, std = x.mean(0), x.std(0).clamp(min=1e-6)
    weight, bias = fit_logistic((x - mean) / std, y)
    x, y = tokens(encoder, unknown, device)
    logits = ((x - mean) / std) @ weight + bias
    accuracy = ((logits > 0) == y).float().mean()
    return {"accuracy": plain(float(accuracy), 4), "auroc": plain(float(binary_auroc(logits, y.long())), 4)}


def fit_logistic(x: Tensor, y: Tensor, ridge: float = 1e-4, steps: int = 100) -> tuple[Tensor, Tensor]:
    """Fit a logistic regression from `x` `n c` to `y` `n` bool with L-BFGS.

    Args:
        x: standardized features.
        y: labels.
        ridge: weight of the L2 penalty.
        steps: maximum number of iterations.

    Returns:
        Weights `c` and bias.
    """
    weight, bias = torch.zeros(x.shape[1], requires_grad=True), torch.zeros((), requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=steps, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(x @ weight + bias, y.float()) + ridge * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return weight.detach(), bias.detach()


def probe_table(scores: dict[str, dict[str, float | None]]) -> Table:
    """One row per kind of feature."""
    rows = [
        [title, f"{100 * (scores[n]['accuracy'] or 0):.1f}%", f"{scores[n]['auroc']:.3f}"]
        for n, title in TITLES.items()
    ]
    return ["features", "accuracy ↑", "AUROC ↑"], rows


def write_report(record: dict[str, Any], folder: Path) -> None:
    """Write the record, and `distill.md` from all records in the folder."""
    results = folder / "results" / "distill"
    results.mkdir(parents=True, exist_ok=True)
    name = record["run"].replace("/", "-")
    with atomic_path(results / f"{name}.json") as path:
        path.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob("*.json"))]
    write_text(probe_page(records), folder / "distill.md")


def probe_page(records: Sequence[dict[str, Any]]) -> str:
    """Text of `distill.md`."""
    parts = ["# Linear probing of layout encoders"]
    parts.append("Generated by `glassine benchmark tables` from `results/distill/*.json`.")
    for one in records:
        parts.append(f"## `{one['run']}`, {one['steps']} steps\n\n{markdown(probe_table(one['scores']))}")
        parts.append(f"Split `{one['split']}`: {one['measured']}.")
    return "\n\n".join(parts) + "\n"
