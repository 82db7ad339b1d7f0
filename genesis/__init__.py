"""Chain parameters: one table that holds every number, with a reason each, for every network."""

from .networks import DEVNET, MAINNET, NETWORKS, SPRINT, TESTNET, TINY, network
from .params import Params

__all__ = ["Params", "network", "NETWORKS", "MAINNET", "TESTNET", "DEVNET", "TINY", "SPRINT"]
