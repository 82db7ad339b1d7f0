"""The way of a block: what it does to the state, in one page.

A pure function of the state view, the parent, the header, the transactions and a checker: no
storage, no clock. Proof and header are judged in `header_rules` and `ticket`, the body's integrity
in `body_rules`; the state root is compared by whoever keeps the tree.
"""

import msgspec

from ..core.block import SealedHeader
from ..core.errors import RuleViolation
from ..core.transaction import (
    CancelJob,
    ClaimJob,
    CommitResult,
    RegisterModel,
    SettleJob,
    SubmitJob,
    Transaction,
    Transfer,
    UploadBlob,
)
from ..genesis import Params
from . import records as r
from .blobs import apply_upload, expire_blob
from .budget import Budget
from .events import take_claims, take_events
from .jobs.checker import ResultChecker
from .jobs.claims import apply_claim, assign_claim, end_window
from .jobs.offers import Offer, apply_cancel, apply_submit, reach_deadline
from .jobs.provenance import check_named_job, record_provenance
from .jobs.results import apply_commit, apply_settle
from .models import apply_register
from .prices import subsidy
from .state import State
from .state_view import Overlay, StateDiff, StateView
from .supply import check_supply_change
from .transfers import apply_transfer


def apply_block(
    view: StateView,
    params: Params,
    parent: SealedHeader,
    block: SealedHeader,
    transactions: tuple[Transaction, ...],
    checker: ResultChecker,
) -> StateDiff:
    """Return what a block changes in the state. Raises RuleViolation naming the broken rule."""
    overlay = Overlay(view)
    header = block.header
    state = State(overlay, params, header.height)
    begin_block(state, parent, header.work)
    budget = Budget(params)
    fees = 0
    for transaction in transactions:
        fees += apply_transaction(state, transaction, header.work, checker, budget)
    end_block(state, header.payout, fees)
    check_named_job(state, block.head, header.miner_address, checker)
    diff = overlay.diff()
    check_supply_change(view, diff)
    return diff


def begin_block(state: State, parent: SealedHeader, difficulty: int) -> None:
    """Apply what the parent's proof and id imply, then what ends at this height."""
    record_provenance(state, parent)
    for event in (*take_claims(state), *take_events(state)):
        match event.kind:
            case r.EventKind.CLAIMS:
                assign_claim(state, event.subject, parent.id, difficulty)
            case r.EventKind.WINDOW | r.EventKind.REVEAL:
                end_window(state, event)
            case r.EventKind.DEADLINE:
                reach_deadline(state, event.subject)
            case r.EventKind.BLOB:
                expire_blob(state, event.subject)


def apply_transaction(
    state: State,
    transaction: Transaction,
    difficulty: int,
    checker: ResultChecker,
    budget: Budget,
) -> int:
    """Run one transaction, whose signature was checked before; return what the miner earns."""
    payload = transaction.payload
    sender = payload.sender_address
    _check_envelope(state, transaction, sender)
    state.debit(sender, payload.fee, "the fee")
    account = state.account(sender)
    state.put_account(sender, msgspec.structs.replace(account, nonce=account.nonce + 1))
    earned = payload.fee
    match payload.body:
        case Transfer() as body:
            apply_transfer(state, sender, body)
        case UploadBlob() as body:
            apply_upload(state, body)
        case RegisterModel() as body:
            apply_register(state, transaction.id, sender, body, checker, budget)
        case SubmitJob() as body:
            offer = Offer(transaction.id, sender, payload.fee, body)
            apply_submit(state, offer, difficulty, checker, budget)
        case CancelJob() as body:
            apply_cancel(state, sender, body)
        case ClaimJob() as body:
            apply_claim(state, sender, body, difficulty)
        case CommitResult() as body:
            apply_commit(state, sender, body)
        case SettleJob() as body:
            job = state.job(body.job)
            budget.spend(job.check_macs, job.check_bytes)
            earned += apply_settle(state, sender, body, checker)
    return earned


def end_block(state: State, payout: bytes, fees: int) -> None:
    """Pay the miner: new money and the block's fees."""
    reward = subsidy(state.params, state.height)
    totals = state.totals()
    state.put_totals(msgspec.structs.replace(totals, emitted=totals.emitted + reward))
    state.credit(payout, reward + fees)


def genesis_diff(params: Params) -> StateDiff:
    """Return the state of block 0: the network's allocations, counted as emitted."""
    overlay = Overlay(_EmptyState())
    state = State(overlay, params, 0)
    for address, amount in params.allocations:
        state.credit(address, amount)
    state.put_totals(r.Totals(emitted=sum(amount for _, amount in params.allocations)))
    return overlay.diff()


class _EmptyState:
    def get(self, key: bytes) -> bytes | None:
        return None


def _check_envelope(state: State, transaction: Transaction, sender: bytes) -> None:
    payload = transaction.payload
    if payload.chain_id != state.params.chain_id:
        raise RuleViolation("tx-chain", f"made for chain {payload.chain_id}")
    if payload.expiry < state.height:
        raise RuleViolation("tx-expired", f"expired at height {payload.expiry}")
    expected = state.account(sender).nonce
    if payload.nonce != expected:
        raise RuleViolation("tx-nonce", f"nonce {payload.nonce}, the account is at {expected}")
