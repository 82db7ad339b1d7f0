"""Accounts: money, nonces, and what a worker did for the network."""

from typing import Final

from ...consensus import records as r
from ...core.codec import decode
from ...core.hashing import read_u256
from .context import Context
from .registry import MethodTable
from .types import AddressText, Answer

METHODS: Final = MethodTable()


@METHODS.read
def getaccount(node: Context, address: AddressText) -> Answer:
    """Return an account as of the tip; one that was never paid is empty.

    `pending_nonce` counts the account's transactions in the mempool, too: the next one's nonce.
    """
    raw = node.read_address(address)
    data = node.chain.state.get(r.account_key(raw))
    account = r.Account() if data is None else decode(r.Account, data, r.RECORD_LIMIT)
    return {
        "address": node.address_text(raw),
        "balance": account.balance,
        "nonce": account.nonce,
        "pending_nonce": node.mempool.pending_nonce(raw),
    }


@METHODS.read
def getwork(node: Context, address: AddressText) -> Answer:
    """Return a worker's contribution record: jobs, MACs, money earned, claims that failed."""
    raw = node.read_address(address)
    data = node.chain.state.get(r.work_key(raw))
    record = r.WorkRecord() if data is None else decode(r.WorkRecord, data, r.RECORD_LIMIT)
    return {
        "address": node.address_text(raw),
        "jobs": record.jobs,
        "macs": read_u256(record.macs),
        "earned": record.earned,
        "mined_with_jobs": record.mined_with_jobs,
        "missed": record.missed,
        "wrong": record.wrong,
        "first": record.first,
        "last": record.last,
    }
