"""Nobody ever sees a half-written file."""

import errno
import os
from pathlib import Path

import pytest

from glassine.atomic import atomic_path
from glassine.errors import UserError


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
    with pytest.raises(UserError, match="folder with content"):
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
