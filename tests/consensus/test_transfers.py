"""Transfers."""

import pytest
from pouw.core.codec import MAX_INT
from pouw.core.transaction import Output, Transfer
from pouw.tests.consensus.world import ALICE, BOB, FUNDS, MINER, STRANGER, World


def pay(*outputs: tuple[bytes, int]) -> Transfer:
    return Transfer(tuple(Output(to, amount) for to, amount in outputs))


def test_money_moves_and_the_fee_goes_to_the_payout_address(world: World) -> None:
    before = world.balance(MINER)
    transfer = pay((STRANGER.address, 5), (BOB.address, 7), (STRANGER.address, 1))
    world.mine(world.sign(ALICE, transfer, fee=100))
    assert world.balance(ALICE) == FUNDS - 5 - 7 - 1 - 100
    assert (world.balance(STRANGER), world.balance(BOB)) == (6, FUNDS + 7)
    assert world.balance(MINER) == before + world.params.initial_subsidy + 100


def test_paying_oneself_costs_the_fee_only(world: World) -> None:
    world.mine(world.sign(ALICE, pay((ALICE.address, FUNDS - 9)), fee=9))
    assert world.balance(ALICE) == FUNDS - 9


def test_everything_may_be_spent_and_the_nonce_stays(world: World) -> None:
    world.mine(world.sign(ALICE, pay((BOB.address, FUNDS))))
    account = world.scratch().account(ALICE.address)
    assert (account.balance, account.nonce) == (0, 1)


@pytest.mark.parametrize(
    ("rule", "transfer"),
    [
        ("transfer-empty", pay()),
        ("transfer-zero", pay((BOB.address, 1), (BOB.address, 0))),
        ("balance", pay((BOB.address, FUNDS + 1))),
        ("balance", pay((BOB.address, FUNDS), (BOB.address, 1))),
        ("balance", pay(*[(BOB.address, MAX_INT)] * 1000)),
    ],
)
def test_refusals(world: World, rule: str, transfer: Transfer) -> None:
    world.refuse(rule, world.sign(ALICE, transfer))


def test_the_fee_counts(world: World) -> None:
    world.refuse("balance", world.sign(ALICE, pay((BOB.address, FUNDS)), fee=1))
    world.refuse("balance", world.sign(ALICE, pay((BOB.address, 1)), fee=MAX_INT))
    world.refuse("balance", world.sign(STRANGER, pay((BOB.address, 1))))
