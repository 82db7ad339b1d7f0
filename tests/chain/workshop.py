"""A workshop for real blocks: any tree of them, mined and signed, with the plain state of each.

The state of every block is kept as a dict and its root computed from that by definition, so that
whatever the chain stores is held to something that knows no tree, no undo and no database.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

import msgspec
from pouw.chain.chainstate import Chain
from pouw.chain.kv import KeyValueReader, KeyValueStore
from pouw.consensus import records as r
from pouw.consensus.genesis_block import genesis_block
from pouw.consensus.header_rules import HEADER_VERSION, MEDIAN_SPAN, HeaderContext
from pouw.consensus.jobs.checker import ResultChecker
from pouw.consensus.supply import check_whole_supply
from pouw.consensus.ticket import Shape, Tag, prove
from pouw.consensus.transition import apply_block, genesis_diff
from pouw.core.blob import CHUNK_BYTES, Chunk, split_blob
from pouw.core.block import Block, BlockBody, Header, SealedHeader, seal, transactions_root
from pouw.core.codec import decode
from pouw.core.errors import PouwError
from pouw.core.hashing import ZERO_HASH, Hash, u256
from pouw.core.keys import PrivateKey
from pouw.core.stateproof import state_root
from pouw.core.ticket import Head, Opening
from pouw.core.transaction import (
    Body,
    Bundle,
    Output,
    Payload,
    Transaction,
    Transfer,
    UploadBlob,
    sign_transaction,
)
from pouw.genesis import TINY, Params
from pouw.genesis.networks import DEVNET_FAUCET
from pouw.vm.multiplier import ReferenceMultiplier

FAUCET: Final = DEVNET_FAUCET
MINER: Final = PrivateKey(b"m" * 32)
KEYS: Final = tuple(PrivateKey(bytes([i + 1]) * 32) for i in range(6))
FUNDS: Final = 10**15
NOW: Final = 2_000_000_000
"""A clock far ahead of every block."""
FEE: Final = 10**6
EXPIRY: Final = 10**6
FUNDED: Final = replace(TINY, allocations=tuple((key.address, FUNDS) for key in (FAUCET, *KEYS)))
"""TINY with several rich accounts."""
SHAPE: Final = Shape(16, 16, 256)


class Forge:
    """Makes blocks on any block it made before, and knows the state after each."""

    def __init__(self, params: Params = TINY) -> None:
        self.params = params
        self.genesis: Final[SealedHeader] = genesis_block(params)
        self.blocks: dict[Hash, Block] = {}
        self.states: dict[Hash, dict[bytes, bytes]] = {
            self.genesis.id: merged({}, genesis_diff(params))
        }
        self._blobs: dict[Hash, bytes] = {}
        self._checker: Final = ResultChecker(params, self, ReferenceMultiplier())

    def blob(self, root: Hash) -> bytes:
        """See `BlobSource`."""
        return self._blobs[root]

    def header(self, block: Hash) -> SealedHeader:
        """Return a block's header, block 0's too."""
        return self.genesis if block == self.genesis.id else self.blocks[block].sealed

    def branch(self, tip: Hash) -> list[Block]:
        """Return the blocks from block 1 to `tip`."""
        path: list[Block] = []
        while tip != self.genesis.id:
            path.append(self.blocks[tip])
            tip = path[-1].header.parent
        return path[::-1]

    def work(self, tip: Hash) -> int:
        """Return the sum of the difficulties up to a block."""
        return sum(block.header.work for block in self.branch(tip))

    def context(self, parent: Hash) -> HeaderContext:
        """Return what the rules know of a parent, by walking."""
        times = [self.genesis.header.time] + [b.header.time for b in self.branch(parent)]
        sealed = self.header(parent)
        anchor = times[1] if len(times) > 1 else times[0]
        recent = times[::-1][:MEDIAN_SPAN]
        return HeaderContext(parent, sealed.header.height, sealed.header.time, recent, anchor)

    def account(self, block: Hash, address: bytes) -> r.Account:
        """Return an account after a block."""
        data = self.states[block].get(r.account_key(address))
        return r.Account() if data is None else decode(r.Account, data, r.RECORD_LIMIT)

    def payment(
        self, parent: Hash, sender: PrivateKey, to: bytes, amount: int, **payload: Any
    ) -> Transaction:
        """Return a transfer that is valid on `parent`, unless `payload` spoils it."""
        payload.setdefault("nonce", self.account(parent, sender.address).nonce)
        return pay(sender, to, amount, **payload)

    def mine(
        self,
        parent: Hash,
        bundles: Sequence[Bundle | Transaction] = (),
        miner: PrivateKey = MINER,
        later: int = 1,
        **spoiled: Any,
    ) -> Block:
        """Mine a block; `spoiled` replaces header fields before mining. Not judged here.

        The state of an invalid block is not known, so nothing can be mined on it here; see `bury`.
        """
        whole = [b if isinstance(b, Bundle) else Bundle(b, ()) for b in bundles]
        transactions = tuple(bundle.transaction for bundle in whole)
        chunks = tuple(chunk for bundle in whole for chunk in bundle.chunks)
        context = self.context(parent)
        draft = Header(
            version=HEADER_VERSION,
            parent=parent,
            height=context.parent_height + 1,
            time=max(context.earliest_time, context.parent_time + later),
            difficulty=u256(context.difficulty(self.params)),
            miner=miner.public,
            payout=miner.address,
            transactions_root=transactions_root(transactions),
            state_root=ZERO_HASH,
        )
        state = self._state_after(parent, draft, transactions)
        root = ZERO_HASH if state is None else state_root(list(state.items()))
        header = msgspec.structs.replace(draft, **{"state_root": root, **spoiled})
        block = assemble(header, miner, transactions, chunks)
        self.blocks[block.id] = block
        if state is not None and not spoiled:
            self.states[block.id] = state
        return block

    def chain_of(self, parent: Hash, count: int, **mine: Any) -> list[Block]:
        """Mine `count` empty blocks, each on the one before."""
        blocks: list[Block] = []
        for _ in range(count):
            blocks.append(self.mine(parent, **mine))
            parent = blocks[-1].id
        return blocks

    def bury(self, parent: Hash) -> Block:
        """Mine an empty block on an invalid one: good by itself, in bad company."""
        known = parent
        while known not in self.states:
            known = self.header(known).header.parent
        self.states[parent] = self.states[known]
        block = self.mine(parent)
        del self.states[parent], self.states[block.id]
        return block

    def remember(self, data: bytes) -> None:
        """Let blocks be judged whose transactions need this blob."""
        self._blobs[split_blob(data)[0]] = data

    def _state_after(
        self, parent: Hash, draft: Header, transactions: tuple[Transaction, ...]
    ) -> dict[bytes, bytes] | None:
        before = self.states[parent]
        sealed = SealedHeader(draft, self.genesis.head, bytes(64))
        with suppress(PouwError):
            diff = apply_block(
                before, self.params, self.header(parent), sealed, transactions, self._checker
            )
            return merged(before, diff)
        return None


def busy_branch(forge: Forge, parent: Hash, count: int, seed: int) -> list[Block]:
    """Mine a branch whose blocks hold random transfers between the rich."""
    rng = random.Random(seed)
    blocks: list[Block] = []
    for _ in range(count):
        senders = rng.sample(KEYS, rng.randint(0, 4))
        payments = [
            forge.payment(parent, sender, rng.choice(KEYS).address, rng.randint(1, 10**9))
            for sender in senders
        ]
        blocks.append(forge.mine(parent, payments, miner=rng.choice(KEYS), later=rng.randint(1, 3)))
        parent = blocks[-1].id
    return blocks


def merged(state: Mapping[bytes, bytes], diff: Mapping[bytes, bytes | None]) -> dict[bytes, bytes]:
    """Return a state after a diff."""
    after = {**state, **diff}
    return {key: value for key, value in after.items() if value is not None}


def assemble(
    header: Header,
    miner: PrivateKey,
    transactions: tuple[Transaction, ...] = (),
    chunks: tuple[Chunk, ...] = (),
) -> Block:
    """Find a proof for a header, seal it and add the body."""
    head, opening = find_proof(header)
    return Block(seal(miner, header, head), BlockBody(opening, transactions, chunks))


def find_proof(header: Header) -> tuple[Head, Opening]:
    """Return the proof of the zero product's only tile; on TINY every tile wins."""
    return prove(header.sigma, SHAPE, Tag(), None, None, (0, 0))


def transaction_of(
    sender: PrivateKey,
    body: Body,
    nonce: int,
    fee: int = FEE,
    expiry: int = EXPIRY,
    chain_id: int = TINY.chain_id,
) -> Transaction:
    """Sign a transaction."""
    return sign_transaction(sender, Payload(chain_id, sender.public, nonce, fee, expiry, body))


def pay(sender: PrivateKey, to: bytes, amount: int, nonce: int, **payload: Any) -> Transaction:
    """Sign a transfer to one address."""
    return transaction_of(sender, Transfer((Output(to, amount),)), nonce, **payload)


def uploads(sender: PrivateKey, data: bytes, nonce: int, each: int) -> Iterator[Bundle]:
    """Yield the bundles that bring a blob, `each` chunks at a time."""
    root, chunks = split_blob(data)
    for number, first in enumerate(range(0, len(chunks), each)):
        part = tuple(chunks[first : first + each])
        body = UploadBlob(root, len(data), first, len(part))
        fee = FEE * (1 + len(part) * CHUNK_BYTES // 1024)
        yield Bundle(transaction_of(sender, body, nonce + number, fee), part)


def open_chain(store: KeyValueStore, params: Params = TINY) -> Chain:
    """Open a chain over a store."""
    return Chain(store, params, ReferenceMultiplier())


def feed(chain: Chain, *blocks: Block) -> None:
    """Give whole blocks to a chain, which must take them."""
    for block in blocks:
        chain.accept_header(block.sealed, NOW)
        chain.accept_body(block.id, block.body)


def offer(chain: Chain, *blocks: Block) -> None:
    """Give whole blocks to a chain, whatever it says to each."""
    for block in blocks:
        with suppress(PouwError):
            chain.accept_header(block.sealed, NOW)
        with suppress(PouwError):
            chain.accept_body(block.id, block.body)


def state_of(chain: Chain) -> dict[bytes, bytes]:
    """Return the whole state as it is stored."""
    return dict(chain.state.items(b""))


def active_records(store: KeyValueReader) -> dict[bytes, bytes]:
    """Return all of a database that depends on the active chain alone."""
    return {key: value for key, value in store.iterate(b"") if key[:1] in b"stunxyT"}


def audit(chain: Chain, forge: Forge) -> None:
    """Hold everything a chain stores to the plain state and the blocks of its tip."""
    tip = chain.tip.id
    assert chain.state.root() == chain.tip.sealed.header.state_root
    chain.state.audit()
    assert state_of(chain) == forge.states[tip]
    check_whole_supply(chain.state.items(b""))
    branch = forge.branch(tip)
    heights = [chain.at_height(height) for height in range(len(branch) + 2)]
    ids = [None if entry is None else entry.id for entry in heights]
    assert ids == [forge.genesis.id, *(block.id for block in branch), None]
    totals = chain.totals_at(len(branch))
    assert chain.totals_at(len(branch) + 1) is None
    assert totals is not None
    assert totals.work == u256(forge.work(tip))
    included = {t.id: b.header.height for b in branch for t in b.body.transactions}
    for block in forge.blocks.values():
        for transaction in block.body.transactions:
            assert chain.height_of_transaction(transaction.id) == included.get(transaction.id)
