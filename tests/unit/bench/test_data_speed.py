import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glassine.__main__ import main
from glassine.bench.data_speed import prepare_readers, table


@pytest.fixture
def originals(tmp_path: Path) -> Path:
    folder = tmp_path / "originals"
    folder.mkdir()
    for number in range(2):
        frames = []
        for frame in range(10 + number):
            pixels = np.zeros((32, 32, 4), np.uint8)
            pixels[4:20, frame : frame + 12] = [20 * frame, 100, 200, 255]
            frames.append(Image.fromarray(pixels))
        frames[0].save(folder / f"{number}.webp", save_all=True, append_images=frames[1:], duration=40, lossless=True)
    Image.new("RGBA", (32, 32)).save(folder / "still.webp")
    return folder


def test_every_reader_with_alpha_gives_the_same_frames(originals: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    counts, readers = prepare_readers(sorted(originals.glob("[01].webp")), work)
    assert counts == [10, 11]
    truth = list(readers[0].read())
    for reader in readers:
        for clip, expected in zip(reader.read(), truth, strict=True):
            if not reader.alpha:
                assert clip.shape == (8, 32, 32, 3)
                continue
            assert (clip[..., 3] == expected[..., 3]).all(), reader
            visible = expected[..., 3] > 0
            assert np.abs(clip.astype(int) - expected)[visible].mean() < 12, reader


def test_record_and_table_are_written_with_ratios_to_pillow(
    originals: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "results" / "data_speed.json"
    assert main(["benchmark", "data", "--originals", str(originals), "--rounds", "1", "--to", str(tmp_path)]) == 0
    record = json.loads(path.read_text())
    rows = {(row["reader"], row["files"]): row for row in record["rows"]}
    assert rows["Pillow", "original WebP"]["ratio_to_pillow"] == 1.0
    assert rows["glassine", "our shards"]["clips_per_second"] > 0
    assert record["settings"]["stickers"] == 2
    assert {"versions", "hardware", "date", "command"} <= set(record)
    assert path.with_suffix(".md").read_text() == table(record)
    assert "| glassine | our shards | yes |" in capsys.readouterr().out


def test_no_animated_sticker_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "data", "--originals", str(tmp_path), "--to", str(tmp_path)]) == 2
    assert "no animated sticker to measure with" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.json"))


def test_the_committed_table_is_made_from_the_committed_record():
    results = Path(__file__).parents[3] / "benchmarks" / "results"
    record = json.loads((results / "data_speed.json").read_text(encoding="utf-8"))
    assert table(record) == (results / "data_speed.md").read_text(encoding="utf-8")
