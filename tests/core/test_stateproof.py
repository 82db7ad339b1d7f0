"""The state's root from its definition, and proofs that must not be bent."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.core import codec
from pouw.core.errors import DecodeError, RuleViolation
from pouw.core.hashing import ZERO_HASH, digest
from pouw.core.stateproof import (
    Occupant,
    StateProof,
    path_bit,
    state_leaf,
    state_node,
    state_path,
    state_root,
    state_value_hash,
    verify_state_proof,
)


def leaf_of(key: bytes, value: bytes) -> bytes:
    return digest("state-leaf", state_path(key), digest("state-value", value))


def key_with_bits(bits: str, start: int = 0) -> bytes:
    """Return the first small key whose path begins with these bits."""
    number = start
    while True:
        key = number.to_bytes(4, "big")
        path = state_path(key)
        if all(path_bit(path, depth) == int(bit) for depth, bit in enumerate(bits)):
            return key
        number += 1


A = key_with_bits("000")
B = key_with_bits("001")
C = key_with_bits("1")
LEAF_A, LEAF_B, LEAF_C = leaf_of(A, b"a"), leaf_of(B, b"b"), leaf_of(C, b"c")
LOW = state_node(LEAF_A, LEAF_B)
# A and B part at the third bit: the node above them has an empty right half and is no leaf.
ROOT = state_node(state_node(LOW, ZERO_HASH), LEAF_C)
STATE = {A: b"a", B: b"b", C: b"c"}
EMPTY_SLOT_KEY = key_with_bits("01")
OTHER_LEAF_KEY = key_with_bits("1", int.from_bytes(C, "big") + 1)
PROOF_A = StateProof((LEAF_C, ZERO_HASH, LEAF_B), b"a", None)
OCCUPANT_C = Occupant(state_path(C), state_value_hash(b"c"))
PROOF_OTHER_LEAF = StateProof((state_node(LOW, ZERO_HASH),), None, OCCUPANT_C)
PROOF_EMPTY_SLOT = StateProof((LEAF_C, LOW), None, None)


def refused(root: bytes, key: bytes, proof: StateProof) -> str:
    with pytest.raises(RuleViolation) as caught:
        verify_state_proof(root, key, proof)
    assert caught.value.rule == "state-proof"
    return caught.value.detail


def test_labels_and_bit_order_are_the_specified_ones() -> None:
    assert state_path(b"k") == digest("state-key", b"k")
    assert state_value_hash(b"v") == digest("state-value", b"v")
    assert state_leaf(b"p" * 32, b"v" * 32) == digest("state-leaf", b"p" * 32 + b"v" * 32)
    assert state_node(b"l" * 32, b"r" * 32) == digest("state-node", b"l" * 32 + b"r" * 32)
    path = bytes([0b1010_0000, 0b0000_0001]) + bytes(30)
    assert [path_bit(path, depth) for depth in range(16)] == [1, 0, 1] + [0] * 12 + [1]


def test_root_of_small_states_by_hand() -> None:
    assert state_root([]) == ZERO_HASH
    assert state_root([(A, b"a")]) == LEAF_A
    assert state_root(STATE.items()) == ROOT
    assert state_root(reversed(STATE.items())) == ROOT


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.binary(max_size=4), st.binary(max_size=4), min_size=1), st.data())
def test_root_binds_every_key_and_value(state: dict[bytes, bytes], data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(state)))
    root = state_root(state.items())
    assert state_root({**state, key: state[key] + b"!"}.items()) != root
    assert state_root((k, v) for k, v in state.items() if k != key) != root


def test_presence_and_both_kinds_of_absence() -> None:
    assert verify_state_proof(ROOT, A, PROOF_A) == b"a"
    assert verify_state_proof(ROOT, EMPTY_SLOT_KEY, PROOF_EMPTY_SLOT) is None
    assert verify_state_proof(ROOT, OTHER_LEAF_KEY, PROOF_OTHER_LEAF) is None
    assert verify_state_proof(ZERO_HASH, A, StateProof((), None, None)) is None
    assert verify_state_proof(LEAF_A, A, StateProof((), b"a", None)) == b"a"


def test_empty_value_is_not_absence() -> None:
    root = state_root([(A, b"")])
    assert verify_state_proof(root, A, StateProof((), b"", None)) == b""
    refused(root, A, StateProof((), None, None))


@pytest.mark.parametrize(
    "proof",
    [
        StateProof((LEAF_C, ZERO_HASH, LEAF_B), b"x", None),
        StateProof((LEAF_C, ZERO_HASH, LEAF_B), None, None),
        StateProof((LEAF_C, ZERO_HASH), None, None),
        StateProof((LEAF_C,), None, None),
        StateProof((), None, None),
        StateProof((LEAF_C, ZERO_HASH), b"a", None),
        StateProof((ZERO_HASH, LEAF_C, LEAF_B), b"a", None),
        StateProof((LEAF_C, ZERO_HASH, LEAF_B, ZERO_HASH), b"a", None),
    ],
)
def test_forgeries_lead_elsewhere(proof: StateProof) -> None:
    assert "root" in refused(ROOT, A, proof)


def test_proof_of_another_key_is_refused() -> None:
    refused(ROOT, B, PROOF_A)
    refused(ROOT, B, StateProof((LEAF_C, ZERO_HASH, LEAF_A), b"a", None))


def test_proof_of_another_state_is_refused() -> None:
    refused(state_root([(A, b"a"), (B, b"b")]), A, PROOF_A)


def test_occupant_must_be_another_leaf_in_the_same_slot() -> None:
    own = Occupant(state_path(A), state_value_hash(b"a"))
    assert "own" in refused(ROOT, A, StateProof(PROOF_A.siblings, None, own))
    assert "slot" in refused(ROOT, A, StateProof(PROOF_OTHER_LEAF.siblings, None, OCCUPANT_C))
    both = StateProof(PROOF_OTHER_LEAF.siblings, b"c", OCCUPANT_C)
    assert "at once" in refused(ROOT, OTHER_LEAF_KEY, both)


def test_shape_is_checked_before_hashing() -> None:
    assert "siblings" in refused(ROOT, A, StateProof((ZERO_HASH,) * 257, b"a", None))
    assert "siblings" in refused(ROOT, A, StateProof((LEAF_C, b"", LEAF_B), b"a", None))
    short = Occupant(state_path(C)[:31], state_value_hash(b"c"))
    assert "32 bytes" in refused(ROOT, OTHER_LEAF_KEY, StateProof((ZERO_HASH,), None, short))
    longest = StateProof((ZERO_HASH,) * 256, b"a", None)
    assert "root" in refused(ROOT, A, longest)


def test_inner_node_is_no_leaf() -> None:
    """The preimage of a node, passed as path and value hash of a leaf, hashes under its label."""
    posing = Occupant(LEAF_A, LEAF_B)
    refused(LOW, A, StateProof((), None, posing))


def test_encoding_is_canonical_and_bounded() -> None:
    for proof in (PROOF_A, PROOF_EMPTY_SLOT, PROOF_OTHER_LEAF):
        data = codec.encode(proof)
        assert codec.decode(StateProof, data, 1000) == proof
    with pytest.raises(DecodeError):
        codec.decode(StateProof, codec.encode([[ZERO_HASH] * 257, None, None]), 10_000)
    with pytest.raises(DecodeError):
        codec.decode(StateProof, codec.encode([[b"short"], None, None]), 10_000)
