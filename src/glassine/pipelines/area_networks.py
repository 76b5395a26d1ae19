"""Networks that tell the holes of a sticker from its parts: one for damaged files, two for clean ones.

Each has one hidden layer and looks at the numbers of `regions` and `area_shapes`; `glassine pretrain closed-areas`
trains them. The rule in `regions` has a say beside them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parents[1] / "assets" / "closed-areas"
MOST = 4  # standard deviations of a number from its mean
SURE = 5.0  # log odds, at most


@dataclass(frozen=True)
class AreaNetwork:
    """One of the networks.

    Attributes:
        name: of its file.
        rule: weight of the rule's log odds beside its own.
    """

    name: str
    rule: float

    @property
    def path(self) -> Path:
        """The shipped weights."""
        return FOLDER / f"{self.name}.npz"


# chosen on nine sets of drawings that no training has seen
NETWORKS = {
    network.name: network
    for network in (AreaNetwork("damaged", 0.15), AreaNetwork("white", 0.5), AreaNetwork("color", 0.5))
}


def network_for(damaged: bool, white: bool) -> AreaNetwork:
    """The network for an area of a damaged or clean file, before white or another background."""
    return NETWORKS["damaged" if damaged else "white" if white else "color"]


@cache
def read_network(path: Path) -> dict[str, NDArray[np.float32]]:
    """The arrays of a network that `glassine.bench.closed_areas.write_network` has written; cached."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name].astype(np.float32) for name in file.files}


def log_odds(net: Mapping[str, NDArray[np.float32]], features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log odds in [-5, 5] that closed areas are holes: `...` from their numbers `... d`.

    Args:
        net: `mean`, `scale`, `w1`, `b1`, `w2`, `b2` of `glassine.bench.closed_areas.fit`.
        features: of each the numbers that the network was fitted on, `regions.FEATURES` and `area_shapes.SHAPES`.
    """
    values = np.clip((features - net["mean"]) / net["scale"], -MOST, MOST)
    found = np.maximum(values @ net["w1"] + net["b1"], 0) @ net["w2"] + net["b2"][0]
    return np.asarray(np.clip(found, -SURE, SURE))


def combined(network: AreaNetwork, features: NDArray[np.float32], rule: float) -> float:
    """Log odds in [-5, 5] that one area is a hole, by the network and the rule.

    Args:
        network: the network for its file.
        features: its numbers, `d`.
        rule: the rule's log odds.
    """
    said = float(log_odds(read_network(network.path), features))
    return float(np.clip(said + network.rule * rule, -SURE, SURE))
