"""The state tree's commitment: how all of the state hashes to one root, and proofs against it.

A compact sparse Merkle tree, binary, over the 256-bit paths H("state-key", key), first bit of
byte 0 the most significant and at the top. For the subtree below any prefix of a path:

    no key        32 zero bytes
    one key       H("state-leaf", path ‖ H("state-value", value)), at whatever depth
    more          H("state-node", left ‖ right)

The root depends on the content alone, never on the order or the history of the writes. A leaf
carries its whole path, so lifting it to the top of its subtree makes nothing ambiguous (compaction
after Diem's Jellyfish Merkle tree, Gao et al. 2021). Leaves, nodes and values hash under their
own labels, so none can pass as another.
"""

from bisect import bisect_left
from collections.abc import Iterable
from typing import Annotated, Final

import msgspec

from .codec import Bytes32, Value
from .errors import RuleViolation
from .hashing import HASH_BYTES, ZERO_HASH, Hash, digest

PATH_BITS: Final = 256


class Occupant(Value, frozen=True):
    """The one other leaf in the slot where a key would stand: the reason why it is absent."""

    path: Bytes32
    """H("state-key", its key); the key itself is not revealed."""
    value_hash: Bytes32
    """H("state-value", its value)."""


class StateProof(Value, frozen=True):
    """Shows the value of one key under a root, or that the root has no such key.

    About log₂(number of keys) siblings; up to 256 only for paths that were ground to collide.
    """

    siblings: Annotated[tuple[Bytes32, ...], msgspec.Meta(max_length=PATH_BITS)]
    """The neighbour's hash at every level from the root down; 32 zero bytes for an empty one."""
    value: bytes | None
    """The value, or None in a proof of absence."""
    occupant: Occupant | None
    """In a proof of absence: the other leaf in the slot, or None when the slot is empty."""


def state_path(key: bytes) -> Hash:
    """Return where `key` stands in the tree: 256 bits, uniformly spread."""
    return digest("state-key", key)


def state_value_hash(value: bytes) -> Hash:
    """Return what a leaf holds in the place of its value."""
    return digest("state-value", value)


def state_leaf(path: Hash, value_hash: Hash) -> Hash:
    """Return the hash of a subtree with a single key."""
    return digest("state-leaf", path + value_hash)


def state_node(left: Hash, right: Hash) -> Hash:
    """Return the hash of a subtree with two keys or more."""
    return digest("state-node", left + right)


def path_bit(path: Hash, depth: int) -> int:
    """Return bit `depth` of a path: 0 turns left, 1 turns right."""
    return path[depth >> 3] >> (7 - (depth & 7)) & 1


def state_root(items: Iterable[tuple[bytes, bytes]]) -> Hash:
    """Return the root of a state given as distinct (key, value) pairs, in any order.

    The plain definition, in memory: for genesis, audits, and as the reference of faster code.
    """
    leaves = sorted((state_path(key), state_value_hash(value)) for key, value in items)
    return _subtree(leaves, 0, len(leaves), 0)


def _subtree(leaves: list[tuple[Hash, Hash]], low: int, high: int, depth: int) -> Hash:
    """Hash the sorted leaves low … high − 1, which all share their first `depth` bits."""
    if low == high:
        return ZERO_HASH
    if low + 1 == high:
        return state_leaf(*leaves[low])
    middle = bisect_left(leaves, 1, low, high, key=lambda leaf: path_bit(leaf[0], depth))
    return state_node(
        _subtree(leaves, low, middle, depth + 1), _subtree(leaves, middle, high, depth + 1)
    )


def verify_state_proof(root: Hash, key: bytes, proof: StateProof) -> bytes | None:
    """Return the value of `key` in the state with this root, or None: it is proven absent.

    Raises RuleViolation("state-proof") when the proof does not show either. The root must come
    from a header that the caller trusts.
    """
    path = state_path(key)
    _check_shape(path, proof)
    if proof.value is not None:
        current = state_leaf(path, state_value_hash(proof.value))
    elif proof.occupant is not None:
        current = state_leaf(proof.occupant.path, proof.occupant.value_hash)
    else:
        current = ZERO_HASH
    for depth in reversed(range(len(proof.siblings))):
        sibling = proof.siblings[depth]
        if path_bit(path, depth):
            current = state_node(sibling, current)
        else:
            current = state_node(current, sibling)
    if current != root:
        raise RuleViolation(
            "state-proof", f"leads to root {current.hex()}, the state's is {root.hex()}"
        )
    return proof.value


def _check_shape(path: Hash, proof: StateProof) -> None:
    depth = len(proof.siblings)
    if depth > PATH_BITS or any(len(sibling) != HASH_BYTES for sibling in proof.siblings):
        raise RuleViolation(
            "state-proof", f"siblings must be at most {PATH_BITS} hashes of {HASH_BYTES} bytes"
        )
    occupant = proof.occupant
    if occupant is None:
        return
    if proof.value is not None:
        raise RuleViolation("state-proof", "claims presence and absence at once")
    if len(occupant.path) != HASH_BYTES or len(occupant.value_hash) != HASH_BYTES:
        raise RuleViolation("state-proof", f"the occupant's hashes must have {HASH_BYTES} bytes")
    if occupant.path == path:
        raise RuleViolation("state-proof", "the leaf shown as another key's is this key's own")
    shift = PATH_BITS - depth
    if int.from_bytes(occupant.path) >> shift != int.from_bytes(path) >> shift:
        raise RuleViolation("state-proof", "the occupant's path does not lead to this key's slot")
