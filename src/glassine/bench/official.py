"""Load networks to measure from official files: Meta's SAM, Matting Anything's head, LayerDiffuse's codec."""

from pathlib import Path

from glassine.bench.loading import Loaded, load_network, shown
from glassine.bench.methods import SD15
from glassine.models.matting_anything import MaskToMatte, MattingAnything
from glassine.models.transparency import TransparencyDecoder, TransparencyEncoder, TransparencyVAE
from glassine.pretrained.image_unet import stable_diffusion_vae
from glassine.pretrained.layer_diffuse import with_codec_weights
from glassine.pretrained.matting_anything import with_head_weights
from glassine.pretrained.sam import sam_of_file
from glassine.utils.errors import UserError

FILES = (".pth", ".pt", ".safetensors")


def is_file(source: str) -> bool:
    """Whether a source is an official file of weights rather than a bundle, a run or a checkpoint of ours."""
    return Path(source).suffix in FILES


def load_sam(source: str) -> Loaded:
    """Load SAM from Meta's file (`sam_vit_*.pth`), or from a bundle, run or checkpoint with `load_network`.

    Raises:
        UserError: `source` does not exist or does not fit.
    """
    return Loaded(sam_of_file(Path(source)), shown(Path(source))) if is_file(source) else load_network(source, "sam")


def load_matting_anything(source: str, sam: str) -> Loaded:
    """Load Matting Anything from the authors' head and Meta's SAM, or from a bundle, run or checkpoint of ours.

    Args:
        source: the authors' `mam_*.pth`, or see `load_network`.
        sam: Meta's `sam_vit_*.pth` for the authors' head; otherwise not read.

    Raises:
        UserError: `source` does not exist or does not fit, or the authors' head is given without SAM's file.
    """
    if not is_file(source):
        return load_network(source, "network")
    if not is_file(sam):
        raise UserError(
            f"{source} holds the head alone: give the SAM that it was trained on, --sam sam_vit_b_01ec64.pth"
        )
    head = MaskToMatte()
    with_head_weights(head, source)
    return Loaded(MattingAnything(sam_of_file(Path(sam)), head).eval(), shown(Path(source)))


def load_codec(source: str, encoder: str | None = None, vae: str = SD15) -> Loaded:
    """Load LayerDiffuse's `TransparencyVAE` from its two official files, or from a bundle, run or checkpoint of ours.

    Args:
        source: `layer_sd15_vae_transparent_decoder.safetensors`, or see `load_network`.
        encoder: `layer_sd15_vae_transparent_encoder.safetensors`; None looks for it in the decoder's folder.
        vae: hub id or folder of the Stable Diffusion whose VAE the two files belong to.

    Raises:
        UserError: a file or the VAE is missing, or a file does not fit.
    """
    if not is_file(source):
        return load_network(source, "codec")
    path = Path(source)
    encoder = encoder or str(path.with_name(path.name.replace("decoder", "encoder")))
    codec = TransparencyVAE(stable_diffusion_vae(vae), TransparencyEncoder(), TransparencyDecoder())  # type: ignore[arg-type]
    with_codec_weights(codec, encoder, source)
    return Loaded(codec.eval(), shown(path))
