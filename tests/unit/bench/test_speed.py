from pathlib import Path

import torch

from glassine.bench.protocols import CaptionedClip
from glassine.bench.records import Record, read_records
from glassine.bench.speed import Load, time_together
from glassine.bench.video_methods import SHORT, VideoSampler

ONE = CaptionedClip("key", "caption", (), torch.zeros(2, 3, 16, 16), torch.zeros(2, 4, 16, 16))


def row(name: str, made: list[str]) -> tuple[Record, Load]:
    def make(*asked) -> torch.Tensor:
        made.append(f"{name} {asked[2].num_inference_steps}")
        return torch.zeros(1)

    return Record(name, name, "test", 16, 2, []), lambda: VideoSampler(make, 1, name)


def test_rows_are_timed_in_turns_once_and_again_with_one_more(tmp_path: Path):
    made: list[str] = []
    rows = [row("a", made), row("b", made)]
    assert time_together(rows, ONE, tmp_path)
    assert made == [f"a {SHORT.num_inference_steps}", f"b {SHORT.num_inference_steps}"] + ["a 25", "b 25"] * 3
    assert all(record.costs["seconds_per_clip"] is not None for record in read_records(tmp_path))
    made.clear()
    assert time_together(rows, ONE, tmp_path)
    assert time_together(rows[:1], ONE, tmp_path)
    assert not made
    assert time_together([*rows, row("c", made)], ONE, tmp_path)
    assert made.count("a 25") == made.count("c 25") == 3


def test_nothing_is_timed_where_a_network_is_missing(tmp_path: Path):
    made: list[str] = []
    record, _ = row("b", made)
    assert not time_together([row("a", made), (record, lambda: None)], ONE, tmp_path)
    assert not made
