"""An evaluator of generated clips with a few thousand parameters."""

from pathlib import Path

import torch
from tests.helpers.tiny_generator import WIDTH, tiny_generator

from glassine.bench.evaluators import EvaluatorSources
from glassine.models.sticker_clip import ClipEncoder, StickerCLIP
from glassine.pretrained.weights import save_bundle

TEXT = {"class_path": "tests.helpers.tiny_generator.LetterText"}
ENCODER = {"name": "test_resnet", "size": 32, "channels": 8, "temporal_layers": 1}


def save_evaluator(folder: Path) -> EvaluatorSources:
    """Write it, and name it for clips and for pictures."""
    torch.manual_seed(0)
    encoder = {"class_path": "glassine.models.sticker_clip.ClipEncoder", "init_args": ENCODER}
    arguments = {"encoder": encoder, "text_encoder": TEXT, "text_channels": WIDTH, "width": 8}
    network = StickerCLIP(ClipEncoder(**ENCODER), tiny_generator().text_encoder, WIDTH, 8)
    network.text_encoder.requires_grad_(True)  # so that it is saved with the rest
    save_bundle(network, {"class_path": "glassine.models.sticker_clip.StickerCLIP", "init_args": arguments}, folder)
    return EvaluatorSources(str(folder), str(folder))
