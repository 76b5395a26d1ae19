import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import yaml

from glassine.__main__ import main
from glassine.bench.pretrain import Queue, Step, read_steps
from glassine.utils.errors import UserError

WRITES = """
import pathlib, sys, time
pathlib.Path(sys.argv[1]).open("a").write(sys.argv[2] + "\\n")
time.sleep(float(sys.argv[3]))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with a module `writes`: notes a word in a file, then sleeps."""
    (tmp_path / "writes.py").write_text(WRITES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    return tmp_path


def writes(name: str, word: str | None = None, seconds: float = 0.0, needs: tuple[str, ...] = ()) -> Step:
    return Step(name, run=("-m", "writes", "log.txt", word or name, str(seconds)), needs=needs)


def log(folder) -> list[str]:
    return (folder / "log.txt").read_text().split()


def test_what_is_done_is_skipped(folder):
    steps = [writes("a"), writes("b", needs=("a",))]
    Queue(steps).work()
    Queue(steps).work()
    assert log(folder) == ["a", "b"]
    assert "done" in Queue(steps).status()


def test_a_step_that_is_asked_otherwise_runs_again_and_so_does_what_stands_on_it(folder):
    Queue([writes("a"), writes("b", needs=("a",)), writes("c")]).work()
    Queue([writes("a", "other"), writes("b", needs=("a",)), writes("c")]).work()
    assert log(folder) == ["a", "b", "c", "other", "b"]


def test_independent_steps_run_side_by_side(folder):
    steps = [writes("a", seconds=1.5), writes("b", seconds=1.5), writes("c", needs=("a", "b"))]
    start = time.time()
    Queue(steps, jobs=2).work()
    assert time.time() - start < 3.0
    assert log(folder)[-1] == "c"


def test_a_failure_ends_the_queue_and_keeps_what_was_done(folder):
    steps = [writes("a"), Step("bad", run=("-m", "writes")), writes("c", needs=("bad",))]
    with pytest.raises(UserError, match="ended with 1"):
        Queue(steps).work()
    assert log(folder) == ["a"]
    assert Queue(steps).status().split()[1] == "done"


def test_sigterm_stops_the_running_step_and_the_queue(folder):
    (folder / "queue.yaml").write_text(
        yaml.safe_dump({"steps": [{"name": n, "run": ["-m", "writes", "log.txt", n, "60"]} for n in "ab"]})
    )
    command = [sys.executable, "-m", "glassine.bench.pretrain", "--steps", "queue.yaml"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        deadline = time.time() + 60
        while not (folder / "log.txt").exists() and time.time() < deadline:
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate(timeout=30)
    finally:
        process.kill()
    assert log(folder) == ["a"]
    assert "a: stopped" in printed
    record = json.loads((folder / "lightning_logs/pretrain/a.json").read_text())
    assert record["finished"] == 0
    assert record["seconds"] > 0


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{name: a, run: [x], needs: [b]}", "needs 'b', which no earlier step makes"),
        ("{name: a}", "must have either run or fit"),
        ("{name: a, run: [x], weights: w}", "must have fit and part"),
        ("{name: a, walk: [x]}", "walk"),
    ],
)
def test_a_queue_that_makes_no_sense_is_refused(tmp_path, entry, message):
    (tmp_path / "queue.yaml").write_text(textwrap.dedent(f"steps:\n  - {entry}\n"))
    with pytest.raises(UserError, match=message):
        read_steps(tmp_path / "queue.yaml")


def test_weights_of_finished_steps_are_installed(folder, tmp_path):
    step = Step("net", fit="net.yaml", part="vae", weights="net")
    (folder / "net.yaml").write_text("trainer: {max_steps: 1, logger: {init_args: {save_dir: l, name: n, version: v}}}")
    queue = Queue([step])
    made = queue.state / "weights" / "net"
    made.mkdir(parents=True)
    (made / "config.yaml").write_text("x: 1")
    assert queue.install(tmp_path / "assets") == []
    record = queue.record(step)
    record.begun, record.finished, record.asked = 1.0, 2.0, queue.asked(step)
    assert queue.install(tmp_path / "assets") == ["net"]
    assert (tmp_path / "assets/net/config.yaml").read_text() == "x: 1"


def test_the_verb_prints_the_state_of_the_queue_and_refuses_missing_parts(folder, capsys):
    (folder / "queue.yaml").write_text("steps:\n  - {name: a, run: [-m, writes, log.txt, a, 0]}\n")
    assert main(["pretrain", "--steps", "queue.yaml", "--status"]) == 0
    assert "to do" in capsys.readouterr().out
    assert main(["pretrain", "--steps", "queue.yaml"]) == 0
    assert log(folder) == ["a"]
    assert main(["pretrain", "unpack", "nowhere"]) == 2
    assert "without a gap" in capsys.readouterr().err
