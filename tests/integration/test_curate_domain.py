"""Real or cartoon, from labels to a data set: fit, test, export, curate."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.helpers.small_crawl import drawing

from glassine.__main__ import main
from glassine.data.shards import ShardFormat, ShardWriter, StickerShards
from glassine.data.sticker import Sticker

ROOT = Path(__file__).parents[2]
SMALL = """
model:
  init_args:
    start: null
    network:
      init_args: {name: test_efficientnet, size: 64, train_encoder: true}
    lr_scheduler:
      init_args: {total_steps: 30}
data:
  batch_size: 8
  train:
    init_args: {size: [64, 64]}
  val:
    init_args: {size: [64, 64]}
trainer:
  max_steps: 30
  val_check_interval: 15
  accelerator: cpu
  enable_progress_bar: false
  enable_model_summary: false
"""


def photo(seed: int) -> np.ndarray:
    """Opaque noise of many scales, as unlike flat drawings as a photograph: `1 64 64 4`."""
    chance = np.random.default_rng(seed)
    out = np.full((1, 64, 64, 4), 255, np.uint8)
    total = sum(
        np.asarray(Image.fromarray(chance.integers(0, 256, (n, n, 3), dtype=np.uint8)).resize((64, 64)), np.float64)
        / n**0.3
        for n in (3, 8, 20, 64)
    )
    out[0, ..., :3] = (total / total.max() * 255).astype(np.uint8)
    return out


@pytest.mark.full
def test_labels_become_a_classifier_that_curation_uses(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "labels", ShardFormat(codec="png")) as writer:
        for number in range(48):
            real = number % 2 == 0
            frames = photo(number) if real else drawing(number, 1, 64)
            split = ("train", "train", "train", "val", "test")[number // 2 % 5]
            about = {"domain": "real" if real else "cartoon", "split": split, "description": "a thing"}
            writer.write(f"s{number}", Sticker(frames, (1000,)), about)
    small = tmp_path / "small.yaml"
    small.write_text(SMALL)
    yaml = str(ROOT / "experiments/curation/domain.yaml")
    labels = str(tmp_path / "labels")
    where = ["--data.train.root", labels, "--data.val.root", labels]
    where += ["--trainer.logger.init_args.save_dir", str(tmp_path / "logs")]
    assert main(["fit", "-c", yaml, "-c", str(small), *where]) == 0
    checkpoint = next((tmp_path / "logs").rglob("last.ckpt"))
    assert main(["test", "-c", yaml, "-c", str(small), *where, "--ckpt_path", str(checkpoint)]) == 0
    weights = tmp_path / "weights"
    assert main(["export", "weights", str(checkpoint), "--part", "network", "--to", str(weights)]) == 0

    crawl = tmp_path / "crawl"
    crawl.mkdir()
    for number in range(100, 104):
        Image.fromarray(photo(number)[0]).save(crawl / f"real{number}.png")
        Image.fromarray(drawing(number, 1, 64)[0]).save(crawl / f"cartoon{number}.png")
    to = tmp_path / "dataset"
    more = ["--no-ray", "--workers", "0", "--no-ocr", "--domain-weights", str(weights)]
    assert main(["curate", str(crawl), "--to", str(to), *more]) == 0
    rows = [json.loads(line) for line in (to / "stickers.jsonl").read_text().splitlines()]
    right = sum(row["at"].startswith(row["domain"]) for row in rows)
    assert right >= 7
    assert all(0 <= row["domain_score"] <= 1 and row["made"]["domain"]["digest"] for row in rows)
    assert len(StickerShards(to)) == 8
