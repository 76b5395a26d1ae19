"""Two writers into one folder: the second is told, and nothing of the first is lost."""

import subprocess
import sys

import pytest

from glassine.utils.errors import UserError
from glassine.utils.files import LOCK_NAME, sole_writer

HOLD = """
import pathlib, sys
from glassine.utils.files import sole_writer
with sole_writer(pathlib.Path(sys.argv[1]), "shards"):
    print("in", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """Another process that is writing to the folder until its input ends."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "in\n"
        yield process
        process.kill()


def test_the_second_is_told_who_is_writing(tmp_path, other):
    with (
        pytest.raises(UserError, match=rf"process {other.pid} on .* is writing there: wait"),
        sole_writer(tmp_path, "x"),
    ):
        pass
    other.stdin.close()
    other.wait()
    with sole_writer(tmp_path, "x"):
        assert (tmp_path / LOCK_NAME).is_file()
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_held_is_free(tmp_path, other):
    other.kill()
    other.wait()
    assert (tmp_path / LOCK_NAME).is_file()
    with sole_writer(tmp_path, "x"), pytest.raises(UserError), sole_writer(tmp_path, "y"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_worker_that_outlives_a_killed_writer_holds_nothing(tmp_path):
    said = 'print("in", flush=True)'
    forks = HOLD.replace(said, f"import os, time; os.fork() or (time.sleep(9), os._exit(0)); {said}")
    with subprocess.Popen(
        [sys.executable, "-c", forks, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "in\n"
        process.kill()
        process.wait()
        with sole_writer(tmp_path, "x"):
            pass


def test_an_error_lets_go(tmp_path):
    with pytest.raises(ValueError), sole_writer(tmp_path, "x"):
        raise ValueError
    with sole_writer(tmp_path, "x"):
        pass
