"""The pool against a naive one that keeps lists, judges everything anew and sorts by fractions."""

import tempfile
from fractions import Fraction
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from pouw.chain.kv import LevelDB
from pouw.chain.mempool import Limits, Mempool
from pouw.chain.mempool.entry import make_entry
from pouw.chain.mempool.ground import Ground
from pouw.consensus.budget import Budget
from pouw.consensus.state import State
from pouw.consensus.state_view import Overlay
from pouw.consensus.transition import apply_transaction, begin_block
from pouw.core.codec import encode
from pouw.core.errors import PouwError, RuleViolation
from pouw.core.hashing import Hash
from pouw.core.keys import PrivateKey
from pouw.core.transaction import Bundle, UploadBlob
from pouw.tests.chain.workshop import (
    FEE,
    FUNDED,
    FUNDS,
    KEYS,
    Forge,
    feed,
    open_chain,
    pay,
    transaction_of,
    uploads,
)

SENDERS = KEYS[:4]
LIMITS = Limits(total_bytes=24_000, sender_transactions=4, sender_bytes=2_000)
RELAY = FUNDED.min_fee_per_kib
BLOBS = (b"first", b"second")


class NaivePool:
    """What docs/mempool.md says, in the plainest way. Bundles by sender, ascending by nonce."""

    def __init__(self) -> None:
        self.chains: dict[bytes, list[Bundle]] = {}
        self.floor = RELAY

    def add(self, base: State, judge: "Judge", bundle: Bundle) -> bool:
        """Take a bundle in if it is welcome."""
        payload = bundle.transaction.payload
        address, size = payload.sender_address, len(encode(bundle))
        mine = self.chains.get(address, [])
        first = base.account(address).nonce
        at = payload.nonce - first
        if bundle in mine or payload.fee * 1024 < size * self.floor or not 0 <= at <= len(mine):
            return False
        relay = -(-size * RELAY // 1024)
        replaced = mine[at : at + 1]
        changed = [*mine[:at], bundle, *mine[at + 1 :]]
        if len(changed) > LIMITS.sender_transactions:
            return False
        if sum(len(encode(each)) for each in changed) > LIMITS.sender_bytes:
            return False
        rivals = [each for each in self.others(address) if wants(each) == wants(bundle) is not None]
        kept = judge.valid(base, changed)
        if len(kept) <= at:
            return False
        for out, lost in [
            *((each, changed[len(kept) :]) for each in replaced),
            *((each, self.after(each)) for each in rivals),
        ]:
            old = out.transaction.payload.fee
            rise = max(-(-old // 10), relay)
            if payload.fee < old + rise + sum(each.transaction.payload.fee for each in lost):
                return False
        self.chains[address] = kept
        for rival in rivals:
            theirs = self.chains[rival.transaction.payload.sender_address]
            del theirs[theirs.index(rival) :]
        self.trim(judge)
        return bundle in self.chains.get(address, [])

    def others(self, address: bytes) -> list[Bundle]:
        return [each for owner, all_ in self.chains.items() if owner != address for each in all_]

    def after(self, bundle: Bundle) -> list[Bundle]:
        theirs = self.chains[bundle.transaction.payload.sender_address]
        return theirs[theirs.index(bundle) + 1 :]

    def trim(self, judge: "Judge") -> None:
        while judge.weight(self) > LIMITS.total_bytes:
            tails = [packages(chain)[-1] for chain in self.chains.values() if chain]
            worst = min(tails, key=lambda tail: (rate(tail), tail[0].transaction.id))
            fee, size = sums(worst)
            self.floor = max(self.floor, fee * 1024 // size + RELAY)
            owner = worst[0].transaction.payload.sender_address
            self.chains[owner] = self.chains[owner][: -len(worst)]

    def follow(self, base: State, judge: "Judge", back: list[Bundle]) -> None:
        """Judge everything on another tip, with what comes back before what waits."""
        returning: dict[bytes, list[Bundle]] = {}
        for bundle in back:
            returning.setdefault(bundle.transaction.payload.sender_address, []).append(bundle)
        for address in {*self.chains, *returning}:
            nonce = base.account(address).nonce
            all_ = [*returning.get(address, []), *self.chains.get(address, [])]
            due = [each for each in all_ if each.transaction.payload.nonce >= nonce]
            due = due[: LIMITS.sender_transactions]
            while sum(len(encode(each)) for each in due) > LIMITS.sender_bytes:
                due.pop()
            self.chains[address] = judge.valid(base, due)
        self.trim(judge)

    def ids(self) -> set[Hash]:
        return {each.transaction.id for chain in self.chains.values() for each in chain}


class Judge:
    """The rules, one transaction after the other on a state."""

    def __init__(self, machine: "PoolMachine") -> None:
        self._chain = machine.chain

    def base(self) -> State:
        chain = self._chain
        state = State(Overlay(chain.state), chain.params, chain.tip.height + 1)
        begin_block(state, chain.tip.sealed, self._difficulty())
        return state

    def valid(self, base: State, bundles: list[Bundle]) -> list[Bundle]:
        """Return the bundles up to the first that breaks a rule."""
        state = State(Overlay(base.overlay), base.params, base.height)
        budget = Budget(base.params)
        for number, bundle in enumerate(bundles):
            try:
                apply_transaction(
                    state, bundle.transaction, self._difficulty(), self._chain.checker, budget
                )
            except RuleViolation:
                return bundles[:number]
        return bundles

    def weight(self, pool: NaivePool) -> int:
        state = Ground(self._chain).state
        return sum(
            make_entry(state, each, bytes(32), bytes(32), len(encode(each)), 0).weight
            for chain in pool.chains.values()
            for each in chain
        )

    def _difficulty(self) -> int:
        return self._chain.index.context(self._chain.tip).difficulty(self._chain.params)


def wants(bundle: Bundle) -> tuple[bytes, int] | None:
    body = bundle.transaction.payload.body
    return (body.root, body.first_chunk) if isinstance(body, UploadBlob) else None


def sums(bundles: list[Bundle]) -> tuple[int, int]:
    fee = sum(each.transaction.payload.fee for each in bundles)
    return fee, sum(len(encode(each)) for each in bundles)


def rate(bundles: list[Bundle]) -> Fraction:
    return Fraction(*sums(bundles))


def packages(chain: list[Bundle]) -> list[list[Bundle]]:
    """Cut off, again and again, the shortest of the best paying beginnings."""
    found: list[list[Bundle]] = []
    while chain:
        best = max(range(1, len(chain) + 1), key=lambda n: (rate(chain[:n]), -n))
        found.append(chain[:best])
        chain = chain[best:]
    return found


class PoolMachine(RuleBasedStateMachine):
    """Sends, mines and reorganises at random; both pools must hold the same."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = LevelDB(Path(self.folder.name) / "db")
        self.forge = Forge(FUNDED)
        self.chain = open_chain(self.store, FUNDED)
        self.judge = Judge(self)
        self.naive = NaivePool()
        self.pool = Mempool(self.chain, lambda: 0, LIMITS)
        self.included: list[Bundle] = []

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    @rule(
        sender=st.sampled_from(SENDERS),
        ahead=st.sampled_from([-2, -1, 0, 0, 0, 0, 1]),
        fee=st.integers(1, 40),
        amount=st.sampled_from([1, 1, 1, FUNDS // 3, FUNDS - 20 * FEE]),
    )
    def send(self, sender: PrivateKey, ahead: int, fee: int, amount: int) -> None:
        """Offer a payment, mostly with the next nonce."""
        nonce = max(0, self.pool.pending_nonce(sender.address) + ahead)
        self.offer(Bundle(pay(sender, KEYS[5].address, amount, nonce, fee=fee * FEE // 10), ()))

    @rule(sender=st.sampled_from(SENDERS), fee=st.integers(1, 40), data=st.sampled_from(BLOBS))
    def upload(self, sender: PrivateKey, fee: int, data: bytes) -> None:
        """Offer a blob that others may want to upload, too."""
        nonce = self.pool.pending_nonce(sender.address)
        self.offer(blob_bundle(sender, data, nonce, fee))

    def offer(self, bundle: Bundle) -> None:
        """Offer a bundle to both pools."""
        naive = self.chain.height_of_transaction(bundle.transaction.id) is None and self.naive.add(
            self.judge.base(), self.judge, bundle
        )
        try:
            self.pool.add(bundle)
            taken = True
        except PouwError:
            taken = False
        assert taken == naive

    @rule(count=st.integers(0, 4))
    def mine(self, count: int) -> None:
        """Put a block of what waits on the tip."""
        self.connect([bundle for _, bundle in self.pool.bundles()][:count])

    @rule(senders=st.sets(st.sampled_from(SENDERS)), data=st.sampled_from(BLOBS))
    def mine_others(self, senders: set[PrivateKey], data: bytes) -> None:
        """Put a block on the tip that nobody here has seen anything of."""
        bundles: list[Bundle] = []
        for number, sender in enumerate(sorted(senders, key=lambda key: key.address)):
            nonce = self.forge.account(self.chain.tip.id, sender.address).nonce
            spent = Bundle(pay(sender, KEYS[5].address, FUNDS // 5, nonce, fee=FEE), ())
            bundles.append(blob_bundle(sender, data, nonce, 10) if number == 0 else spent)
        self.connect(bundles)

    def connect(self, bundles: list[Bundle]) -> None:
        """Mine a block on the tip, if these can make one."""
        block = self.forge.mine(self.chain.tip.id, bundles)
        if block.id not in self.forge.states:
            return
        feed(self.chain, block)
        self.included = bundles
        self.naive.follow(self.judge.base(), self.judge, [])

    @rule(again=st.booleans())
    def reorganise(self, again: bool) -> None:
        """Take the tip off for two other blocks, the first maybe with some of the same."""
        parent = self.chain.tip.parent
        if parent is None:
            return
        same = self.included[:1] if again else []
        first = self.forge.mine(parent.id, same, miner=KEYS[4])
        if first.id not in self.forge.states:
            return
        old = self.included
        feed(self.chain, first, self.forge.mine(first.id, miner=KEYS[4]))
        least = [each for each in old if each not in same and pays_relay(each)]
        self.naive.follow(self.judge.base(), self.judge, least)
        self.included = []

    @invariant()
    def both_hold_the_same(self) -> None:
        """Compare everything that can be seen."""
        assert {identity for identity, _ in self.pool.bundles()} == self.naive.ids()
        assert self.pool.least_rate() == self.naive.floor
        assert len(self.pool) == len(self.naive.ids())
        for sender in self.pool.senders():
            expected = packages([entry.bundle for entry in sender.entries])
            found = [[entry.bundle for entry in each.entries] for each in sender.packages]
            assert found == expected


def pays_relay(bundle: Bundle) -> bool:
    return bundle.transaction.payload.fee * 1024 >= len(encode(bundle)) * RELAY


def blob_bundle(sender: PrivateKey, data: bytes, nonce: int, fee: int) -> Bundle:
    (part,) = uploads(sender, data, nonce, each=1)
    body = part.transaction.payload.body
    return Bundle(transaction_of(sender, body, nonce, fee * FEE // 10), part.chunks)


PoolMachine.TestCase.settings = settings(max_examples=12, stateful_step_count=30, deadline=None)
test_pool_and_naive_pool_agree = PoolMachine.TestCase
