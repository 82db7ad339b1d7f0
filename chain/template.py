"""Block templates: the header to mine next, with the best paying of the transactions that wait."""

from dataclasses import dataclass

from ..consensus.header_rules import HEADER_VERSION
from ..consensus.transition import end_block
from ..core.blob import Chunk
from ..core.block import BlockBody, Header, transactions_root
from ..core.hashing import Hash, u256
from ..core.ticket import Opening
from ..core.transaction import Transaction
from .chainstate import Chain
from .mempool import Mempool


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
        chosen = mempool.selection()
        state = chosen.state()
        end_block(state, payout, chosen.earned)
        diff = {**chosen.diff, **state.overlay.diff()}
        transactions = tuple(bundle.transaction for bundle in chosen.bundles)
        header = Header(
            version=HEADER_VERSION,
            parent=tip.id,
            height=tip.height + 1,
            time=max(now, context.earliest_time),
            difficulty=u256(difficulty),
            miner=miner,
            payout=payout,
            transactions_root=transactions_root(transactions),
            state_root=chain.state.prepare(diff).root,
        )
        chunks = tuple(chunk for bundle in chosen.bundles for chunk in bundle.chunks)
        return Template(header, transactions, chunks)
