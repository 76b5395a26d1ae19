"""Weights told apart by a few letters."""

import hashlib

from torch import nn


def weights_digest(network: nn.Module) -> str:
    """Twelve letters that change with any weight of the network."""
    state = hashlib.blake2b(digest_size=6)
    for name, tensor in sorted(network.state_dict().items()):
        state.update(name.encode())
        state.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return state.hexdigest()
