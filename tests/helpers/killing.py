"""Run a verb in a process of its own, and kill it: after some seconds, or before one of its writes."""

import json
import multiprocessing
import os
import signal
import sys
import tarfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import onnx
import torch
from PIL import Image
from safetensors.torch import load_file

from glassine.__main__ import main
from glassine.data.codecs import read_sticker
from glassine.data.shards import StickerShards
from glassine.utils.class_paths import read_yaml
from glassine.utils.signals import stop_on_sigterm

CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate")
WRITES = os.O_WRONLY | os.O_RDWR
SERVER = multiprocessing.get_context("forkserver")
IMPORTED = ["tests.helpers.killing", "diffusers", "lightning.pytorch", "torchmetrics", "transformers"]


def fork(
    arguments: list[str],
    folder: Path,
    kill_after: float | None = None,
    kill_before: int | None = None,
    number: signal.Signals = signal.SIGKILL,
) -> tuple[int, float, int]:
    """Run a verb of `main` in `folder`, in a process of its own.

    It is forked from a server that has imported everything and has no threads: a copy of the tests' own process may
    wait forever for a lock which one of its threads held.

    Args:
        arguments: of the verb.
        folder: its working folder.
        kill_after: seconds.
        kill_before: of its changes to files in `folder` (counted from 0), the one before which it is killed.
        number: the signal.

    Returns:
        Its exit status, its seconds, and how many changes it made.
    """
    SERVER.set_forkserver_preload(IMPORTED)
    reader, writer = SERVER.Pipe(duplex=False)
    process = SERVER.Process(target=watched, args=(folder, writer, kill_before, number, arguments))
    process.start()
    writer.close()
    started = time.monotonic()
    process.join(kill_after)
    if process.exitcode is None:
        os.kill(process.pid, number)
        process.join()
    seconds = time.monotonic() - started
    assert process.exitcode is not None
    os.set_blocking(reader.fileno(), False)
    try:
        return process.exitcode, seconds, len(os.read(reader.fileno(), 2**16))
    except BlockingIOError:  # a worker of the dead process still has the other end
        return process.exitcode, seconds, 0
    finally:
        reader.close()


def watched(
    folder: Path, writer: Connection, kill_before: int | None, number: signal.Signals, arguments: list[str]
) -> None:
    """Run a verb in this process under `watch`, and end with its exit code."""
    os.chdir(folder)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(nothing, stream)
    stop_on_sigterm()
    sys.addaudithook(watch(folder, writer.fileno(), kill_before, number))
    sys.exit(main(arguments))


def watch(folder: Path, writer: int, kill_before: int | None, number: signal.Signals) -> Callable[..., None]:
    """An audit hook that tells of each change to files below `folder`, and sends the signal before one of them."""
    place, process, count = os.path.realpath(folder), os.getpid(), 0

    def hook(event: str, args: tuple) -> None:
        nonlocal count
        if event not in CHANGES and not (event == "open" and (args[2] or 0) & WRITES):
            return
        path = args[0]
        if os.getpid() != process or not isinstance(path, str | bytes | os.PathLike):
            return
        if not str(Path.cwd() / os.fsdecode(path)).startswith(place):
            return
        if count == kill_before:
            os.kill(process, number)
        count += 1
        os.write(writer, b".")

    return hook


def files_of(folder: Path) -> set[str]:
    """All files below a folder, hidden ones too, but for the logs of TensorBoard, which have dates in their names."""
    paths = (path for path in folder.rglob("*") if path.is_file() and "tfevents" not in path.name)
    return {path.relative_to(folder).as_posix() for path in paths}


def check_whole(folder: Path) -> None:
    """Read every file below `folder` that has its final name, and fail at the first half one."""
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if not path.is_file() or any(part.startswith(".") for part in parts) or "tfevents" in path.name:
            continue
        match path.suffix:
            case ".webp" | ".gif":
                read_sticker(path)
            case ".png":
                with Image.open(path) as picture:
                    picture.load()
            case ".json":
                json.loads(path.read_text(encoding="utf-8"))
            case ".yaml":
                read_yaml(path)
            case ".safetensors":
                load_file(path)
            case ".ckpt":
                assert torch.load(path, weights_only=True)["state_dict"]
            case ".onnx":
                onnx.checker.check_model(onnx.load(path))
            case ".tar":
                with tarfile.open(path) as tar:
                    assert tar.getmembers()
                shards = StickerShards(path)
                for row in range(len(shards)):
                    assert len(shards.read(row, [0])) == 1
            case ".md":
                assert path.read_text(encoding="utf-8").endswith("\n")
            case ".js" | ".html" | ".css" | ".svg":
                assert path.read_text(encoding="utf-8").rstrip().endswith((";", ">", "}", "|", ".", ")", "%", "`"))
            case ".tgz" | ".jsonl":
                assert path.stat().st_size
            case _:
                raise AssertionError(f"{path} is of no kind that is known here")
