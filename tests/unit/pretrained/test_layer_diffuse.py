import pytest
import torch
from safetensors.torch import save_file
from tests.helpers.tiny_transparent import tiny_codec

from glassine.pretrained.layer_diffuse import with_codec_weights
from glassine.utils.errors import UserError


def test_both_files_are_filled_in_and_the_vae_stays(tmp_path):
    official, codec = tiny_codec(), tiny_codec()
    for parameter in official.parameters():
        torch.nn.init.normal_(parameter)
    vae = {name: tensor.clone() for name, tensor in codec.vae.state_dict().items()}
    files = {part: str(tmp_path / f"{part}.safetensors") for part in ("encoder", "decoder")}
    for part, file in files.items():
        save_file(getattr(official, part).state_dict(), file)
    assert with_codec_weights(codec, **files) is codec
    for part in files:
        wanted = getattr(official, part).state_dict()
        assert all(torch.equal(tensor, wanted[name]) for name, tensor in getattr(codec, part).state_dict().items())
    assert all(torch.equal(tensor, vae[name]) for name, tensor in codec.vae.state_dict().items())
    with pytest.raises(UserError, match="does not fit"):
        with_codec_weights(codec, files["decoder"], files["decoder"])
    with pytest.raises(UserError, match="no weight file at"):
        with_codec_weights(codec, files["encoder"], str(tmp_path / "none.safetensors"))
