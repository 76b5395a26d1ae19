from functools import partial
from pathlib import Path

import pytest
from tests.helpers.curation_stages import Squares

from glassine.curation.blocks import write_blocks
from glassine.curation.runners import Here, Processes, RayData, ray_session


def blocks_of(folder: Path, **special: str):
    """Five blocks of four rows; `special` names what a row is: `fatal="3"`."""
    rows = [{"n": number} | {kind: True for kind, n in special.items() if int(n) == number} for number in range(20)]
    return write_blocks(folder / "in", rows, 4)


def squares(results) -> list[int | None]:
    return [row.get("square") for block in results for row in block.rows()]


def stage(folder: Path):
    (folder / "marks").mkdir(exist_ok=True)
    return partial(Squares, str(folder / "marks"))


def test_blocks_come_back_in_order_and_each_is_counted_once(tmp_path: Path) -> None:
    done = []
    results = Here().run([stage(tmp_path)], blocks_of(tmp_path), tmp_path, lambda: done.append(1))
    assert squares(results) == [number**2 for number in range(20)]
    assert [block.number for block in results] == list(range(5))
    assert len(done) == 5


def test_a_killed_worker_is_replaced_and_a_file_that_kills_again_and_again_is_given_up(tmp_path: Path) -> None:
    blocks = blocks_of(tmp_path, fatal="6", deadly="13")
    done = []
    results = Processes(2).run([stage(tmp_path)], blocks, tmp_path, lambda: done.append(1))
    expected = [None if number == 13 else number**2 for number in range(20)]
    assert squares(results) == expected
    assert [row["n"] for block in results for row in block.rows() if row.get("crashed")] == [13]
    assert len(done) == 5
    again = Here().run([stage(tmp_path)], blocks, tmp_path, lambda: None)  # finished: nobody dies of it
    assert again == results


@pytest.mark.full
@pytest.mark.timeout(900)
def test_ray_survives_a_killed_actor(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with ray_session(None, 2, 100 << 20):
        results = RayData(2).run([stage(tmp_path)], blocks_of(tmp_path, fatal="6"), tmp_path, lambda: None)
    assert squares(results) == [number**2 for number in range(20)]
