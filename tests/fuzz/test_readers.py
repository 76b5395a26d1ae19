"""Whatever bytes come, a reader reads them or refuses them in one line; a few hundred files a kind.

`make fuzz MINUTES=60` tries as many as fit.
"""

import contextlib
import importlib.util
import sys
import warnings
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PICTURES = ("gif", "webp", "png", "apng", "avif", "heic", "zip", "animation.json", "jpeg", "bmp")
VIDEOS = ("webm", "mov", "mp4", "mkv")
DRAWINGS = ("lottie", "lottie bytes", "tgs", "tgs bytes", "dotlottie bytes", "svg", "svg bytes", "svgz")
KINDS = PICTURES + VIDEOS + DRAWINGS


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
    count = 60 if kind in ("avif", "heic") else 600  # which take a process of their own
    change = readers.CHANGES.get(kind, mutate.mutated)
    tally = mutate.fuzz(readers.read_all, readers.all_seeds()[kind], readers.REFUSAL, range(count), change)
    assert tally.tried == count
    assert not tally.faults, tally.found
    assert tally.counts["refused"] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_that_are_mutated_can_be_read(kind):
    assert {readers.read_all(data) for data in readers.all_seeds()[kind]} == {""}


@pytest.mark.full
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_cut_off_is_refused_whole_or_said_to_be_short(kind):
    for data in readers.all_seeds()[kind]:
        whole = readers.count_frames(data)
        slow = kind in ("avif", "heic")
        for end in range(1, len(data), max(1, len(data) // (8 if slow else 200))):
            with warnings.catch_warnings(record=True) as said, contextlib.suppress(readers.REFUSAL):
                warnings.simplefilter("always")
                assert readers.count_frames(data[:end]) == whole or said, (kind, end)


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
