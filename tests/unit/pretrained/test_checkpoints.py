import pytest
import torch
import yaml

from glassine.models.vae import SmallVAE
from glassine.pretrained.weights import load_part, read_run_config
from glassine.utils.errors import UserError

SMALL = {"class_path": "glassine.models.vae.SmallVAE", "init_args": {"width": 8, "decoder_width": 8, "blocks": 1}}
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
    with pytest.raises(UserError, match="give the checkpoint of a run"):
        read_run_config(tmp_path / "run" / "checkpoints" / "last.ckpt")
