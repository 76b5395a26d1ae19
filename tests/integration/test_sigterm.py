"""SIGTERM to a training: it ends at once, alone or with others, and its checkpoint is whole."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

YAML = str(Path(__file__).parents[1] / "helpers" / "ildiff_small.yaml")
pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]
MORE = ["--trainer.max_steps", "100000", "--trainer.callbacks.every_n_train_steps", "2"]


def is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("devices", [1, 2])
def test_a_training_that_gets_sigterm_ends_within_a_minute(tmp_path, devices):
    together = ["--trainer.devices", "2", "--trainer.strategy", "ddp"] if devices == 2 else []
    last = ["--trainer.callbacks+", "glassine.tasks.checkpoints.LastCheckpoint", *MORE[2:]]
    command = [sys.executable, "-m", "glassine", "fit", "-c", YAML, *MORE[:2], *last, *together]
    command += ["--trainer.logger.init_args.save_dir", str(tmp_path)]
    checkpoint = tmp_path / "ildiff" / "small" / "checkpoints" / "last.ckpt"
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            while not checkpoint.is_file():
                assert process.poll() is None, process.stderr.read()
                time.sleep(0.2)
            asked = time.monotonic()
            process.terminate()
            process.communicate(timeout=120)
            while is_alive(process.pid) and time.monotonic() - asked < 60:
                time.sleep(0.2)
            assert process.returncode not in (0, -signal.SIGKILL)
            assert not is_alive(process.pid)  # nobody of its group is left
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert torch.load(checkpoint, weights_only=True)["global_step"] >= 2
    assert [path.name for path in checkpoint.parent.iterdir()] == ["last.ckpt"]
