"""Nobody ever sees a half-written file, and two writers into one folder do not meet."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from glassine.utils import files
from glassine.utils.errors import UserError
from glassine.utils.files import LOCK_NAME, atomic_path, sole_writer


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def fail_half_way(target: Path, error: BaseException, folder: bool = False) -> None:
    with atomic_path(target) as temporary:
        if folder:
            temporary.mkdir()
        (temporary / "a" if folder else temporary).write_bytes(b"half")
        raise error


def test_appears_only_when_whole(tmp_path: Path) -> None:
    target = tmp_path / "out.webp"
    with atomic_path(target) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".webp"
        temporary.write_bytes(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["out.webp"]


def test_failure_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "out.webp"
    target.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        fail_half_way(target, KeyboardInterrupt())
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["out.webp"]


def test_folders_too(tmp_path: Path) -> None:
    target = tmp_path / "frames"
    with atomic_path(target) as temporary:
        temporary.mkdir()
        (temporary / "a").write_text("a")
    assert (target / "a").read_text() == "a"
    with pytest.raises(UserError, match="non-empty folder"):
        fail_half_way(target, ValueError())
    with pytest.raises(ValueError):
        fail_half_way(tmp_path / "other", ValueError(), folder=True)
    assert names(tmp_path) == ["frames"]


@pytest.mark.parametrize(
    ("code", "words"),
    [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only"), (errno.EACCES, "not writable"), (errno.EIO, "error")],
)
def test_what_the_system_refuses_is_one_line(tmp_path: Path, code: int, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        fail_half_way(tmp_path / "out.gif", OSError(code, os.strerror(code)))
    assert "\n" not in str(caught.value)
    assert not names(tmp_path)


def test_missing_folder_and_read_only_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="there is no folder"):
        fail_half_way(tmp_path / "no" / "out.gif", ValueError())
    # a superuser may write anywhere, so the answer of the system is stood in for
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(UserError, match="not writable"):
        fail_half_way(tmp_path / "out.gif", ValueError())


def test_errors_about_other_files_stay_themselves(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "out.gif"):
        (tmp_path / "input.gif").read_bytes()


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    def leave(stem: str, process: int, host: str, age: float = 0.0) -> Path:
        path = tmp_path / f".{stem}.{host}-{process:x}-0123abcd.webp"
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age,) * 2)
        return path

    here = files.temporary_path(Path(), "out", ".webp").name.split(".")[2].split("-")[0]
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    gone = [leave("out", ended.pid, here), leave("out", 1, "ffffffff", age=25 * 3600)]
    kept = [
        leave("out", os.getppid(), here),  # runs
        leave("out", ended.pid, "ffffffff"),  # of another machine
        leave("other", ended.pid, here),  # of another target
        tmp_path / ".out.webp",
    ]
    kept[-1].write_bytes(b"mine")
    with atomic_path(tmp_path / "out.webp") as temporary:
        temporary.write_bytes(b"new")
    assert not any(path.exists() for path in gone)
    assert all(path.exists() for path in kept)


def test_the_longest_names_are_written_too(tmp_path: Path) -> None:
    for name in ("贴" * 80 + ".webp", "x" * 250 + ".png", "a.b." + "ü" * 100 + ".gif"):
        with atomic_path(tmp_path / name) as temporary:
            temporary.write_bytes(b"new")
        assert (tmp_path / name).read_bytes() == b"new"


STOP = """
import pathlib, sys, time
from glassine.__main__ import stop_on_sigterm
from glassine.utils import files
from glassine.utils.files import atomic_path
from glassine.utils.errors import exit_code
def work():
    with atomic_path(pathlib.Path(sys.argv[1])) as temporary:
        temporary.write_bytes(b"half")
        print("in", flush=True)
        time.sleep(30)
stop_on_sigterm()
sys.exit(exit_code(work))
"""


def test_sigterm_leaves_nothing_and_says_so_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STOP, str(tmp_path / "out.webp")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in\n"
        process.terminate()
        _, error = process.communicate(timeout=20)
    assert (process.returncode, error) == (143, "glassine: stopped\n")
    assert not names(tmp_path)


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
