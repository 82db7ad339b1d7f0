"""Chain parameters: one table that holds every number, with a reason each, for four networks."""

from .networks import DEVNET, MAINNET, NETWORKS, TESTNET, TINY, network
from .params import Params

__all__ = ["Params", "network", "NETWORKS", "MAINNET", "TESTNET", "DEVNET", "TINY"]
