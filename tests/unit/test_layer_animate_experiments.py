"""The stages of experiments/layer_animate fit together: each network takes the weights that the one before leaves."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from glassine.models.motion_unet import MotionUNet
from glassine.nn.priors import LatentPrior
from glassine.pretrained.weights import build_network, load_bundle, save_bundle, save_model
from glassine.utils.experiments import read_experiment

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
OPAQUE = "glassine:tiny-image"
IMAGES = "lightning_logs/layer_animate/shipped_images/checkpoints/last.ckpt"
MOTION = "lightning_logs/layer_animate/shipped_motion/checkpoints/last.ckpt"
PICTURES, MODULES = "glassine:tiny-transparent-image", "glassine:tiny-motion"
ARMS = sorted((EXPERIMENTS / "layer_animate").glob("tiny_*.yaml"))


def model(name: str) -> dict[str, Any]:
    return read_experiment(EXPERIMENTS / f"{name}.yaml")["model"]["init_args"]


def generator(name: str, places: dict[str, Path]) -> dict[str, Any]:
    """The description of the generator around its UNet, with folders of a test for those of earlier runs."""
    described = model(name)["generator"]
    # the bundles here are of UNets alone
    described["init_args"]["latent_mean"] = {"class_path": "glassine.nn.priors.LatentPrior"}
    text = yaml.safe_dump(described)
    for run, place in places.items():
        text = text.replace(run, str(place))
    return yaml.safe_load(text)


def described(name: str, places: dict[str, Path]) -> dict[str, Any]:
    """That of its UNet."""
    return generator(name, places)["init_args"]["unet"]


def save_run(network: nn.Module, name: str, places: dict[str, Path], checkpoint: Path) -> None:
    """What a training of the experiment leaves."""
    checkpoint.parent.mkdir(parents=True)
    state = {f"generator.unet.{key}": tensor for key, tensor in network.state_dict().items()}
    state |= {f"generator.latent_mean.{key}": tensor for key, tensor in LatentPrior().state_dict().items()}
    torch.save({"state_dict": state}, checkpoint)
    config = {"model": {"init_args": {"generator": generator(name, places)}}}
    (checkpoint.parent.parent / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


def build(name: str, places: dict[str, Path], seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build_network(described(name, places), name)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[dict[str, nn.Module], dict[str, Path]]:
    """What the stages leave, trained for no step, and where."""
    folder, networks = tmp_path_factory.mktemp("runs"), {}
    last = Path("checkpoints") / "last.ckpt"
    places = {OPAQUE: folder / "opaque", IMAGES: folder / "images" / last, MOTION: folder / "motion" / last}
    for seed, (name, run) in enumerate(
        {"vsd2m/shipped_subjects": OPAQUE, "layer_animate/shipped_images": IMAGES}.items()
    ):
        networks[run] = build(name, places, seed)
        for parameter in networks[run].parameters():
            nn.init.normal_(parameter, std=0.02 * (seed + 1))  # so that no two are alike
        if run == OPAQUE:
            save_bundle(networks[run], described(name, places), places[run], torch.float32)
        else:
            save_run(networks[run], name, places, places[run])
    networks[MOTION] = build("layer_animate/shipped_motion", places, 2)
    save_run(networks[MOTION], "layer_animate/shipped_motion", places, places[MOTION])
    networks["attention"] = build("layer_animate/shipped_attention", places, 3)
    for bundle, run in {PICTURES: IMAGES, MODULES: MOTION}.items():
        places[bundle] = folder / bundle.split(":")[1]
        save_model(networks[run], places[bundle])
    return networks, places


def test_pictures_and_opaque_clips_start_from_the_opaque_image_network(trained):
    networks, places = trained
    opaque = networks[OPAQUE].state_dict()
    for name in ("shipped_images", "shipped_motion"):
        state = build(f"layer_animate/{name}", places, 4).state_dict()
        assert all(torch.equal(state[key], tensor) for key, tensor in opaque.items())


def test_attention_is_put_on_the_transparent_pictures_and_the_opaque_motion(trained):
    networks, _ = trained
    state = networks["attention"].state_dict()
    assert all(torch.equal(state[key], tensor) for key, tensor in networks[IMAGES].state_dict().items())
    motion = {key: tensor for key, tensor in networks[MOTION].state_dict().items() if ".motion_modules." in key}
    assert motion
    assert all(torch.equal(state[key], tensor) for key, tensor in motion.items())
    layer = "mid_block.attentions.0.transformer_blocks.0.attn1."
    assert torch.equal(state[f"{layer}processor.to_q.weight"], state[f"{layer}to_q.weight"])


def test_the_last_part_takes_all_of_it_and_is_described_without_earlier_runs(trained):
    networks, places = trained
    last = build("layer_animate/shipped", {})
    last.load_state_dict(networks["attention"].state_dict())
    assert model("layer_animate/shipped")["init_from"].endswith("shipped_attention/checkpoints/last.ckpt")
    pictures = generator("layer_animate/shipped", places)["init_args"]["image_unet"]
    state = build_network(pictures, "the first stage's").state_dict()
    torch.testing.assert_close(state, dict(networks[IMAGES].state_dict()), atol=1e-4, rtol=2e-3)


@pytest.mark.parametrize("stage", ["images", "motion", "attention"])
def test_the_mean_comes_from_where_the_image_network_does(stage):
    parts = model(f"layer_animate/shipped_{stage}")["generator"]["init_args"]
    unet = parts["unet"]["init_args"]
    image = unet if "down_block_types" in str(unet["unet"]["init_args"].keys()) else unet["unet"]["init_args"]
    assert parts["latent_mean"]["init_args"]["source"] == image["source"]


def test_motion_is_told_by_what_the_opaque_clips_taught_for_as_many_frames_as_are_trained():
    means = {}
    for stage in ("shipped_motion", "shipped_attention", "shipped"):
        means[stage] = mean = model(f"layer_animate/{stage}")["generator"]["init_args"]["latent_mean"]
        while "latent_mean" in (arguments := mean["init_args"]):
            mean = arguments["latent_mean"]
        experiment = read_experiment(EXPERIMENTS / f"layer_animate/{stage}.yaml")
        assert mean["class_path"] == "glassine.nn.priors.MotionPrior"
        assert mean["init_args"]["num_frames"] == experiment["data"]["train"]["init_args"]["num_frames"]
        assert "loops" in experiment["data"]["train"]["init_args"]["folders"]
    assert means["shipped_attention"]["init_args"]["latent_mean"]["init_args"]["source"] == MOTION


def test_the_last_part_reads_what_the_one_before_it_learned_to_read():
    parts = [model(f"layer_animate/{name}")["generator"]["init_args"] for name in ("shipped_attention", "shipped")]
    assert parts[0]["mean_of_given"] is parts[1]["mean_of_given"] is True


@pytest.mark.parametrize("file", ARMS, ids=lambda file: file.stem)
def test_each_row_is_built_on_the_same_networks_and_has_the_parts_that_it_trains(trained, file):
    _, places = trained
    name = f"layer_animate/{file.stem}"
    network, arguments = build(name, places), model(name)
    assert isinstance(network, MotionUNet)
    network.train_only(*arguments["train_parts"])
    attention = network.config["inter_frame_attention"] is not None
    assert attention == (arguments["train_parts"] == ["inter_frame_attention"])
    before = arguments.get("init_from")
    if before is not None:
        earlier = build(f"layer_animate/{before.split('/')[2]}", places)
        network.load_state_dict(earlier.state_dict())


@pytest.mark.parametrize(
    "file", [file for file in ARMS if file.stem != "tiny_still_moving"], ids=lambda file: file.stem
)
def test_each_row_takes_the_looks_of_what_ships_and_not_its_motion(file):
    described = model(f"layer_animate/{file.stem}")["generator"]["init_args"]["latent_mean"]
    mean = build_network(described, file.name)
    assert type(mean) is LatentPrior
    shipped = load_bundle("glassine:tiny-prior")
    assert all(torch.equal(tensor, shipped.state_dict()[name]) for name, tensor in mean.state_dict().items())
