"""What a YAML from anywhere may make the package do: nothing but build the networks on a list."""

import os
import sys
from pathlib import Path

import pytest
import torch
import yaml
from diffusers import DDPMScheduler
from torch import nn

from glassine.models.vae import SmallVAE
from glassine.nn.temporal import make_method
from glassine.pretrained.run_parts import load_part, read_run_config
from glassine.pretrained.weights import build_network, load_bundle, save_bundle
from glassine.utils import tensors
from glassine.utils.class_paths import (
    FOREIGN,
    OWN_LOADERS,
    allow,
    build,
    check_description,
    is_allowed,
    read_yaml,
)
from glassine.utils.errors import UserError
from glassine.utils.tensors import SizeGuard

EXPERIMENTS = Path(__file__).parents[3] / "experiments"
VAE = {"class_path": "glassine.models.vae.SmallVAE", "init_args": {"width": 8, "decoder_width": 8, "blocks": 1}}


def command(marker):
    return {
        "class_path": "subprocess.run",
        "init_args": {"args": [sys.executable, "-c", f"open({str(marker)!r}, 'w')"]},
    }


def linear(device):
    return {"class_path": "torch.nn.Linear", "init_args": {"in_features": 2, "out_features": 2, "device": device}}


def scheduler(betas):
    return {"class_path": "diffusers.DDPMScheduler", "init_args": {"trained_betas": betas}}


ATTACKS = {
    "in an untyped argument": lambda evil, _: linear(evil),
    "at the top": lambda evil, _: evil,
    "of another kind": lambda evil, _: evil | {"class_path": "subprocess.Popen"},
    "in a typed argument": lambda evil, _: VAE | {"init_args": {"latents_mean": evil}},
    "in a list": lambda evil, _: VAE | {"init_args": {"latents_mean": [1.0, evil]}},
    "in a mapping in a list": lambda evil, _: VAE | {"init_args": {"latents_mean": [{"deep": [{"er": evil}]}]}},
    "in dict_kwargs": lambda evil, _: VAE | {"dict_kwargs": {"device": evil}},
    "under a temporal method": lambda evil, _: {
        "class_path": "glassine.models.video_unet.VideoUNet",
        "init_args": {"temporal": evil},
    },
    "in a scheduler": lambda evil, _: scheduler(evil),
    "through a module's import": lambda evil, _: evil | {"class_path": "glassine.models.vae.torch.os.system"},
    "as init_args alone": lambda evil, _: VAE | {"init_args": {"latents_mean": {"init_args": evil["init_args"]}}},
    "as text": lambda *_: "subprocess.Popen",
    "as text in an argument": lambda *_: {
        "class_path": "glassine.pretrained.weights.with_weights",
        "init_args": {"network": "subprocess.Popen", "weights": "x"},
    },
    "unpickling": lambda _, folder: {
        "class_path": "torch.load",
        "init_args": {"f": f"{folder}/evil.pt", "weights_only": False},
    },
    "a file that is opened": lambda _, folder: linear(
        {"class_path": "builtins.open", "init_args": {"file": f"{folder}/sprung", "mode": "w"}}
    ),
    "an array in a file": lambda _, folder: scheduler(
        {"class_path": "numpy.memmap", "init_args": {"filename": f"{folder}/sprung", "mode": "w+", "shape": [4]}}
    ),
    "a class's own arguments": lambda *_: scheduler({"shape": [4]}),
    "our own functions": lambda _, folder: {
        "class_path": "glassine.pretrained.weights.save_bundle",
        "init_args": {"network": {"class_path": "torch.nn.Identity"}, "config": {}, "folder": f"{folder}/sprung"},
    },
}


class Sprung:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_folder_of_weights_runs_nothing(tmp_path, attack):
    marker = tmp_path / "sprung"
    torch.save(Sprung(str(marker)), tmp_path / "evil.pt")
    description = ATTACKS[attack](command(marker), tmp_path)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(description))
    save_bundle(nn.Linear(2, 2), {}, tmp_path / "other")
    (tmp_path / "other" / "model.safetensors").rename(tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"config\.yaml|temporal method") as error:
        load_bundle(str(tmp_path))
    assert not marker.exists()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_checkpoint_runs_nothing(tmp_path, attack):
    marker = tmp_path / "sprung"
    torch.save(Sprung(str(marker)), tmp_path / "evil.pt")
    (tmp_path / "checkpoints").mkdir()
    torch.save({"state_dict": {}}, tmp_path / "checkpoints" / "last.ckpt")
    description = ATTACKS[attack](command(marker), tmp_path)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"model": {"init_args": {"part": description}}}))
    with pytest.raises(UserError):
        load_part(
            tmp_path / "checkpoints" / "last.ckpt", "part", read_run_config(tmp_path / "checkpoints" / "last.ckpt")
        )
    assert not marker.exists()


def test_a_network_that_is_saved_with_its_temporal_method_runs_nothing(tmp_path):
    marker = tmp_path / "sprung"
    with pytest.raises(UserError, match=r"subprocess\.run"):
        make_method({"class_path": "glassine.nn.sti.STI", "init_args": {"gamma": command(marker)}})
    assert not marker.exists()


@pytest.mark.parametrize(
    "text",
    [
        f"!!python/object/apply:os.system ['{sys.executable} -c 1']",
        "!!python/name:os.system",
        "- &a [*a]",
        "a: &a {b: *a}",
        "[" * 100_000,
        "- " * 20_000,
        "{a: " * 5_000,
        "a: [x\nb: ]",
        "1" * 5_000 + ": " + "9" * 5_000,
        "? [a]\n: b",
        "a: 2026-13-45",
        "a: !!int x",
        "a: !!binary '?'",
        "\n".join([f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9) if n else 'x'}]" for n in range(12)]),
        "a: " + "x" * (5 << 20),
        "- x\n" * 300_000,
        "*nobody",
    ],
)
def test_a_yaml_that_is_built_to_hurt_is_one_line(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UserError, match=r"config\.yaml") as error:
        build_network(read_yaml(tmp_path / "config.yaml"), "config.yaml")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "cp1252"])
def test_a_yaml_in_another_encoding_says_so(tmp_path, encoding):
    (tmp_path / "config.yaml").write_bytes("name: café".encode(encoding))
    with pytest.raises(UserError, match="must be UTF-8"):
        read_yaml(tmp_path / "config.yaml")


def test_the_mark_that_windows_editors_write_is_no_part_of_the_text(tmp_path):
    (tmp_path / "config.yaml").write_bytes("name: café".encode("utf-8-sig"))
    assert read_yaml(tmp_path / "config.yaml") == {"name": "café"}


def test_an_alias_that_is_used_a_few_times_is_read(tmp_path):
    (tmp_path / "config.yaml").write_text("a: &sizes [1, 2]\nb: *sizes\nc: *sizes")
    assert read_yaml(tmp_path / "config.yaml") == {"a": [1, 2], "b": [1, 2], "c": [1, 2]}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in folders here")
def test_a_pipe_is_no_yaml_to_wait_for(tmp_path):
    os.mkfifo(tmp_path / "config.yaml")
    with pytest.raises(UserError, match="no file at"):
        read_yaml(tmp_path / "config.yaml")


def test_a_bundle_that_is_a_part_of_itself_says_so(tmp_path):
    inner = {"class_path": "glassine.pretrained.weights.load_bundle", "init_args": {"source": str(tmp_path / "a")}}
    save_bundle(SmallVAE(**VAE["init_args"]), inner, tmp_path / "a")
    with pytest.raises(UserError, match="one of its own parts"):
        load_bundle(str(tmp_path / "a"))
    assert isinstance(load_bundle("glassine:tiny-vae"), SmallVAE)  # and nothing is left of it


@pytest.mark.parametrize(
    "arguments",
    [
        {"width": 10**9},
        {"width": 10**30},
        {"width": -1},
        {"width": 2**62},
        {"blocks": 10**12},
        {"width": "wide"},
        {"width": None},
        {"latents_mean": [float("nan")] * 3},
        {"no_such": 1},
    ],
)
def test_absurd_arguments_are_one_line_and_cost_no_memory(monkeypatch, arguments):
    monkeypatch.setattr(tensors, "MOST_TENSORS", 500)
    with pytest.raises(UserError, match=r"x.*(describe|64 bits|nan)"):
        build_network(VAE | {"init_args": VAE["init_args"] | arguments}, "x")


def test_a_network_may_be_as_large_as_the_limit_and_no_larger():
    with SizeGuard("x", most_bytes=4 * (100 * 100 + 100)):
        nn.Linear(100, 100)
    with pytest.raises(UserError, match="x describes a network of more than"), SizeGuard("x", most_bytes=4 * 100 * 100):
        nn.Linear(100, 100)
    with SizeGuard("x", most_bytes=100):
        nn.Linear(10**6, 10**6, device="meta")


def test_every_network_of_the_experiments_may_be_in_a_folder_of_weights():
    names = set()
    for file in EXPERIMENTS.rglob("*.yaml"):
        pending = [(read_yaml(file).get("model") or {}).get("init_args", {})]
        while pending:
            value = pending.pop()
            pending += value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
            if isinstance(value, dict) and "class_path" in value:
                names.add(value["class_path"])
    names = {name for name in names if not name.startswith("torch.optim.")}
    assert len(names) > 30
    assert {name for name in names if not is_allowed(name)} == set()


@pytest.mark.parametrize("name", [*OWN_LOADERS, *FOREIGN])
def test_what_is_on_the_list_exists(name):
    from jsonargparse._util import canonical_import_paths, import_object

    found = import_object(name, check_path=False)
    assert canonical_import_paths(found) == {FOREIGN.get(name, name)}


@pytest.mark.parametrize(
    "name",
    [
        "glassine.models.vae.torch.load",
        "glassine.models.vae.SmallVAE.from_pretrained",
        "glassine.modelsx.vae.SmallVAE",
        "glassine.models.nowhere.SmallVAE",
        "glassine.models._vae.SmallVAE",
        "glassine.cli.export.run",
        "glassine.models",
        "glassine.models.",
        "diffusers.DDPMScheduler.from_pretrained",
        "SmallVAE",
        "",
        "glassine.models.vae.SmallVAE ",
        "../glassine.models.vae.SmallVAE",
    ],
)
def test_what_is_near_the_list_is_not_on_it(name):
    assert not is_allowed(name)


def test_a_class_of_ones_own_is_built_when_the_user_allows_it(tmp_path, monkeypatch):
    (tmp_path / "mylib.py").write_text("import torch\nclass Net(torch.nn.Linear):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("GLASSINE_ALLOW", "")
    description = {"class_path": "mylib.Net", "init_args": {"in_features": 1, "out_features": 1}}
    with pytest.raises(UserError, match=r"'mylib\.Net'.*GLASSINE_ALLOW"):
        build_network(description, "x")
    assert "mylib" not in sys.modules
    allow(["mylib"])
    assert type(build_network(description, "x")).__name__ == "Net"
    for name in ("", "my lib", "jsonargparse"):
        with pytest.raises(UserError, match="--allow must be"):
            allow([name])


def test_the_parser_has_its_own_settings_back_after_a_build():
    from jsonargparse._common import parsing_settings

    before = dict(parsing_settings)
    assert isinstance(build(DDPMScheduler, {"class_path": "diffusers.DDPMScheduler"}, "x"), DDPMScheduler)
    with pytest.raises(UserError):
        build(nn.Module, {"class_path": "os.system"}, "x")
    assert parsing_settings == before


def test_values_that_are_not_plain_are_named_with_their_place():
    with pytest.raises(UserError, match=r"x: init_args\.a\[1\] must be a plain value"):
        check_description({"class_path": "glassine.models.vae.SmallVAE", "init_args": {"a": [1, {1, 2}]}}, "x")
