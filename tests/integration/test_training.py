"""fit, validate, test, predict and export as a user types them, on procedural stickers."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from glassine.__main__ import main
from glassine.data.codecs import read_sticker
from glassine.models.ildiff import ILDiff
from glassine.pretrained.weights import load_bundle
from glassine.utils.errors import UserError

YAML = str(Path(__file__).parents[1] / "helpers" / "ildiff_small.yaml")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """The folder of a finished run of four steps."""
    folder = tmp_path_factory.mktemp("run")
    assert main(["fit", "-c", YAML, "--trainer.logger.init_args.save_dir", str(folder)]) == 0
    return folder / "ildiff" / "small"


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["current_model_state"]


def test_fit_leaves_a_checkpoint_its_configuration_and_panels_in_tensorboard(run):
    assert (run / "config.yaml").is_file()
    assert not any(name.startswith("ildiff.vae.") for name in weights(run))
    events = EventAccumulator(str(run), size_guidance={"images": 0})
    events.Reload()
    assert {"train/loss", "val/psnr_mean", "val/dtssd"} <= set(events.Tags()["scalars"])
    still, animated = (events.Images(f"preview/{kind}")[0] for kind in ("still", "animated"))
    assert (still.width, still.height) == (5 * 32, 2 * 32)  # five clips, a row a sticker
    assert animated.encoded_image_string.startswith(b"GIF89a")


def test_a_stopped_run_resumes_to_exactly_the_weights_of_one_that_went_through(tmp_path):
    def fit(name: str, steps: int, *more: str) -> Path:
        where = ["--trainer.logger.init_args.save_dir", str(tmp_path), "--trainer.logger.init_args.version", name]
        assert main(["fit", "-c", YAML, "--trainer.max_steps", str(steps), *where, *more]) == 0
        return tmp_path / "ildiff" / name

    through, stopped = fit("through", 6), fit("stopped", 3)
    resumed = fit("resumed", 6, "--ckpt_path", str(stopped / "checkpoints" / "last.ckpt"))
    torch.testing.assert_close(weights(resumed), weights(through), rtol=0, atol=0)
    assert not torch.equal(*(next(iter(weights(r).values())) for r in (stopped, through)))


def test_networks_on_the_way_can_be_kept_beside_the_last_one(tmp_path):
    where = ["--trainer.logger.init_args.save_dir", str(tmp_path), "--trainer.max_steps", "2"]
    kept = ["--trainer.callbacks+", "glassine.tasks.checkpoints.KeptCheckpoints"]
    assert main(["fit", "-c", YAML, *where, *kept, "--trainer.callbacks.every_n_train_steps", "1"]) == 0
    folder = tmp_path / "ildiff" / "small" / "checkpoints"
    assert sorted(path.name for path in folder.iterdir()) == ["last.ckpt", "step-000001.ckpt", "step-000002.ckpt"]
    first, last = (torch.load(folder / name, weights_only=True) for name in ("step-000001.ckpt", "last.ckpt"))
    assert (first["global_step"], last["global_step"]) == (1, 2)


SMALL = """
  --data.train.root null --data.train.procedural 8 --data.train.size [64,64] --data.val null
  --data.batch_size 2 --data.num_workers 0
  --trainer.accelerator cpu --trainer.logger.init_args.version small
"""
FEW = {"fit": "--trainer.max_steps 2 --trainer.val_check_interval 2 --trainer.limit_val_batches 1"}
FEW |= {verb: f"--trainer.limit_{name}_batches 1" for verb, name in [("validate", "val"), ("test", "test")]}
FEW |= {"predict": "--trainer.limit_predict_batches 1"}


@pytest.mark.parametrize("task", ["vae", "transparency"])
def test_the_other_tasks_know_the_four_verbs_too(task, tmp_path, capsys):
    where = ["-c", f"experiments/{task}/tiny.yaml", "--trainer.logger.init_args.save_dir", str(tmp_path)]
    checkpoint = str(tmp_path / task / "small" / "checkpoints" / "last.ckpt")
    for verb, few in FEW.items():
        resume = [] if verb == "fit" else ["--ckpt_path", checkpoint]
        assert main([verb, *where, *SMALL.split(), *few.split(), *resume]) == 0
    assert f"test/{'psnr' if task == 'vae' else 'alpha_psnr'}" in capsys.readouterr().out


@pytest.mark.full
@pytest.mark.parametrize("task", ["ildiff", "vae", "transparency"])
def test_two_processes_train_together_and_predict_every_sticker_once(task, tmp_path):
    where = ["-c", f"experiments/{task}/tiny.yaml", "--trainer.logger.init_args.save_dir", str(tmp_path)]
    two = ["--trainer.devices", "2", "--trainer.strategy", "ddp_find_unused_parameters_true"]
    two += ["--data.train.procedural", "72"]
    checkpoint = str(tmp_path / task / "small" / "checkpoints" / "last.ckpt")
    for verb, more in (
        ("fit", FEW["fit"].split()),
        ("predict", ["--ckpt_path", checkpoint, "--data.eval_batch_size", "2"]),
    ):
        command = [sys.executable, "-m", "glassine", verb, *where, *SMALL.split(), *two, *more]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=250)
        assert ended.returncode == 0, ended.stderr[-3000:]
    count = len(list((tmp_path / task / "small" / "predictions").glob("**/*.webp")))
    assert count == 9  # an eighth, which two processes cannot halve


@pytest.mark.parametrize("verb", ["validate", "test", "predict"])
def test_a_checkpoint_is_scored_and_used(run, verb, capsys, tmp_path):
    checkpoint = str(run / "checkpoints" / "last.ckpt")
    where = ["--trainer.logger.init_args.save_dir", str(tmp_path)]
    assert main([verb, "-c", YAML, "--ckpt_path", checkpoint, *where]) == 0
    if verb != "predict":
        assert "psnr_mean" in capsys.readouterr().out
        return
    stickers = [read_sticker(path) for path in (tmp_path / "ildiff" / "small" / "predictions").glob("**/*.webp")]
    assert [sticker.frames.shape for sticker in stickers] == [(2, 32, 32, 4)] * 2  # one batch of two clips


def test_export_makes_a_folder_that_loads_as_the_trained_network(run, tmp_path):
    checkpoint = run / "checkpoints" / "last.ckpt"
    assert main(["export", "weights", str(checkpoint), "--part", "ildiff", "--to", str(tmp_path / "weights")]) == 0
    network = load_bundle(str(tmp_path / "weights"))
    assert isinstance(network, ILDiff)
    assert {file.stat().st_mode & 0o444 for file in (tmp_path / "weights").iterdir()} == {0o444}
    for training in (run, checkpoint):
        with pytest.raises(UserError, match=r"training run: first `glassine export weights .*last\.ckpt --part PART"):
            load_bundle(str(training))
    averaged = torch.load(checkpoint, weights_only=True)["state_dict"]["ildiff.decoder.conv_in.weight"]
    torch.testing.assert_close(network.decoder.conv_in.weight, averaged, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["fit", "-c", YAML, "--model.init_args.alpha_wieght", "3"], "alpha_wieght"),
        (["fit", "-c", YAML, "--data.batch_size", "many"], "batch_size"),
        (["fit", "-c", "missing.yaml"], "missing.yaml"),
        (["fit", "-c", YAML, "--ckpt_path", "missing.ckpt"], "missing.ckpt"),
        (["fit", "-c", YAML, "--ckpt_path=missing.ckpt"], "missing.ckpt"),
        (["test", "-c", YAML, "--ckpt_path", YAML], "cannot be read as weights"),
        (
            ["export", "weights", YAML, "--part", "ildiff", "--to", "x", "--config", "README.md"],
            "not the configuration of a run",
        ),
        (["export", "weights", "missing.ckpt", "--part", "ildiff", "--to", "x"], "missing.ckpt"),
    ],
)
def test_a_mistake_is_one_line_that_names_it_and_exit_code_2(arguments, says, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err.strip()
    assert says in error
    assert error.count("\n") == 0
    assert len(error) < 400


def test_two_trainings_into_one_folder_are_one_too_many(run, tmp_path, capsys):
    arguments = ["fit", "-c", YAML, "--trainer.logger.init_args.save_dir", str(run.parent.parent)]
    hold = "import sys; from pathlib import Path; from glassine.utils.files import sole_writer\n"
    hold += "with sole_writer(Path(sys.argv[1]), 'a training'): print('in', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", hold, str(run)]
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "in\n"
        assert main(arguments) == 2
        said = capsys.readouterr().err
        assert f"one writer of a training at a time, and process {other.pid} on" in said
        assert "choose another folder" in said
        after = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
        assert {path: after[path] for path in before} == before  # not even the configuration was written
        apart = ["--trainer.logger.init_args.version", "other", "--trainer.max_steps", "1"]
        assert main([*arguments, *apart]) == 0
        other.kill()  # whose lock is then free, although its file is left
    assert (run / ".writing.lock").is_file()
    more = ["--trainer.max_steps", "5", "--trainer.logger.init_args.save_dir", str(tmp_path)]
    (tmp_path / "ildiff" / "small").mkdir(parents=True)
    (run / ".writing.lock").rename(tmp_path / "ildiff" / "small" / ".writing.lock")
    assert main([*arguments, *more, "--ckpt_path", str(run / "checkpoints" / "last.ckpt")]) == 0
    assert not list(tmp_path.rglob(".*"))
