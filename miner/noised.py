"""Right operands under the noise of the newest header, shared by jobs of one model.

Noising a model's weights takes as long as many rows of a product, and is the same for every job
under one template.
"""

from collections import OrderedDict
from typing import Final

from ..consensus.ticket import Operand
from ..core.hashing import ZERO_HASH, Hash
from .devices import Device, NoisedB

KEPT_BYTES: Final = 1 << 30
"""Of operands; what a device keeps of each is a small multiple."""


class NoisedOperands:
    """One device's noised right operands under one header at a time."""

    def __init__(self, device: Device, kept_bytes: int = KEPT_BYTES) -> None:
        """Keep at most `kept_bytes`, and always the last one."""
        self._device = device
        self._kept_bytes = kept_bytes
        self._sigma: Hash = ZERO_HASH
        self._held: OrderedDict[Hash, tuple[int, NoisedB]] = OrderedDict()
        self._bytes = 0

    def under(self, sigma: Hash, b: Operand) -> NoisedB:
        """Return an operand (n×k, transposed) with the noise of the header hashed to σ."""
        if sigma != self._sigma:
            self.clear()
            self._sigma = sigma
        root = b.tree.root
        held = self._held.get(root)
        if held is not None:
            self._held.move_to_end(root)
            return held[1]
        n, k = b.values.shape
        noised = self._device.noise_b(sigma, b, n, k)
        self._held[root] = (n * k, noised)
        self._bytes += n * k
        while self._bytes > self._kept_bytes and len(self._held) > 1:
            _, (size, _) = self._held.popitem(last=False)
            self._bytes -= size
        return noised

    def clear(self) -> None:
        """Let go of everything."""
        self._held.clear()
        self._bytes = 0
