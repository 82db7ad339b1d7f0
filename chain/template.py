"""Block templates: the header to mine next, with the transactions that wait, as many as fit."""

from copy import copy
from dataclasses import dataclass

from ..consensus.budget import Budget
from ..consensus.header_rules import HEADER_VERSION
from ..consensus.state import State
from ..consensus.state_view import Overlay
from ..consensus.transition import apply_transaction, begin_block, end_block
from ..core.blob import Chunk
from ..core.block import BlockBody, Header, transactions_root
from ..core.codec import encode
from ..core.errors import RuleViolation
from ..core.hashing import Hash, u256
from ..core.ticket import Opening
from ..core.transaction import Bundle, Transaction
from .chainstate import Chain
from .mempool import BlockRoom, Mempool


@dataclass(frozen=True, slots=True)
class Template:
    """A header that only lacks a proof, and what its body will hold."""

    header: Header
    transactions: tuple[Transaction, ...]
    chunks: tuple[Chunk, ...]

    @property
    def sigma(self) -> Hash:
        """The header's σ; names the template."""
        return self.header.sigma

    def body(self, opening: Opening) -> BlockBody:
        """Return the body of the block that a proof completes."""
        return BlockBody(opening, self.transactions, self.chunks)


def build_template(
    chain: Chain, mempool: Mempool, miner: bytes, payout: bytes, now: int
) -> Template:
    """Return the block to mine on the tip for a miner's public key and a payout address.

    `now` is UTC seconds; the header's time is that or the earliest the rules allow.
    """
    with chain.lock:
        tip = chain.tip
        context = chain.index.context(tip)
        difficulty = context.difficulty(chain.params)
        state = State(Overlay(chain.state), chain.params, tip.height + 1)
        begin_block(state, tip.sealed, difficulty)
        chosen, fees = _choose(chain, mempool, state, difficulty)
        end_block(state, payout, fees)
        transactions = tuple(bundle.transaction for bundle in chosen)
        header = Header(
            version=HEADER_VERSION,
            parent=tip.id,
            height=tip.height + 1,
            time=max(now, context.earliest_time),
            difficulty=u256(difficulty),
            miner=miner,
            payout=payout,
            transactions_root=transactions_root(transactions),
            state_root=chain.state.prepare(state.overlay.diff()).root,
        )
        chunks = tuple(chunk for bundle in chosen for chunk in bundle.chunks)
        return Template(header, transactions, chunks)


def _choose(
    chain: Chain, mempool: Mempool, state: State, difficulty: int
) -> tuple[list[Bundle], int]:
    """Run pending transactions in the pool's order while they fit; return them and the fees.

    One that does not fit, or needs one that did not, waits for the next block.
    """
    room = BlockRoom(chain.params)
    budget = Budget(chain.params)
    chosen: list[Bundle] = []
    fees = 0
    for _, bundle in mempool.bundles():
        size = len(encode(bundle))
        if not room.fits(bundle, size):
            continue
        scratch = State(Overlay(state.overlay), state.params, state.height)
        rest = copy(budget)
        try:
            earned = apply_transaction(scratch, bundle.transaction, difficulty, chain.checker, rest)
        except RuleViolation:
            continue
        scratch.overlay.commit_into_parent()
        budget = rest
        room.take(bundle, size)
        fees += earned
        chosen.append(bundle)
    return chosen, fees
