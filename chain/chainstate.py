"""The chain: takes headers and bodies in any order, keeps the valid branch of most work as state.

    accept_header ── check_header ─▶ index
    accept_body ──── check_body ───▶ body on disk ─▶ _activate: while a heavier ready branch exists,
                     disconnect down to the fork, connect upwards; each step is ONE synced batch

A crash between two steps leaves the database at some block with exactly that block's state; the
next start goes on from there. What is written without sync (headers, verdicts) may be lost with the
power, in any combination, and is then simply learned again: nothing synced may stand on it.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import structlog

from ..consensus.body_rules import check_body
from ..consensus.freivalds import ThinProducts
from ..consensus.genesis_block import genesis_block
from ..consensus.header_rules import check_header
from ..consensus.jobs.checker import ResultChecker
from ..consensus.records import TOTALS_KEY, Totals
from ..consensus.state_view import StateDiff, StateView
from ..consensus.transition import apply_block, genesis_diff
from ..core.block import BlockBody, SealedHeader
from ..core.codec import MAX_INT, encode
from ..core.errors import MissingParent, RuleViolation, StorageError
from ..core.hashing import Hash, u256
from ..genesis import Params
from ..vm.multiplier import Multiplier
from . import schema
from .blobstore import StoredBlobs, chunk_writes
from .blockindex import MAX_LOCATOR, BlockIndex, Entry, fork_point, path_from
from .kv import KeyValueStore, Writes
from .statetree import StateStore

_log = structlog.get_logger(__name__)

MAX_REPORTED: Final = 32
"""Blocks after which listeners are told, so that a long reorg does not pile up bodies in memory."""

ConnectedBlock: TypeAlias = tuple[Entry, BlockBody]


@dataclass(frozen=True, slots=True)
class ChainChange:
    """How the active chain changed: blocks taken off (newest first), then put on (oldest first).

    A long reorg comes as several changes; each starts where the one before ended.
    """

    disconnected: tuple[ConnectedBlock, ...]
    connected: tuple[ConnectedBlock, ...]


class Chain:
    """One network's chain in one database. Methods may be called from several threads.

    What changes the chain takes `lock`; look-ups take none and answer while a block is validated.
    `state.prepare` and `state.prove` are for holders of `lock` only: between the write of a block
    and `state.committed` the tree in memory is one block behind the database.

    Listeners are called under `lock`, after the change is on disk. One that fails is logged and
    changes nothing for the chain or for the others; none may feed the chain from within its call.
    """

    def __init__(
        self,
        store: KeyValueStore,
        params: Params,
        multiplier: Multiplier,
        thin: ThinProducts | None = None,
    ) -> None:
        """Open the chain, creating block 0 in an empty database. Raises StorageError."""
        self.params: Final = params
        self.state: Final = StateStore(store)
        self.blobs: Final = StoredBlobs(store, self.state)
        self.checker: Final = ResultChecker(params, self.blobs, multiplier, thin)
        self.lock: Final = threading.RLock()
        self.listeners: Final[list[Callable[[ChainChange], None]]] = []
        self._store: Final = store
        self._taken_off: Final[list[ConnectedBlock]] = []
        self._put_on: Final[list[ConnectedBlock]] = []
        self.index: Final = BlockIndex(genesis_block(params))
        if store.get(schema.TIP_KEY) is None:
            self._write_genesis()
        self._load_index()
        self.tip: Entry = self._load_tip()
        self._activate()

    # Taking in -----------------------------------------------------------------------------

    def accept_header(self, sealed: SealedHeader, now: int) -> bool:
        """Add a header to the index; return whether it was new.

        Raises RuleViolation, MissingParent or FromFuture. `now` is UTC seconds.
        """
        block = sealed.id
        with self.lock:
            if self.index.get(block) is not None:
                return False
            parent = self.index.get(sealed.header.parent)
            if parent is None:
                raise MissingParent(sealed.header.parent)
            if parent.invalid:
                raise RuleViolation("header-branch", f"extends an invalid block ({parent.invalid})")
            check_header(sealed, self.index.context(parent), self.params, now)
            self._store.write(_index_write(block, sealed), sync=False)
            self.index.add(sealed, block)
            return True

    def accept_body(self, block: Hash, body: BlockBody) -> None:
        """Add a known header's body and follow the heaviest branch that is now complete.

        Raises MissingParent for an unknown header, BodyMismatch for another block's body, and
        RuleViolation when the block is invalid, which condemns its branch.
        """
        with self.lock:
            entry = self.index.get(block)
            if entry is None:
                raise MissingParent(block)
            if entry.invalid:
                raise RuleViolation(entry.invalid, "the block is known to be invalid")
            if not entry.has_body:
                self._store_body(entry, body)
            self._activate()
            if entry.invalid:
                raise RuleViolation(entry.invalid, f"block {block.hex()} is invalid")

    def _store_body(self, entry: Entry, body: BlockBody) -> None:
        try:
            check_body(entry.sealed, body, self.params)
        except RuleViolation as violation:
            self._condemn(entry, violation)
            raise
        writes = _index_write(entry.id, entry.sealed, has_body=True)
        writes[schema.body_key(entry.id)] = encode(body)
        self._store.write(writes)
        self.index.mark_body(entry)

    # Looking up ----------------------------------------------------------------------------

    def body(self, block: Hash) -> BlockBody | None:
        """Return a stored body."""
        data = self.body_bytes(block)
        return None if data is None else schema.read_stored(BlockBody, data)

    def body_bytes(self, block: Hash) -> bytes | None:
        """Return a stored body in canonical bytes."""
        return self._store.get(schema.body_key(block))

    def at_height(self, height: int) -> Entry | None:
        """Return the active block at a height."""
        if not 0 <= height <= MAX_INT:
            return None
        block = self._store.get(schema.height_key(height))
        return None if block is None else self.index.get(block)

    def is_active(self, entry: Entry) -> bool:
        """Tell whether a block is in the active chain."""
        return self.at_height(entry.height) is entry

    def height_of_transaction(self, transaction: Hash) -> int | None:
        """Return the height that includes a transaction, in the active chain."""
        height = self._store.get(schema.transaction_key(transaction))
        return None if height is None else int.from_bytes(height, "big")

    def totals_at(self, height: int) -> schema.BlockTotals | None:
        """Return the sums up to an active block."""
        if not 0 <= height <= MAX_INT:
            return None
        data = self._store.get(schema.totals_key(height))
        return None if data is None else schema.read_stored(schema.BlockTotals, data)

    def locator(self) -> list[Hash]:
        """Return ids from the best header back to block 0, ever further apart."""
        return self.index.locator()

    def headers_after(self, locator: Sequence[Hash], limit: int) -> list[SealedHeader]:
        """Return active headers after the first locator id that is in the active chain.

        Each extends the one before, even when the chain is being reorganised meanwhile.
        """
        last = self.index.genesis
        for block in locator[:MAX_LOCATOR]:
            entry = self.index.get(block)
            if entry is not None and self.is_active(entry):
                last = entry
                break
        headers: list[SealedHeader] = []
        while len(headers) < limit:
            entry = self.at_height(last.height + 1)
            if entry is None or entry.parent is not last:
                break
            headers.append(entry.sealed)
            last = entry
        return headers

    def wanted_bodies(self, limit: int) -> list[Hash]:
        """Return the lowest blocks on the way to the best header whose bodies are missing."""
        return self.index.missing_bodies(limit)

    # Following the heaviest branch -----------------------------------------------------------

    def _activate(self) -> None:
        """Go to the best candidate. Whatever stops this, listeners learn of the steps on disk."""
        try:
            while (best := self.index.best_candidate(self.tip)) is not self.tip:
                self._go_to(best)
        finally:
            self._report()

    def _go_to(self, best: Entry) -> None:
        """Step to a block, or to the last valid one on the way there."""
        fork = fork_point(self.tip, best)
        while self.tip is not fork:
            self._disconnect()
        for entry in path_from(fork, best):
            try:
                self._connect(entry)
            except RuleViolation as violation:
                self._condemn(entry, violation)
                return

    def _report_much(self) -> None:
        if len(self._taken_off) + len(self._put_on) >= MAX_REPORTED:
            self._report()

    def _report(self) -> None:
        """Tell the listeners of the steps since the last report."""
        change = ChainChange(tuple(self._taken_off), tuple(self._put_on))
        self._taken_off.clear()
        self._put_on.clear()
        if not change.disconnected and not change.connected:
            return
        for listener in tuple(self.listeners):
            try:
                listener(change)
            except Exception:
                _log.exception("chain.listener_failed", listener=repr(listener))

    def _connect(self, entry: Entry) -> None:
        body = self._stored_body(entry)
        parent = entry.parent
        if parent is None:
            raise StorageError("block 0 cannot be connected")
        diff = apply_block(
            self.state, self.params, parent.sealed, entry.sealed, body.transactions, self.checker
        )
        prepared = self.state.prepare(diff)
        header = entry.sealed.header
        if prepared.root != header.state_root:
            raise RuleViolation(
                "state-root", f"transactions lead to {prepared.root.hex()}, not the header's root"
            )
        writes = dict(prepared.writes)
        undo = schema.UndoRecord(tuple(prepared.undo_diff.items()))
        writes[schema.undo_key(entry.id)] = encode(undo)
        writes[schema.height_key(entry.height)] = entry.id
        writes[schema.totals_key(entry.height)] = self._totals(entry, diff)
        writes[schema.TIP_KEY] = entry.id
        for transaction in body.transactions:
            writes[schema.transaction_key(transaction.id)] = entry.height.to_bytes(8, "big")
        writes.update(chunk_writes(body))
        self._store.write(writes)
        self.state.committed(prepared)
        self.tip = entry
        self._put_on.append((entry, body))
        self._report_much()

    def _disconnect(self) -> None:
        entry, parent = self.tip, self.tip.parent
        record = self._store.get(schema.undo_key(entry.id))
        if record is None or parent is None:
            raise StorageError(f"no undo record for block {entry.id.hex()}; synchronise anew")
        undo = schema.read_stored(schema.UndoRecord, record)
        body = self._stored_body(entry)
        prepared = self.state.prepare(dict(undo.entries))
        if prepared.root != parent.sealed.header.state_root:
            raise StorageError(f"undoing block {entry.id.hex()} does not restore its parent's root")
        writes = dict(prepared.writes)
        writes[schema.undo_key(entry.id)] = None
        writes[schema.height_key(entry.height)] = None
        writes[schema.totals_key(entry.height)] = None
        writes[schema.TIP_KEY] = parent.id
        for transaction in body.transactions:
            writes[schema.transaction_key(transaction.id)] = None
        self._store.write(writes)
        self.state.committed(prepared)
        self.index.offer(entry)
        self.tip = parent
        if self._put_on and self._put_on[-1][0] is entry:
            self._put_on.pop()
        else:
            self._taken_off.append((entry, body))
        self._report_much()

    def _condemn(self, entry: Entry, violation: RuleViolation) -> None:
        _log.warning("block.invalid", block=entry.id.hex(), rule=violation.rule, why=str(violation))
        writes: Writes = {}
        for condemned in self.index.mark_invalid(entry, violation.rule):
            writes.update(
                _index_write(condemned.id, condemned.sealed, condemned.has_body, condemned.invalid)
            )
        self._store.write(writes, sync=False)

    # Storage -----------------------------------------------------------------------------------

    def _write_genesis(self) -> None:
        root = self.index.genesis
        prepared = self.state.prepare(genesis_diff(self.params))
        if prepared.root != root.sealed.header.state_root:
            raise StorageError("the database holds a state but no tip; choose an empty folder")
        writes = dict(prepared.writes)
        writes[schema.height_key(0)] = root.id
        writes[schema.totals_key(0)] = encode(schema.BlockTotals(u256(0), u256(0), u256(0)))
        writes[schema.TIP_KEY] = root.id
        self._store.write(writes)
        self.state.committed(prepared)

    def _load_index(self) -> None:
        records: dict[Hash, schema.IndexRecord] = {}
        for key, data in self._store.iterate(schema.INDEX_PREFIX):
            records[key[1:]] = schema.read_stored(schema.IndexRecord, data)
        for block, record in sorted(records.items(), key=lambda item: item[1].sealed.header.height):
            if self.index.get(record.sealed.header.parent) is None:
                # Its parent was written without sync and went with the power; peers have both.
                _log.warning("block.forgotten", block=block.hex(), why="its parent is not stored")
                continue
            entry = self.index.add(record.sealed, block, record.invalid)
            if record.has_body:
                self.index.mark_body(entry)

    def _load_tip(self) -> Entry:
        block = self._store.get(schema.TIP_KEY)
        tip = None if block is None else self.index.get(block)
        if tip is None:
            raise StorageError("the tip is not in the index; synchronise anew")
        if self.state.root() != tip.sealed.header.state_root:
            raise StorageError(
                f"the state does not belong to the tip at height {tip.height}; synchronise anew"
            )
        tip.order = 0  # of all that was ready before this start, the tip was first
        return tip

    def _stored_body(self, entry: Entry) -> BlockBody:
        body = self.body(entry.id)
        if body is None:
            raise StorageError(f"body of block {entry.id.hex()} is missing; synchronise anew")
        return body

    def _totals(self, entry: Entry, diff: StateDiff) -> bytes:
        totals = diff.get(TOTALS_KEY, self.state.get(TOTALS_KEY))
        record = Totals() if totals is None else schema.read_stored(Totals, totals)
        return encode(schema.BlockTotals(u256(entry.work), record.useful_macs, record.mined_macs))


def chain_totals(state: StateView) -> Totals:
    """Return the sums in a state."""
    data = state.get(TOTALS_KEY)
    return Totals() if data is None else schema.read_stored(Totals, data)


def _index_write(
    block: Hash, sealed: SealedHeader, has_body: bool = False, invalid: str = ""
) -> Writes:
    return {schema.index_key(block): encode(schema.IndexRecord(sealed, has_body, invalid))}
