"""`glassine export`: the network of a training checkpoint as a folder of weights that every verb and YAML can name."""

import argparse
from pathlib import Path

from glassine.pretrained.checkpoints import load_part, read_run_config
from glassine.pretrained.weights import save_bundle


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb."""
    parser = verbs.add_parser("export", help="turn a training checkpoint into a folder of weights")
    parser.add_argument("checkpoint", type=Path, help="a .ckpt below lightning_logs")
    parser.add_argument("--part", required=True, help="argument of the task that holds the network: vae, codec, ildiff")
    parser.add_argument("--to", type=Path, required=True, help="folder to write config.yaml and model.safetensors into")
    parser.add_argument("--config", type=Path, help="the run's config.yaml; default: the one above the checkpoint")


def run(args: argparse.Namespace) -> None:
    """Write the folder."""
    config = read_run_config(args.checkpoint, args.config)
    network, description = load_part(args.checkpoint, args.part, config)
    save_bundle(network, description, args.to)
    print(f"wrote {args.to}/config.yaml and {args.to}/model.safetensors")
