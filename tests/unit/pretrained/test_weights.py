import shutil

import pytest
import torch
import yaml
from diffusers import MotionAdapter
from safetensors.torch import load_file, save_file
from tests.helpers.tiny_transparent import tiny_frame_unet
from torch import nn

from glassine.models.vae import SmallVAE
from glassine.pretrained.run_parts import load_part, read_run_config
from glassine.pretrained.weights import ASSETS, load_bundle, locate, read_state, save_bundle, save_model, with_weights
from glassine.utils.errors import UserError

SMALL = {"class_path": "glassine.models.vae.SmallVAE", "init_args": {"width": 8, "decoder_width": 8, "blocks": 1}}


def small_vae() -> SmallVAE:
    return SmallVAE(**SMALL["init_args"])


def test_a_bundle_comes_back_as_the_network_it_was_up_to_half_precision(tmp_path):
    network = small_vae()
    save_bundle(network, SMALL, tmp_path / "bundle")
    again = load_bundle(str(tmp_path / "bundle"))
    assert isinstance(again, SmallVAE)
    assert not again.training
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], tensor, atol=1e-3, rtol=1e-3)


def test_frozen_parts_stay_out_of_a_bundle_and_come_from_where_its_configuration_says(tmp_path):
    save_bundle(small_vae(), SMALL, tmp_path / "vae")
    config = {
        "class_path": "glassine.models.transparency.TransparencyVAE",
        "init_args": {
            "vae": {
                "class_path": "glassine.pretrained.weights.load_bundle",
                "init_args": {"source": f"{tmp_path}/vae"},
            },
            "encoder": {
                "class_path": "glassine.models.transparency.TransparencyEncoder",
                "init_args": {"block_out_channels": [8, 8], "patch_size": 4},
            },
            "decoder": {
                "class_path": "glassine.models.transparency.TransparencyDecoder",
                "init_args": {"block_out_channels": [8, 8, 8], "attention_scales": 0, "patch_size": 2},
            },
        },
    }
    from jsonargparse import ArgumentParser

    parser = ArgumentParser()
    parser.add_argument("network", type=nn.Module)
    codec = parser.instantiate(parser.parse_object({"network": config})).network
    save_bundle(codec, config, tmp_path / "codec")
    assert not any(name.startswith("vae.") for name in load_file(tmp_path / "codec" / "model.safetensors"))
    again = load_bundle(str(tmp_path / "codec"))
    torch.testing.assert_close(again.vae.state_dict(), codec.vae.state_dict())


def test_weights_load_by_name_with_a_prefix_and_with_fresh_parts(tmp_path):
    source = nn.ModuleDict({"net": nn.Linear(2, 2)})
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    target = nn.ModuleDict({"net": nn.Linear(2, 2), "new": nn.Linear(2, 1)})
    before = target["new"].weight.clone()
    with_weights(target, str(tmp_path / "w.safetensors"), fresh=("new.",))
    torch.testing.assert_close(target["net"].weight, source["net"].weight)
    torch.testing.assert_close(target["new"].weight, before)
    plain = with_weights(nn.Linear(2, 2), str(tmp_path / "w.safetensors"), prefix="net.")
    torch.testing.assert_close(plain.weight, source["net"].weight)


def test_a_misfit_is_named_in_one_line(tmp_path):
    save_file(nn.Linear(3, 2).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=r"does not match Linear: weight must be \(2, 2\), got \(2, 3\)"):
        with_weights(nn.Linear(2, 2), str(tmp_path / "w.safetensors"))
    save_file({"weight": torch.zeros(2, 2)}, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=r"bias is missing"):
        with_weights(nn.Linear(2, 2), str(tmp_path / "w.safetensors"))


@pytest.mark.parametrize("name", ["broken.safetensors", "broken.pt"])
def test_missing_and_broken_files_are_the_users_to_mend(tmp_path, name):
    with pytest.raises(UserError, match="no weight file at"):
        read_state(tmp_path / name)
    (tmp_path / name).write_bytes(b"not weights")
    with pytest.raises(UserError, match="cannot be read as weights"):
        read_state(tmp_path / name)
    with pytest.raises(UserError, match=r"give a folder with config\.yaml"):
        load_bundle(str(tmp_path))


@pytest.mark.parametrize("data", [b"hello world of text", b"model:\n  a: 1", b"(dp0\n.", b"\x80\x02.", bytes(100)])
def test_files_of_another_kind_are_named_in_one_line(tmp_path, data):
    (tmp_path / "notes.ckpt").write_bytes(data)
    with pytest.raises(UserError, match=r"notes\.ckpt (cannot be read as weights|contains no named tensors)") as error:
        read_state(tmp_path / "notes.ckpt")
    assert "\n" not in str(error.value)


def test_a_file_with_one_tensor_is_no_network(tmp_path):
    torch.save(torch.ones(3), tmp_path / "one.pt")
    with pytest.raises(UserError, match="contains no named tensors"):
        read_state(tmp_path / "one.pt")


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    torch.save({"state_dict": Trap()}, tmp_path / "trap.pt")
    with pytest.raises(UserError):
        read_state(tmp_path / "trap.pt")
    assert not (tmp_path / "sprung").exists()


SHIPPED = sorted(file.parent.name for file in ASSETS.glob("*/model.safetensors"))


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_loads(name):
    network = load_bundle(f"glassine:{name}")
    assert sum(parameter.numel() for parameter in network.parameters()) > 500_000
    assert all(torch.isfinite(parameter).all() for parameter in network.parameters())


def test_what_ships_is_small_and_each_has_a_card_that_says_how_it_was_made():
    folders = [ASSETS / name for name in SHIPPED]
    sizes = {folder.name: sum(file.stat().st_size for file in folder.iterdir()) for folder in folders}
    evaluators, generators = ("tiny-clip", "tiny-video"), ("image", "tiny-image", "sti")
    animation = ("transparency", "transparent-image", "layer-animate")
    assert sum(sizes.get(name, 0) for name in evaluators) <= 10e6
    assert all(sizes.get(name, 0) <= 30e6 for name in generators)
    first_edition = ("tiny-transparent-image", "tiny-motion", "tiny-prior")
    assert sum(sizes.get(name, 0) for name in animation) <= 60e6
    assert sum(sizes.get(name, 0) for name in first_edition) <= 14e6
    assert sizes["motion-fields"] <= 10e6
    others = set(sizes).difference(evaluators, generators, animation, first_edition, ["motion-fields"])
    assert sum(sizes[name] for name in others) <= 40e6
    for folder in folders:
        card = (folder / "README.md").read_text(encoding="utf-8")
        for word in ("glassine fit -c experiments/", "seed 0", "minutes", "cores", "Apache-2.0"):
            assert word in card, f"{folder.name}: no {word!r}"
        assert any(unit in card for unit in ("dB", "IoU", "AUROC", "R@1", "squared error")), f"{folder.name}: no score"


def test_buffers_of_a_frozen_part_stay_out_of_the_bundle(tmp_path):
    class Waves(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("matrix", torch.rand(2, 2))

    network = nn.Sequential(nn.Sequential(Waves(), nn.Linear(2, 2)).requires_grad_(False), nn.Linear(2, 2), Waves())
    save_bundle(network, {}, tmp_path)
    stored = set(read_state(tmp_path / "model.safetensors"))
    assert stored == {"1.weight", "1.bias", "2.matrix"}


def test_a_model_of_diffusers_kind_is_described_by_its_own_arguments(tmp_path):
    save_model(unet := tiny_frame_unet(), tmp_path)
    assert "sample_size" not in (tmp_path / "config.yaml").read_text()  # that is its base class's
    read = load_bundle(str(tmp_path))
    assert type(read) is type(unet)
    torch.testing.assert_close(read.state_dict(), unet.state_dict(), atol=2e-3, rtol=2e-3)
    save_model(MotionAdapter(block_out_channels=(16,), motion_norm_num_groups=4), tmp_path)
    assert "class_path: diffusers.MotionAdapter" in (tmp_path / "config.yaml").read_text()
    assert load_bundle(str(tmp_path)).config["motion_norm_num_groups"] == 4


CONFIG = {"model": {"init_args": {"vae": SMALL, "kl_weight": 0.1}}}


def leave_run(folder, forget=()):
    """What `glassine fit` leaves of a run, without the tensors in `forget`."""
    state = {f"vae.{name}": tensor for name, tensor in SmallVAE(**SMALL["init_args"]).state_dict().items()}
    checkpoint = folder / "checkpoints" / "last.ckpt"
    checkpoint.parent.mkdir(parents=True)
    torch.save({"state_dict": {name: tensor for name, tensor in state.items() if name not in forget}}, checkpoint)
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    return checkpoint, state


def test_the_part_of_a_run_comes_back_with_its_weights_and_its_description(tmp_path):
    checkpoint, state = leave_run(tmp_path)
    network, description = load_part(checkpoint, "vae", read_run_config(checkpoint))
    assert description == SMALL
    assert not network.training
    torch.testing.assert_close(network.state_dict(), {name.removeprefix("vae."): t for name, t in state.items()})


def test_a_trained_tensor_that_the_checkpoint_lacks_is_not_filled_in_by_chance(tmp_path):
    checkpoint, _ = leave_run(tmp_path, forget=["vae.encoder.1.weight"])
    with pytest.raises(UserError, match=r"encoder\.1\.weight"):
        load_part(checkpoint, "vae", read_run_config(checkpoint))


def test_a_part_that_the_run_does_not_have_is_named_beside_those_it_has(tmp_path):
    checkpoint, _ = leave_run(tmp_path)
    with pytest.raises(UserError, match="no part 'ildiff'; its parts are vae"):
        load_part(checkpoint, "ildiff", read_run_config(checkpoint))


def test_a_run_of_other_code_and_a_damaged_checkpoint_are_one_line(tmp_path):
    checkpoint, _ = leave_run(tmp_path)
    other = {"model": {"init_args": {"vae": {"class_path": "glassine.models.vae.SmallVAE", "init_args": {"wit": 8}}}}}
    with pytest.raises(UserError, match="does not describe a network of this version"):
        load_part(checkpoint, "vae", other)
    checkpoint.write_bytes(b"PK")
    with pytest.raises(UserError, match="cannot be read as weights"):
        load_part(checkpoint, "vae", CONFIG)


def test_a_checkpoint_without_its_run_says_what_to_give(tmp_path):
    with pytest.raises(UserError, match="give the checkpoint of a `glassine fit` run"):
        read_run_config(tmp_path / "run" / "checkpoints" / "last.ckpt")


def test_a_bundle_in_eight_bits_is_a_quarter_of_the_size_and_decodes_nearly_the_same(tmp_path):
    torch.manual_seed(0)
    settings = {"class_path": SMALL["class_path"], "init_args": {"width": 32, "decoder_width": 32, "blocks": 1}}
    network = SmallVAE(**settings["init_args"]).eval()
    for name, dtype in (("single", torch.float32), ("eight", torch.int8)):
        save_bundle(network, settings, tmp_path / name, dtype)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("eight", "single")]
    assert sizes[0] < 0.3 * sizes[1]
    latents = torch.randn(1, 4, 4, 4)
    with torch.no_grad():
        wanted, got = (network_.decode(latents).sample for network_ in (network, load_bundle(str(tmp_path / "eight"))))
    assert (wanted - got).square().mean().sqrt() < 0.02 * wanted.std()


def test_an_exported_part_does_not_need_the_weights_that_its_training_began_with(tmp_path):
    save_bundle(small_vae(), SMALL, tmp_path / "first")
    wrapped = {
        "class_path": "glassine.pretrained.weights.with_weights",
        "init_args": {"weights": f"{tmp_path}/first", "network": SMALL},
    }
    (tmp_path / "checkpoints").mkdir()
    content = {"model": {"class_path": "glassine.tasks.vae.VAETask", "init_args": {"vae": wrapped}}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content))
    trained = small_vae()
    state = {f"vae.{name}": tensor for name, tensor in trained.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "checkpoints" / "last.ckpt")
    checkpoint = tmp_path / "checkpoints" / "last.ckpt"
    network, description = load_part(checkpoint, "vae", read_run_config(checkpoint))
    assert description == SMALL
    save_bundle(network, description, tmp_path / "second", torch.float32)
    shutil.rmtree(tmp_path / "first")
    again = load_bundle(str(tmp_path / "second"))
    for name, tensor in trained.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)


def test_weights_that_were_replaced_are_named_with_their_successor():
    with pytest.raises(UserError, match=r"glassine:tiny-sti is of the first edition .* use glassine:sti"):
        locate("glassine:tiny-sti")
