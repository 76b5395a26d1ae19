"""Names of earlier versions."""

import importlib

import pytest

from glassine.__main__ import main
from glassine.nn.priors import LatentPrior
from glassine.pretrained.weights import load_bundle, save_bundle
from glassine.utils.renamed import CLASSES, DATA_ARGUMENTS, MODULES, current_name, with_current_names


def test_every_module_named_today_exists():
    for module in MODULES.values():
        importlib.import_module(f"glassine.{module}")


def test_classes_are_found_under_their_new_names():
    assert current_name("glassine.nn.latent_mean.LatentMean") == "glassine.nn.priors.LatentPrior"
    assert current_name("glassine.nn.sti.STI") == "glassine.nn.sti.STI"
    assert current_name("glassine:tiny-vae") == "glassine:tiny-vae"
    assert set(CLASSES) & set(CLASSES.values()) == set()


def test_names_are_replaced_at_any_depth():
    old = {"class_path": "a.B", "init_args": {"mean": [{"class_path": "glassine.nn.clip_mean.ClipMean"}], "width": 3}}
    new = {"class_path": "a.B", "init_args": {"mean": [{"class_path": "glassine.nn.priors.MotionPrior"}], "width": 3}}
    assert with_current_names(old) == new


def test_a_bundle_of_an_earlier_version_loads(tmp_path):
    sizes = {"channels": 2, "size": [4, 4], "prompt_dim": 6, "width": 8}
    old = {"class_path": "glassine.nn.latent_mean.LatentMean", "init_args": sizes}
    save_bundle(LatentPrior(**sizes), old, tmp_path / "prior")
    assert isinstance(load_bundle(str(tmp_path / "prior")), LatentPrior)


def test_a_yaml_with_an_old_name_gets_the_new_one(tmp_path, capsys):
    config = tmp_path / "run.yaml"
    config.write_text(
        "model: {class_path: glassine.tasks.vae.VAETask, init_args: {mean: glassine.nn.latent_mean.LatentMean}}"
    )
    assert main(["fit", "-c", str(config)]) != 0
    assert "which is glassine.nn.priors.LatentPrior now" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["root", "features", "latents", "pairs", "thumbnails", "eval_transform"])
def test_an_old_argument_of_the_data_module_gets_its_new_form(name, tmp_path, capsys):
    config = tmp_path / "run.yaml"
    config.write_text(f"data: {{{name}: here, batch_size: 2}}")
    assert main(["fit", "-c", str(config)]) == 2
    in_file = capsys.readouterr().err
    assert f"run.yaml sets data.{name}, which is now {DATA_ARGUMENTS[name]}" in in_file
    assert main(["fit", f"--data.{name}", "here"]) == 2
    assert f"the command line sets data.{name}, which is now data." in capsys.readouterr().err
