"""Packages: their order against fractions, and a block's choice against every possible one."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise, product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pouw.chain.chainstate import Chain
from pouw.chain.mempool import BlockRoom, Mempool
from pouw.chain.mempool import selection as selection_module
from pouw.chain.mempool.entry import Entry
from pouw.chain.mempool.ground import Ground
from pouw.chain.mempool.packages import PackageQueue, packages_of, sort_rate
from pouw.chain.mempool.selection import select
from pouw.core.hashing import digest
from pouw.core.transaction import Bundle
from pouw.genesis import Params
from pouw.tests.chain.conftest import OpenChain
from pouw.tests.chain.workshop import FAUCET, FEE, FUNDED, KEYS, pay

SIZE = st.integers(100, 2**31 - 1)
AMOUNT = st.integers(0, 2**63 - 1)


def entry(fee: int, size: int, nonce: int = 0, name: int = 0) -> Entry:
    bundle = Bundle(pay(KEYS[name], FAUCET.address, 1, nonce, fee=fee), ())
    identity = digest("tx", bytes([name, nonce]))
    return Entry(identity, bundle, bytes([name]) * 32, size, 0, 9, None, (), size)


@given(AMOUNT, SIZE, AMOUNT, SIZE)
def test_rates_compare_as_cross_products(fee: int, size: int, other: int, other_size: int) -> None:
    left, right = fee * other_size, other * size
    rate, other_rate = sort_rate(fee, size), sort_rate(other, other_size)
    assert (rate < other_rate) == (left < right)
    assert (rate == other_rate) == (left == right)


def test_rates_that_all_but_agree_are_told_apart() -> None:
    size = 2**31 - 1
    assert sort_rate(size - 1, size) > sort_rate(size - 2, size - 1)
    assert sort_rate(2 * size, size) == sort_rate(2, 1)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 5)), max_size=12))
def test_packages_are_the_best_beginnings(shape: list[tuple[int, int]]) -> None:
    entries = [entry(fee, size, nonce) for nonce, (fee, size) in enumerate(shape)]
    packages = packages_of(entries)
    assert [each for package in packages for each in package.entries] == entries
    rates = [Fraction(package.fee, package.size) for package in packages]
    assert all(before >= after for before, after in pairwise(rates))
    for package, rate in zip(packages, rates, strict=True):
        for count in range(1, len(package.entries)):
            fee = sum(each.fee for each in package.entries[:count])
            size = sum(each.size for each in package.entries[:count])
            assert Fraction(fee, size) < rate, "a beginning that pays as well is its own package"


def test_a_queue_gives_senders_in_turn_and_equals_by_id() -> None:
    rich = packages_of([entry(9, 1, 0, name=1), entry(2, 1, 1, name=1)])
    poor = packages_of([entry(5, 1, 0, name=2)])
    equal = packages_of([entry(5, 1, 0, name=3)])
    found = []
    queue = PackageQueue([poor, rich, equal])
    while (package := queue.pop()) is not None:
        found.append(package)
        queue.follow()
    assert [each.fee for each in found] == [9, 5, 5, 2]
    assert found[1].first < found[2].first


# What a block takes ------------------------------------------------------------------------------


class SmallRoom(BlockRoom):
    """Room for so many transactions."""

    count = 0

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self._transactions = self.count


def every_choice(fees: list[list[int]], room: int) -> Iterator[int]:
    """Yield what each set of beginnings pays that has room."""
    for counts in product(*(range(len(each) + 1) for each in fees)):
        if sum(counts) <= room:
            yield sum(sum(each[:count]) for each, count in zip(fees, counts, strict=True))


FEES = st.lists(st.lists(st.integers(1, 30), max_size=4), min_size=1, max_size=4)
BRIEFLY = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def chain(new_chain: OpenChain) -> Chain:
    return new_chain(FUNDED)


@BRIEFLY
@given(fees=FEES, room=st.integers(1, 8))
def test_a_block_misses_less_than_one_package_of_the_best(
    chain: Chain, fees: list[list[int]], room: int
) -> None:
    """As for every greedy knapsack, what does not fit at the first time is all that is lost."""
    taken, largest = chosen_fees(chain, fees, room)
    best = max(every_choice(fees, room))
    assert best - largest < taken <= best


@BRIEFLY
@given(fees=FEES, room=st.integers(1, 8))
def test_falling_fees_are_chosen_from_perfectly(
    chain: Chain, fees: list[list[int]], room: int
) -> None:
    """With one size and no child that pays more than its parent, every package is one."""
    falling = [sorted(each, reverse=True) for each in fees]
    assert chosen_fees(chain, falling, room)[0] == max(every_choice(falling, room))


def chosen_fees(chain: Chain, fees: list[list[int]], room: int) -> tuple[int, int]:
    """Return what a block's transactions pay, and what the best package would."""
    senders = [
        packages_of([entry(fee, 100, nonce, name) for nonce, fee in enumerate(each)])
        for name, each in enumerate(fees)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selection_module, "BlockRoom", SmallRoom)
        patch.setattr(SmallRoom, "count", room)
        selection = select(Ground(chain), senders)
    assert selection.earned == sum(each.transaction.payload.fee for each in selection.bundles)
    assert not selection.doubtful
    return selection.earned, max((p.fee for each in senders for p in each), default=1)


def test_a_child_pulls_its_parent(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection_module, "BlockRoom", SmallRoom)
    monkeypatch.setattr(SmallRoom, "count", 3)
    pool = Mempool(chain)

    def send(who: int, nonce: int, fee: int) -> Bundle:
        bundle = Bundle(pay(KEYS[who], FAUCET.address, 1, nonce, fee=fee * FEE), ())
        pool.add(bundle)
        return bundle

    parent, child, tail = (send(0, nonce, fee) for nonce, fee in enumerate((1, 9, 1)))
    single, weak = send(1, 0, 4), send(2, 0, 2)
    chosen = pool.selection().bundles
    assert chosen == (parent, child, single)
    assert tail not in chosen and weak not in chosen
    monkeypatch.setattr(SmallRoom, "count", 1)
    pool.add(Bundle(pay(KEYS[3], FAUCET.address, 1, 0, fee=FEE), ()))
    assert pool.selection().bundles == (single,), "half a package pays less than another whole"


def test_equal_pools_select_alike_however_they_came(new_chain: OpenChain) -> None:
    bundles = [
        Bundle(pay(key, FAUCET.address, 1, nonce, fee=FEE), ())
        for nonce in range(3)
        for key in KEYS
    ]
    forwards, backwards = Mempool(new_chain(FUNDED)), Mempool(new_chain(FUNDED))
    for bundle in bundles:
        forwards.add(bundle)
    for bundle in sorted(bundles, key=lambda each: each.transaction.payload.sender, reverse=True):
        backwards.add(bundle)
    assert forwards.selection().bundles == backwards.selection().bundles
    assert set(forwards.selection().bundles) == set(bundles)


def test_a_selection_is_made_once_until_something_changes(chain: Chain) -> None:
    pool = Mempool(chain)
    first = pool.selection()
    assert pool.selection() is first
    pool.add(Bundle(pay(KEYS[0], FAUCET.address, 1, 0), ()))
    assert pool.selection() is not first
