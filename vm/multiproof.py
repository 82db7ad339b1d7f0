"""One proof for several leaves of a Merkle tree: every hash that the leaves do not give themselves.

The leaves of one tensor that an op's judge needs often lie side by side, so that their paths share
most of their hashes. Which hashes belong to a proof, and in which order, follows from the numbers
of the leaves and the height of the tree alone: from the bottom up, and in a level from the left.
"""

from collections.abc import Iterator, Sequence

from ..core.commitment import node
from ..core.errors import RuleViolation
from ..core.hashing import ZERO_HASH, Hash


def tree_height(leaves: int) -> int:
    """Return the height of a tree over this many leaves, padded to a power of two."""
    return max(leaves - 1, 0).bit_length()


def padding_hash(height: int) -> Hash:
    """Return the top of a subtree of this height that holds nothing but padding."""
    top = ZERO_HASH
    for _ in range(height):
        top = node(top, top)
    return top


def sibling_places(leaves: Sequence[int], height: int) -> Iterator[tuple[int, int]]:
    """Yield (level, index) of each hash that proves `leaves`, distinct and ascending."""
    known = list(leaves)
    for level in range(height):
        present = set(known)
        for index in known:
            if index ^ 1 not in present:
                yield level, index ^ 1
        known = sorted({index >> 1 for index in known})


def most_siblings(leaves: int, runs: int, height: int) -> int:
    """Return a bound on the hashes that prove so many leaves, lying in so many unbroken runs.

    A run needs at most one hash at each of its two ends in a level, and a pair of nodes one.
    """
    return sum(min(2 * runs, leaves, 1 << (depth - 1)) for depth in range(1, height + 1))


def top_from(
    leaves: Sequence[int], hashes: Sequence[Hash], height: int, siblings: Sequence[Hash]
) -> Hash:
    """Return the top above `hashes`, those of `leaves`, distinct and ascending.

    Raises RuleViolation "fraud-opening" unless there are exactly as many siblings as it takes.
    """
    known = list(zip(leaves, hashes, strict=True))
    used = 0
    for _ in range(height):
        above: list[tuple[int, Hash]] = []
        at = 0
        while at < len(known):
            index, here = known[at]
            at += 1
            if at < len(known) and known[at][0] == index ^ 1:
                parent = node(here, known[at][1])
                at += 1
            elif used == len(siblings):
                raise RuleViolation("fraud-opening", f"{used} siblings are too few")
            else:
                other = siblings[used]
                parent = node(other, here) if index & 1 else node(here, other)
                used += 1
            above.append((index >> 1, parent))
        known = above
    if used != len(siblings):
        raise RuleViolation("fraud-opening", f"{len(siblings)} siblings where {used} prove it")
    return known[0][1]
