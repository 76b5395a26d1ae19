"""Commands in child processes: they see the weights, fail in one line, and end when they are asked to."""

import os
import threading
import time

import pytest

from glassine.bench.commands import Commands
from glassine.pretrained.weights import SEARCHED
from glassine.utils.errors import UserError

NOTES = f"""
import os, pathlib, sys, time
pathlib.Path("log.txt").write_text(os.environ["{SEARCHED}"] + " " + os.environ["OMP_NUM_THREADS"])
time.sleep(float(sys.argv[1]))
sys.exit(int(sys.argv[2]))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with a module `notes`: notes what it sees, sleeps, and ends with a code."""
    (tmp_path / "notes.py").write_text(NOTES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    return tmp_path


def test_a_command_looks_up_weights_here_first_and_has_its_share_of_the_cores(folder, monkeypatch):
    monkeypatch.setenv(SEARCHED, "elsewhere")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert Commands(folder / "weights", jobs=1000).run(["-m", "notes", "0", "0"])
    assert (folder / "log.txt").read_text() == f"{folder / 'weights'}{os.pathsep}elsewhere 1"


def test_a_failure_is_one_line(folder):
    with pytest.raises(UserError, match="`glassine -m notes 0 3` ended with 3, see above"):
        Commands(folder).run(["-m", "notes", "0", "3"])


def test_stop_ends_what_runs_and_what_starts_later_and_neither_is_a_failure(folder):
    commands, ends = Commands(folder), []
    thread = threading.Thread(target=lambda: ends.append(commands.run(["-m", "notes", "60", "0"])))
    thread.start()
    deadline = time.time() + 30
    while not (folder / "log.txt").exists() and time.time() < deadline:
        time.sleep(0.05)
    commands.stop()
    thread.join(timeout=30)
    assert ends == [False]
    assert not commands.run(["-m", "notes", "60", "0"])
