"""The package as `pip install glassine` gives it: a wheel in an environment of its own, away from the repository."""

import contextlib
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from glassine.data.codecs import read_sticker, write_sticker
from glassine.data.sources.procedural import ProceduralStickers

pytestmark = pytest.mark.full
REPOSITORY = Path(__file__).parents[2]
MOST_BYTES = 100_000_000
# what only extras install: left out of the environment
EXTRAS_ONLY = ("decord", "kornia", "lightning", "matplotlib", "onnx", "resvg_py", "tensorboard", "torchmetrics")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(REPOSITORY)]
    subprocess.run(build, check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory) -> Path:
    """An environment with the wheel; its dependencies are those of this environment, without the extras'."""
    place = tmp_path_factory.mktemp("environment")
    venv.create(place, with_pip=False)
    purelib = Path(sysconfig.get_path("purelib", vars={"base": str(place), "platbase": str(place)}))
    with zipfile.ZipFile(wheel) as file:
        file.extractall(purelib)
    here = Path(sysconfig.get_path("purelib"))
    for entry in here.iterdir():
        if (
            not entry.name.startswith((*EXTRAS_ONLY, "glassine", "_glassine", "__editable__"))
            and entry.suffix != ".pth"
        ):
            with contextlib.suppress(FileExistsError):
                (purelib / entry.name).symlink_to(entry)
    return place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def call(python: Path, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [str(python), "-m", "glassine", *arguments]
    return subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True)


def test_the_wheel_is_small_enough_to_be_published(wheel):
    assert wheel.stat().st_size <= MOST_BYTES


def test_a_wheel_away_from_the_repository_cuts_out_a_gif(python, tmp_path):
    write_sticker(next(iter(ProceduralStickers(size=64, num_frames=2))), tmp_path / "in.gif")
    done = call(python, "cutout", "in.gif", "out.webp", "--quiet", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert read_sticker(tmp_path / "out.webp").frames[..., 3].min() == 0


def test_what_needs_an_extra_names_it(python, tmp_path):
    (tmp_path / "run.yaml").write_text("model: {class_path: glassine.tasks.vae.VAETask}")
    fitted = call(python, "fit", "-c", "run.yaml", folder=tmp_path)
    assert (fitted.returncode, "pip install 'glassine[train]'" in fitted.stderr) == (2, True), fitted.stderr
    exported = call(python, "export", "onnx", "--to", "cutout.onnx", folder=tmp_path)
    assert (exported.returncode, "glassine[onnx]" in exported.stderr) == (2, True), exported.stderr
    (tmp_path / "drawing.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>")
    drawn = call(python, "cutout", "drawing.svg", "out.webp", folder=tmp_path)
    assert (drawn.returncode, "glassine[svg]" in drawn.stderr) == (2, True), drawn.stderr
