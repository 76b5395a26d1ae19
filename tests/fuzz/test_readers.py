"""Whatever bytes come, a reader reads them or refuses them in one line; a few hundred files a kind.

`make fuzz MINUTES=60` tries as many as fit.
"""

import importlib.util
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
KINDS = ("gif", "webp", "png", "avif", "zip", "webm", "mov", "jpeg", "bmp", "mp4", "mkv")


def load(name: str):
    spec = importlib.util.spec_from_file_location(f"fuzz_{name}", HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


mutate, readers = load("mutate"), load("readers")


@pytest.mark.full
@pytest.mark.parametrize("kind", KINDS)
def test_mutated_files_are_read_or_refused(kind):
    count = 60 if kind == "avif" else 600  # an AVIF takes a process of its own
    tally = mutate.fuzz(readers.read_all, readers.all_seeds()[kind], readers.REFUSAL, range(count))
    assert tally.tried == count
    assert not tally.faults, tally.found
    assert tally.counts["refused"] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_that_are_mutated_can_be_read(kind):
    assert {readers.read_all(data) for data in readers.all_seeds()[kind]} == {""}


def test_a_fault_is_noticed():
    def broken(data: bytes) -> str:
        if data[:1] != b"s":
            raise KeyError(data[:1])
        return "silent drop" if len(data) < 4 else ""

    tally = mutate.fuzz(broken, [b"seed"], readers.REFUSAL, range(200))
    assert tally.counts["foreign"] > 10
    assert tally.counts["silent drop"] > 3
    assert tally.faults == tally.counts["foreign"] + tally.counts["silent drop"]
    assert "KeyError" in "".join(tally.found)
