"""Right operands kept on the device between block templates, so that a new one redraws noise alone.

A model's weights are the same under every header; moving them again for each would cost more than
the noise. Bounded by bytes; the operand unused for longest goes first.
"""

from collections import OrderedDict
from functools import cache
from threading import Lock
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from ...core.hashing import Hash
from ..operands import check_operand

SHARE: Final = 4
"""One part in so many of a device's memory is for operands."""
_WITHOUT_GPU: Final = 2**26


class OperandCache:
    """Operands on one device by root, at most `most` bytes of them."""

    def __init__(self, device: torch.device, most: int) -> None:
        self.device = device
        self._most = most
        self._held: OrderedDict[Hash, torch.Tensor] = OrderedDict()
        self._size = 0
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._held)

    def fetch(self, rows: NDArray[np.int8], root: Hash) -> torch.Tensor:
        """Return an operand on the device; `root` commits to `rows`.

        Rows seen before are neither checked nor moved again. Raises ValueError unless they have
        the committed range, or when their shape is not the one seen under this root.
        """
        with self._lock:
            held = self._held.get(root)
            if held is not None:
                if held.shape != rows.shape:
                    raise ValueError(f"operand B is {rows.shape} where {held.shape} is committed")
                self._held.move_to_end(root)
                return held
        check_operand("B", rows, rows.shape, root)
        operand = uploaded(rows, self.device)
        with self._lock:
            self._keep(root, operand)
        return operand

    def _keep(self, root: Hash, operand: torch.Tensor) -> None:
        if operand.nbytes > self._most or root in self._held:
            return
        self._held[root] = operand
        self._size += operand.nbytes
        while self._size > self._most:
            _, oldest = self._held.popitem(last=False)
            self._size -= oldest.nbytes


@cache
def operands(device: torch.device) -> OperandCache:
    """Return the one cache of a device."""
    if device.type != "cuda":
        return OperandCache(device, _WITHOUT_GPU)
    return OperandCache(device, torch.cuda.get_device_properties(device).total_memory // SHARE)


def uploaded(array: NDArray[np.int8], device: torch.device) -> torch.Tensor:
    """Copy to the device, always to memory of its own; read-only arrays take two copies."""
    return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(device, copy=True)
