"""A text encoder is distilled, exported and used as a user does it, with a small teacher and made-up names."""

import json
from pathlib import Path

import pytest
import torch
import yaml

from glassine.__main__ import main
from glassine.bench.text_tokenizer import make_tokenizer
from glassine.pretrained.text_encoder import TextEncoder, small_bert

SMALL = {"vocab_size": 200, "width": 12, "depth": 1, "num_heads": 2, "max_tokens": 16}


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    """The shipped YAML, made small; tokenizer and teacher lie beside it."""
    folder = tmp_path_factory.mktemp("text")
    names = {"en": [], "zh": []}
    for number in range(30):
        code = f"{0x1F000 + number:X}"
        names["en"].append({"label": f"thing {number}", "hexcode": code, "tags": ["animal", f"number {number}"]})
        names["zh"].append({"label": f"物 {number}", "hexcode": code, "tags": ["动物"]})
    place = folder / "cache" / "emojibase-data-17.0.0"
    place.mkdir(parents=True)
    for language, records in names.items():
        (place / f"{language}-data.json").write_text(json.dumps(records), encoding="utf-8")
    make_tokenizer(["thing animal number 物动"], [], 200).save_pretrained(folder / "tokens")
    teacher = small_bert(**SMALL | {"width": 16})
    make_tokenizer(["thing animal number"], [], 200).save_pretrained(folder / "teacher")
    teacher.save_pretrained(folder / "teacher")
    content = yaml.safe_load(Path("experiments/text/tiny.yaml").read_text(encoding="utf-8"))
    arguments = content["model"]["init_args"]
    arguments["student"]["init_args"] |= {"source": str(folder / "tokens")}
    arguments["student"]["init_args"]["network"]["init_args"] = SMALL
    arguments["teacher"] = {
        "class_path": "glassine.pretrained.text_encoder.TextEncoder",
        "init_args": {"source": str(folder / "teacher"), "too_long": "cut"},
    }
    content["data"] |= {"batch_size": 8}
    content["data"]["train"]["init_args"] = {"cache": str(folder / "cache"), "words": 0, "procedural": 0, "phrases": 1}
    content["trainer"] |= {"max_steps": 4, "val_check_interval": 4, "accelerator": "cpu"}
    content["trainer"]["logger"]["init_args"]["save_dir"] = str(folder / "runs")
    (folder / "small.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder / "small.yaml"


def weights(config: Path, version: str) -> dict[str, torch.Tensor]:
    checkpoint = config.parent / "runs" / "text" / version / "checkpoints" / "last.ckpt"
    return torch.load(checkpoint, weights_only=True)["state_dict"]


def test_distil_stop_resume_export_and_use(config, capsys):
    version = "--trainer.logger.init_args.version"
    assert main(["fit", "-c", str(config), version, "through"]) == 0
    assert main(["fit", "-c", str(config), version, "stopped", "--trainer.max_steps", "2"]) == 0
    checkpoint = config.parent / "runs/text/stopped/checkpoints/last.ckpt"
    assert main(["fit", "-c", str(config), version, "resumed", "--ckpt_path", str(checkpoint)]) == 0
    through, resumed = weights(config, "through"), weights(config, "resumed")
    torch.testing.assert_close(resumed, through, rtol=0, atol=0)
    assert not any(name.startswith("teacher") for name in through)

    folder = config.parent / "mine"
    checkpoint = config.parent / "runs/text/through/checkpoints/last.ckpt"
    assert main(["export", "weights", str(checkpoint), "--part", "student.network", "--to", str(folder)]) == 0
    for path in (config.parent / "tokens").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    encoder = TextEncoder(str(folder))
    assert encoder(["thing 3", "物"]).shape == (2, 16, 12)
    trained = through["student.network.embeddings.word_embeddings.weight"]
    torch.testing.assert_close(encoder.network.get_input_embeddings().weight.data, trained, atol=1e-3, rtol=1e-3)


def test_stickers_instead_of_texts_are_refused_in_one_line(config, capsys):
    stickers = ["--data.train", "glassine.data.dataset.Stickers", "--data.train.procedural", "8"]
    version = ["--trainer.logger.init_args.version", "wrong"]
    assert main(["fit", "-c", str(config), *stickers, *version]) == 2
    assert "must be a glassine.data.text_pairs.TextPairs" in capsys.readouterr().err
