"""Transactions: sending one, and where it stands."""

from typing import Annotated, Any, Final

import msgspec

from ...chain.mempool.estimate import HISTORY
from ...chain.mempool.fees import rate_of
from ...core.codec import Value, decode, encode
from ...core.transaction import (
    MAX_BUNDLE_BYTES,
    Bundle,
    Output,
    RoyaltyShare,
    Transaction,
)
from .chain import confirmations, find_block
from .context import Context
from .errors import NotFound
from .registry import MethodTable
from .types import Answer, Hex, HexHash, Limit, unhex

METHODS: Final = MethodTable()

TargetBlocks = Annotated[int, msgspec.Meta(ge=1, le=HISTORY)]
"""Blocks within which a transaction should be included."""


@METHODS.guarded
async def sendtransaction(node: Context, bundle: Hex) -> Answer:
    """Put a signed transaction, with the chunks it announces, into the mempool; tell the peers.

    `bundle` is the canonical encoding of a Bundle.
    """
    decoded = decode(Bundle, unhex("bundle", bundle), MAX_BUNDLE_BYTES)
    identity = await node.ledger.add_bundle(decoded)
    node.network.announce_transaction(identity)
    return {"id": identity.hex()}


@METHODS.read
def gettransaction(node: Context, id: HexHash) -> Answer:
    """Return where a transaction stands, "pending", "included" or "unknown", and what it says."""
    identity = bytes.fromhex(id)
    height = node.chain.height_of_transaction(identity)
    if height is not None:
        entry = find_block(node, height)
        body = node.chain.body(entry.id)
        included = () if body is None else body.transactions
        return {
            "id": id,
            "status": "included",
            "height": height,
            "block": entry.id.hex(),
            "confirmations": confirmations(node, entry),
            "transaction": next(
                (describe_transaction(node, each) for each in included if each.id == identity), None
            ),
        }
    pending = node.mempool.get(identity)
    if pending is None:
        return {"id": id, "status": "unknown"}
    return {
        "id": id,
        "status": "pending",
        "transaction": describe_transaction(node, pending.transaction),
    }


@METHODS.read
def getmempool(node: Context, limit: Limit = 1_000) -> Answer:
    """Return how much is waiting, and the first ids in an order in which they apply.

    `bytes` are those of transactions and chunks; `memory` estimates what they take here, of at most
    `max_memory`. `min_fee_per_kib` is what a newcomer must pay now, in base units.
    """
    pool = node.mempool
    return {
        "count": len(pool),
        "bytes": pool.size,
        "memory": pool.weight,
        "max_memory": pool.limits.total_bytes,
        "min_fee_per_kib": pool.least_rate(),
        "ids": [identity.hex() for identity in node.ledger.mempool_ids(limit)],
    }


@METHODS.read
def getmempoolentry(node: Context, id: HexHash) -> Answer:
    """Return what the mempool knows of one waiting transaction.

    `size` counts its chunks, too. `ancestors` are the sender's transactions that must be included
    before, `descendants` those that wait for it. `package_fee_per_kib` is what decides when it is
    taken: of this one and those that are included together with it.
    """
    entry = node.mempool.entry(bytes.fromhex(id))
    sender = None if entry is None else node.mempool.sender_of(entry)
    if entry is None or sender is None:
        raise NotFound(f"no transaction {id} is waiting here")
    position = sender.entries.index(entry)
    package = next(each for each in sender.packages if entry in each.entries)
    return {
        "id": id,
        "size": entry.size,
        "fee": entry.fee,
        "fee_per_kib": rate_of(entry.fee, entry.size),
        "package_fee_per_kib": rate_of(package.fee, package.size),
        "arrived": entry.arrived,
        "last_height": entry.last_height,
        "ancestors": [each.id.hex() for each in sender.entries[:position]],
        "descendants": [each.id.hex() for each in sender.entries[position + 1 :]],
        "transaction": describe_transaction(node, entry.transaction),
    }


@METHODS.read
def estimatefee(node: Context, blocks: TargetBlocks = 3) -> Answer:
    """Return the fee per KiB, in base units, that should bring a transaction into the chain soon.

    `blocks` is how many blocks it may take. Judged by what recent blocks took and by what waits.
    """
    return {"blocks": blocks, "fee_per_kib": node.mempool.estimate_rate(blocks)}


def describe_transaction(node: Context, transaction: Transaction) -> Answer:
    """Return a transaction's content for people; "type" is the name of its body."""
    payload = transaction.payload
    return {
        "type": type(payload.body).__name__,
        "sender": node.address_text(payload.sender_address),
        "nonce": payload.nonce,
        "fee": payload.fee,
        "expiry": payload.expiry,
        "size": len(encode(transaction)),
        "body": _readable(node, payload.body),
    }


def _readable(node: Context, value: Any) -> Any:
    """Turn a canonical value into JSON: bytes to hex, receivers to addresses."""
    match value:
        case bytes():
            return value.hex()
        case tuple():
            return [_readable(node, item) for item in value]
        case Output(to=to, amount=amount):
            return {"to": node.address_text(to), "amount": amount}
        case RoyaltyShare(to=to, basis_points=basis_points):
            return {"to": node.address_text(to), "basis_points": basis_points}
        case Value():
            fields = msgspec.structs.asdict(value)
            return {name: _readable(node, field) for name, field in fields.items()}
        case _:
            return value
