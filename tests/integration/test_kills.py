"""Whenever a verb is killed, what it has written is whole, and the next run finishes and tidies up."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from glassine.__main__ import main
from glassine.data.codecs import read_sticker, write_sticker
from glassine.data.shards import StickerShards
from glassine.data.sticker import Sticker
from glassine.models.ildiff import ILDiff
from glassine.models.transparency import TransparencyDecoder
from glassine.models.vae import SmallVAE
from glassine.pretrained.weights import load_bundle, save_bundle

pytestmark = [
    pytest.mark.full,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
]
YAML = str(Path(__file__).parents[1] / "helpers" / "ildiff_small.yaml")
KILLS = int(os.environ.get("KILLS", "8"))


def fork(arguments: list[str], folder: Path, kill_after: float | None = None) -> tuple[int, float]:
    """Run a verb in a copy of this process, which has all imports; returns its exit status and its seconds."""
    sys.stdout.flush()
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        code = 99
        try:
            os.chdir(folder)
            nothing = os.open(os.devnull, os.O_RDWR)
            for stream in (1, 2):
                os.dup2(nothing, stream)
            code = main(arguments)
        finally:
            os._exit(code)
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), time.monotonic() - started
        if kill_after is not None and time.monotonic() - started > kill_after:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return -signal.SIGKILL, time.monotonic() - started
        time.sleep(0.002)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stickers, the smallest network that cuts out, and a run with a checkpoint."""
    folder = tmp_path_factory.mktemp("inputs")
    chance = np.random.default_rng(0)
    (folder / "media").mkdir()
    for number in range(12):
        frames = chance.integers(0, 255, (6, 96, 96, 4), dtype=np.uint8)
        write_sticker(Sticker(frames, (80,) * 6), folder / "media" / f"s{number}.webp")
    tiny = {"width": 8, "decoder_width": 8, "blocks": 1}
    small = {"block_out_channels": [8, 8, 8], "attention_scales": 0, "layers_per_block": 1, "patch_size": 2}
    vae, decoder = SmallVAE(**tiny), TransparencyDecoder(**small)
    nn.init.ones_(decoder.conv_out.bias)
    parts = {
        "vae": {"class_path": "glassine.models.vae.SmallVAE", "init_args": tiny},
        "decoder": {"class_path": "glassine.models.transparency.TransparencyDecoder", "init_args": small},
    }
    parts |= {"adapter": None, "pixel_source": "input"}
    config = {"class_path": "glassine.models.ildiff.ILDiff", "init_args": parts}
    save_bundle(ILDiff(vae, decoder, None, "input"), config, folder / "weights")
    assert fork(["fit", "-c", YAML, "--trainer.logger.init_args.save_dir", "logs"], folder)[0] == 0
    return folder


def whole_sticker(folder: Path) -> None:
    if (folder / "out.webp").exists():
        assert read_sticker(folder / "out.webp").num_frames == 6


def whole_shards(folder: Path) -> None:
    if list((folder / "shards").glob("*.tar")):
        shards = StickerShards(folder / "shards")
        assert not shards.damaged
        for row in range(len(shards)):
            assert len(shards.read(row, range(6))) == 6


def whole_bundle(folder: Path) -> None:
    if (folder / "out" / "model.safetensors").exists():
        load_bundle(str(folder / "out"))


def whole_checkpoint(folder: Path) -> None:
    last = folder / "logs" / "ildiff" / "small" / "checkpoints" / "last.ckpt"
    if last.exists():
        assert torch.load(last, weights_only=True)["global_step"] >= 1


VERBS: dict[str, tuple[list[str], Callable[[Path], None]]] = {
    "cutout": (["cutout", "INPUTS/media/s0.webp", "out.webp", "--weights", "INPUTS/weights"], whole_sticker),
    "build": (["data", "build", "--from", "INPUTS/media", "--to", "shards", "--workers", "2"], whole_shards),
    "export": (
        ["export", "weights", "INPUTS/logs/ildiff/small/checkpoints/last.ckpt", "--part", "ildiff", "--to", "out"],
        whole_bundle,
    ),
    "fit": (
        ["fit", "-c", YAML, "--trainer.logger.init_args.save_dir", "logs", "--trainer.max_steps", "7"],
        whole_checkpoint,
    ),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_kill_at_any_time_leaves_whole_files_and_the_next_run_finishes(inputs, tmp_path, verb):
    template, check = VERBS[verb]
    arguments = [part.replace("INPUTS", str(inputs)) for part in template]
    once = tmp_path / "once"
    once.mkdir()
    status, seconds = fork(arguments, once)
    assert status == 0
    again = tmp_path / "again"
    again.mkdir()
    for number in range(KILLS):
        # most of the writing is near the end
        fork(arguments, again, kill_after=seconds * (0.3 + 0.75 * number / KILLS))
        check(again)
    assert fork(arguments, again)[0] == 0
    check(again)
    files = {path.relative_to(again).as_posix() for path in again.rglob("*") if path.is_file()}
    wanted = {path.relative_to(once).as_posix() for path in once.rglob("*") if path.is_file()}
    different = {name for name in files ^ wanted if "tfevents" not in name}
    assert not different
