"""Block 0 and its state."""

from dataclasses import replace

import pytest
from pouw.consensus import records as r
from pouw.consensus.genesis_block import EMPTY_HEAD, genesis_block
from pouw.consensus.supply import check_whole_supply
from pouw.consensus.transition import genesis_diff
from pouw.core.codec import decode
from pouw.core.hashing import ZERO_HASH
from pouw.core.stateproof import state_root
from pouw.genesis import DEVNET, MAINNET, NETWORKS, Params


@pytest.mark.parametrize("params", NETWORKS.values(), ids=lambda params: params.name)
def test_the_state_holds_the_allocations_and_nothing_else(params: Params) -> None:
    state = {key: value for key, value in genesis_diff(params).items() if value is not None}
    balances = {
        key[1:]: decode(r.Account, value, r.RECORD_LIMIT).balance
        for key, value in state.items()
        if key != r.TOTALS_KEY
    }
    assert balances == dict(params.allocations)
    assert check_whole_supply(state.items()) == sum(balances.values())
    block = genesis_block(params)
    assert block.header.state_root == state_root(state.items())
    assert (block.header.height, block.header.time) == (0, params.genesis_time)
    assert (block.header.work, block.head) == (0, EMPTY_HEAD)
    assert EMPTY_HEAD.job_id == ZERO_HASH


def test_every_network_has_its_own_first_block() -> None:
    assert len({genesis_block(params).id for params in NETWORKS.values()}) == len(NETWORKS)
    assert genesis_block(MAINNET) == genesis_block(replace(MAINNET))
    assert genesis_block(DEVNET).id != genesis_block(replace(DEVNET, allocations=())).id


def test_two_allocations_to_one_address_add_up() -> None:
    address = b"a" * 32
    params = replace(MAINNET, allocations=((address, 1), (address, 2)))
    state = {key: value for key, value in genesis_diff(params).items() if value is not None}
    assert check_whole_supply(state.items()) == 3
    assert decode(r.Account, state[r.account_key(address)], 99).balance == 3
