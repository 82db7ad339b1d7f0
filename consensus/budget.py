"""How much checking one block may ask of every node."""

from ..core.errors import RuleViolation
from ..genesis import Params


class Budget:
    """Counts the MACs and bytes that a block's transactions make nodes re-execute and read."""

    def __init__(self, params: Params) -> None:
        self._macs = params.block_check_macs
        self._bytes = params.block_check_bytes

    def spend(self, macs: int, size: int) -> None:
        """Take from the budget. Raises RuleViolation "block-budget" when it does not suffice."""
        if macs > self._macs or size > self._bytes:
            raise RuleViolation(
                "block-budget",
                f"{macs} MACs and {size} bytes to check; {self._macs} and {self._bytes} are left",
            )
        self._macs -= macs
        self._bytes -= size
