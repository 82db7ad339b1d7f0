"""Proofs for who does not take a node at its word: of a transaction, of a value of the state.

Both lead to a root in a sealed header. That the header is on the best chain is another question.
"""

from typing import Annotated, Final

import msgspec

from ...core.block import SealedHeader
from ...core.codec import encode
from ...core.commitment import prove_item
from .chain import find_block
from .context import Context
from .errors import NotFound
from .registry import MethodTable
from .types import Answer, HexHash, unhex

METHODS: Final = MethodTable()

MAX_STATE_KEY_BYTES: Final = 64

StateKey = Annotated[
    str, msgspec.Meta(pattern=r"^[0-9a-f]+\Z", min_length=2, max_length=2 * MAX_STATE_KEY_BYTES)
]
"""A key of the state (protocol §8)."""


@METHODS.read
def gettransactionproof(node: Context, id: HexHash) -> Answer:
    """Return an included transaction with its Merkle path to the header's transactions root.

    `transaction` is number `index` of `transactions` in the block; `siblings` are lowest first.
    `header` and `transaction` are canonical encodings.
    """
    identity = bytes.fromhex(id)
    height = node.chain.height_of_transaction(identity)
    if height is None:
        raise NotFound(f"no transaction {id} in the active chain")
    entry = find_block(node, height)
    body = node.chain.body(entry.id)
    if body is None:
        raise NotFound(f"block {entry.id.hex()}, which has the transaction, is not stored any more")
    index = next(i for i, each in enumerate(body.transactions) if each.id == identity)
    items = [encode(each) for each in body.transactions]
    return {
        **_header(entry.sealed),
        "transaction": items[index].hex(),
        "transactions": len(items),
        "index": index,
        "siblings": [sibling.hex() for sibling in prove_item(items, index)],
    }


@METHODS.read
def getstateproof(node: Context, key: StateKey) -> Answer:
    """Return the proof of a key's value, or of its absence, in the state of the tip.

    `proof` is the canonical encoding of a StateProof, against the state root of `header`.
    """
    proof = node.chain.state.prove(unhex("key", key))
    return {**_header(node.chain.tip.sealed), "proof": encode(proof).hex()}


def _header(sealed: SealedHeader) -> Answer:
    return {
        "block": sealed.id.hex(),
        "height": sealed.header.height,
        "header": encode(sealed).hex(),
    }
