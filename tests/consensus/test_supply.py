"""The invariant of money sees every base unit that appears or vanishes."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pouw.consensus import records as r
from pouw.consensus.state_view import StateDiff
from pouw.consensus.supply import SupplyBroken, check_supply_change, check_whole_supply, held
from pouw.core.codec import encode
from pouw.core.errors import RuleViolation
from pouw.core.hashing import Hash
from pouw.tests.consensus.world import ALICE, BOB, COIN, FUNDS, RICH, World, plain_kit


def account(balance: int) -> bytes:
    return encode(r.Account(balance, 3))


def test_jobs_hold_their_escrow_and_bonds(world: World, plain: Hash) -> None:
    job = world.submit(plain, plain_kit().data, bounty=10 * COIN)
    record = world.job(job)
    assert record.escrow == 10 * COIN + record.check_fee + record.burn
    assert held(r.job_key(job), encode(record)) == record.escrow
    claimed = msgspec.structs.replace(record, candidates=(ALICE.address, BOB.address), bond=5)
    assert held(r.job_key(job), encode(claimed)) == record.escrow + 10
    working = msgspec.structs.replace(record, status=r.JobStatus.CLAIMED, bond=5)
    assert held(r.job_key(job), encode(working)) == record.escrow + 5
    for status in (r.JobStatus.SETTLED, r.JobStatus.EXPIRED, r.JobStatus.CANCELLED):
        ended = msgspec.structs.replace(record, status=status, bond=5)
        assert held(r.job_key(job), encode(ended)) == 0


def test_only_accounts_and_jobs_hold_money(world: World, plain: Hash) -> None:
    world.submit(plain, plain_kit().data)
    kinds = {key[:1] for key, value in world.state.items() if held(key, value)}
    assert kinds == {b"a", b"j"}
    assert {key[:1] for key in world.state} == {b"a", b"b", b"e", b"h", b"j", b"m", b"t"}


@given(st.integers(-5, 5), st.integers(-5, 5), st.integers(0, 5))
def test_a_diff_must_balance(paid: int, received: int, burned: int) -> None:
    view = {
        r.account_key(ALICE.address): account(100),
        r.account_key(BOB.address): account(50),
        r.TOTALS_KEY: encode(r.Totals(emitted=150)),
    }
    diff: StateDiff = {
        r.account_key(ALICE.address): account(100 - paid),
        r.account_key(BOB.address): account(50 + received),
        r.TOTALS_KEY: encode(r.Totals(emitted=150, burned=burned)),
    }
    if paid - received == burned:
        check_supply_change(view, diff)
    else:
        with pytest.raises(SupplyBroken):
            check_supply_change(view, diff)


def test_created_and_deleted_records_count() -> None:
    view = {r.account_key(ALICE.address): account(7), r.TOTALS_KEY: encode(r.Totals(emitted=7))}
    moved: StateDiff = {
        r.account_key(ALICE.address): None,
        r.account_key(BOB.address): account(7),
    }
    check_supply_change(view, moved)
    with pytest.raises(SupplyBroken):
        check_supply_change(view, {r.account_key(ALICE.address): None})
    with pytest.raises(SupplyBroken):
        check_supply_change(view, {r.account_key(BOB.address): account(1)})


def test_the_whole_state_adds_up_to_what_was_emitted(world: World) -> None:
    world.mine()
    expected = len(RICH) * FUNDS + world.params.initial_subsidy
    assert check_whole_supply(world.state.items()) == expected
    forged = {**world.state, r.account_key(b"f" * 32): account(1)}
    with pytest.raises(SupplyBroken):
        check_whole_supply(forged.items())
    assert check_whole_supply([]) == 0


def test_a_broken_supply_is_nobodys_rule_violation() -> None:
    """A node must stop, not blame the peer that sent the block."""
    assert not issubclass(SupplyBroken, RuleViolation)
