"""`glassine export`: the network of a training checkpoint as a folder of weights that every verb and YAML can name."""

import argparse
from pathlib import Path

import torch
import yaml
from jsonargparse import ArgumentParser
from torch import nn

from glassine.errors import UserError
from glassine.pretrained.weights import load_exactly, save_bundle


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb."""
    parser = verbs.add_parser("export", help="turn a training checkpoint into a folder of weights")
    parser.add_argument("checkpoint", type=Path, help="a .ckpt below lightning_logs")
    parser.add_argument("--part", required=True, help="argument of the task that holds the network: vae, codec, ildiff")
    parser.add_argument("--to", type=Path, required=True, help="folder to write config.yaml and model.safetensors into")
    parser.add_argument("--config", type=Path, help="the run's config.yaml; default: the one above the checkpoint")


def run(args: argparse.Namespace) -> None:
    """Write the folder."""
    config_file = args.config or args.checkpoint.parent.parent / "config.yaml"
    for file in (args.checkpoint, config_file):
        if not file.is_file():
            raise UserError(f"no file at {file}: give a checkpoint of a finished run, and its config.yaml by --config")
    parts = yaml.safe_load(config_file.read_text(encoding="utf-8"))["model"]["init_args"]
    if args.part not in parts:
        raise UserError(f"{config_file} has no part {args.part!r}; its parts are {', '.join(parts)}")
    parser = ArgumentParser()
    parser.add_argument("network", type=nn.Module)
    network: nn.Module = parser.instantiate(parser.parse_object({"network": parts[args.part]})).network
    # weights_only: a checkpoint may come from anywhere
    state = torch.load(args.checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    prefix = f"{args.part}."
    trained = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    frozen = {name: tensor for name, tensor in network.state_dict().items() if name not in trained}
    load_exactly(network, frozen | trained, str(args.checkpoint))
    save_bundle(network, parts[args.part], args.to)
    print(f"wrote {args.to}/config.yaml and {args.to}/model.safetensors")
