"""The chain: where it stands, its blocks, the money in it, and how useful its work was."""

from collections.abc import Iterator
from typing import Annotated, Any, Final

import msgspec

from ..._version import __version__
from ...chain.blockindex import Entry
from ...consensus import records as r
from ...consensus.prices import subsidy
from ...consensus.supply import check_whole_supply
from ...core.codec import decode
from ...core.hashing import ZERO_HASH, read_u256
from ...core.ticket import Head
from .context import Context
from .errors import Code, NotFound, RpcFailure
from .registry import MethodTable
from .types import Answer, Height, HexHash

METHODS: Final = MethodTable()

Span = Annotated[int, msgspec.Meta(ge=1)]
"""A number of blocks."""


@METHODS.task
async def getinfo(node: Context) -> Answer:
    """Return network, tip and what the node is doing.

    `difficulty` and `subsidy` are those of the next block; `mempool` and `peers` are counts.
    """
    tip = node.chain.tip
    status = node.network.status()
    return {
        "version": __version__,
        "network": node.params.name,
        "chain_id": node.params.chain_id,
        "genesis": node.ledger.genesis_id.hex(),
        "height": tip.height,
        "tip": tip.id.hex(),
        "time": tip.time,
        "state_root": tip.sealed.header.state_root.hex(),
        "difficulty": node.next_difficulty(),
        "work": tip.work,
        "best_header_height": status.header_height,
        "mempool": len(node.mempool),
        "peers": status.inbound + status.outbound,
        "syncing": status.syncing,
        "subsidy": subsidy(node.params, tip.height + 1),
        "waiting_for": status.waiting_for,
    }


@METHODS.read
def getblock(
    node: Context, id: HexHash | Height | None = None, height: Height | None = None
) -> Answer:
    """Return a block by its id, or the active one at a height.

    `transactions` and `bytes` are null while the body is missing. `confirmations` counts the block
    itself, and is 0 outside the active chain.
    """
    wanted = height if id is None else id
    if wanted is None or (id is not None and height is not None):
        raise RpcFailure(Code.INVALID_PARAMS, "getblock takes either id or height")
    entry = find_block(node, bytes.fromhex(wanted) if isinstance(wanted, str) else wanted)
    return _describe_block(node, entry)


@METHODS.read
def getblockhash(node: Context, height: Height) -> str:
    """Return the id of the active block at a height."""
    return find_block(node, height).id.hex()


@METHODS.scan
def getsupply(node: Context) -> Answer:
    """Add up every balance, escrow and bond, and compare with what was emitted and burned.

    A difference stops the node, so `audited` is true in every answer.
    """
    totals = r.Totals()

    def watched() -> Iterator[tuple[bytes, bytes]]:
        nonlocal totals
        for key, value in node.chain.state.items(b""):
            if key == r.TOTALS_KEY:
                totals = decode(r.Totals, value, r.RECORD_LIMIT)
            yield key, value

    circulating = check_whole_supply(watched())
    return {
        "emitted": totals.emitted,
        "burned": totals.burned,
        "circulating": circulating,
        "audited": True,
    }


@METHODS.read
def getusefulness(node: Context, blocks: Span = 1_000) -> Answer:
    """Return how much of the last blocks' work served somebody, by two estimates.

    `useful_macs` are those of the jobs settled in the range, `mined_macs` the work of blocks that
    such jobs' products mined, each job up to its own MACs. The shares are for display only.
    """
    last = node.chain.tip.height
    first = max(1, last - blocks + 1)
    before, after = node.chain.totals_at(first - 1), node.chain.totals_at(last)
    if before is None or after is None:
        raise NotFound("the chain has no such range of blocks")
    work = read_u256(after.work) - read_u256(before.work)
    useful = read_u256(after.useful_macs) - read_u256(before.useful_macs)
    mined = read_u256(after.mined_macs) - read_u256(before.mined_macs)
    return {
        "from_height": first,
        "to_height": last,
        "work": work,
        "useful_macs": useful,
        "useful_share": useful / work if work else 0.0,
        "mined_macs": mined,
        "mined_share": mined / work if work else 0.0,
    }


def find_block(node: Context, which: bytes | int) -> Entry:
    """Return a block by id, or the active one at a height. Raises NotFound."""
    if isinstance(which, bytes):
        entry = node.chain.index.get(which)
        if entry is None:
            raise NotFound(f"no block {which.hex()} is known")
        return entry
    entry = node.chain.at_height(which) if which <= node.chain.tip.height else None
    if entry is None:
        raise NotFound(f"no block at height {which}: the tip is at {node.chain.tip.height}")
    return entry


def confirmations(node: Context, entry: Entry) -> int:
    """Return how many blocks of the active chain stand on this one, itself included."""
    return node.chain.tip.height - entry.height + 1 if node.chain.is_active(entry) else 0


def _describe_block(node: Context, entry: Entry) -> Answer:
    header = entry.sealed.header
    data = node.chain.body_bytes(entry.id)
    body = node.chain.body(entry.id)
    return {
        "id": entry.id.hex(),
        "height": entry.height,
        "time": entry.time,
        "miner": header.miner.hex(),
        "payout": node.address_text(header.payout),
        "difficulty": header.work,
        "work": entry.work,
        "parent": header.parent.hex(),
        "state_root": header.state_root.hex(),
        "transactions": None if body is None else [each.id.hex() for each in body.transactions],
        "head": _describe_head(entry.sealed.head),
        "bytes": None if data is None else len(data),
        "confirmations": confirmations(node, entry),
        "invalid": entry.invalid or None,
    }


def _describe_head(head: Head) -> dict[str, Any]:
    return {
        "m": head.m,
        "n": head.n,
        "k": head.k,
        "job": None if head.job_id == ZERO_HASH else head.job_id.hex(),
        "op": head.op,
        "tile_row": head.tile_row,
        "tile_col": head.tile_col,
        "nonce": int.from_bytes(head.nonce, "little"),
    }
