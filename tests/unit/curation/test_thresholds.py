from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.helpers.small_crawl import sticker

from glassine.curation.filters import Thresholds
from glassine.curation.thresholds import draw_thresholds, measured_rows, threshold_record, threshold_table
from glassine.data.shards import ShardFormat, ShardWriter
from glassine.data.sticker import Sticker


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    flat = Sticker(np.full((1, 64, 64, 4), 255, np.uint8), (1000,))
    bar = Sticker(np.zeros((1, 64, 64, 4), np.uint8), (1000,))
    bar.frames[0, 30:34, 4:60] = (np.indices((4, 56)).sum(axis=0) * 4)[..., None]
    bar.frames[0, 30:34, 4:60, 3] = 255
    with ShardWriter(tmp_path / "shards", ShardFormat(codec="png")) as writer:
        for key, one in (("moving", sticker(1)), ("flat", flat), ("bar", bar)):
            writer.write(key, one, {"description": "a blob"})
    return tmp_path / "shards"


def test_what_thresholds_reject_is_counted_and_drawn(shards: Path, tmp_path: Path):
    rows = list(measured_rows([shards]))
    record = threshold_record(rows)
    assert record["stickers"] == 3
    assert record["rejected"] == {"low entropy": 1}
    assert sum(record["entropy"]["counts"]) == 3
    assert record["drawing_aspect"]["quantiles"]["1"] == 14
    assert threshold_record(rows, Thresholds(min_visible=0.1, min_entropy=0))["rejected"] == {"nothing visible": 1}
    assert "Of 3 stickers the thresholds reject: 1 for low entropy." in threshold_table(record)
    draw_thresholds(record, tmp_path / "one.png")
    assert Image.open(tmp_path / "one.png").width > 800
