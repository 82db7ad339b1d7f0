"""Fees: what relaying costs, what a replacement must add, and the floor that a full pool leaves.

All of it in integers. A rate is in base units per KiB of canonical bytes, chunks included.
"""

from typing import Final

KIB: Final = 1024
HALF_LIFE: Final = 3600
"""Seconds in which the floor halves: 60 blocks of the main network, about as many as the 72 of
Bitcoin Core's rolling minimum (`CTxMemPool::GetMinFee`)."""
STEP: Final = 10
"""A replacement pays a STEPth more than what it replaces, as geth's default price bump has it."""


def fee_at(rate: int, size: int) -> int:
    """Return the least fee of `size` bytes at a rate."""
    return -(-size * rate // KIB)


def rate_of(fee: int, size: int) -> int:
    """Return the rate that a fee pays for `size` bytes, rounded down."""
    return fee * KIB // size


def outbidding_fee(replaced: int, lost: int, relay: int) -> int:
    """Return what must be paid to put out a transaction with the fee `replaced`.

    `lost` is the sum of the fees of those that go with it, `relay` the least fee of the newcomer's
    size. So every byte that travels is paid for by a rise of what is certain to be collected
    (BIP 125, rules 3 and 4), and the number of rises is bounded by the logarithm of a balance.
    """
    return replaced + lost + max(-(-replaced // STEP), relay)


class FeeFloor:
    """The rate below which nothing is taken in; rises with every eviction and decays with time.

    Without it, what was evicted could be sent again at once, over and over, for nothing.
    """

    def __init__(self, relay: int) -> None:
        """`relay` is the network's least rate, which the floor never goes below."""
        self._relay: Final = relay
        self._raised = 0
        self._since = 0

    def at(self, now: int) -> int:
        """Return the floor at a time in UTC seconds."""
        return max(self._relay, self._decayed(now))

    def evicted(self, rate: int, now: int) -> None:
        """Ask more than the rate of a package that had to go."""
        self._raised = max(self._decayed(now), rate + self._relay)
        self._since = now

    def _decayed(self, now: int) -> int:
        """Return 2^(−t/HALF_LIFE) of what was last asked, in a straight line between halvings."""
        halvings, rest = divmod(max(0, now - self._since), HALF_LIFE)
        level = self._raised >> min(halvings, 64)
        decayed = level - level * rest // (2 * HALF_LIFE)
        return decayed if 2 * decayed >= self._relay else 0
