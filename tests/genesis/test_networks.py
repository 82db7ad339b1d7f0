"""The table of numbers: found by name, and consistent in itself."""

from dataclasses import FrozenInstanceError

import pytest
from pouw.core.block import MAX_BLOCK_CHUNKS
from pouw.core.codec import MAX_INT
from pouw.core.errors import UserError
from pouw.core.keys import format_address, parse_address
from pouw.core.ticket import MAX_OPENING_BYTES
from pouw.core.transaction import MAX_TRANSACTION_BYTES
from pouw.genesis import DEVNET, MAINNET, NETWORKS, SPRINT, TESTNET, TINY, Params, network
from pouw.genesis.networks import DEVNET_FAUCET

EACH = pytest.mark.parametrize("params", NETWORKS.values(), ids=lambda params: params.name)


def test_networks_are_found_by_name() -> None:
    assert [network(name) for name in NETWORKS] == [MAINNET, TESTNET, DEVNET, TINY, SPRINT]
    with pytest.raises(UserError, match="mainnet, testnet, devnet, tiny, sprint"):
        network("Mainnet")


def test_nothing_of_one_network_is_valid_on_another() -> None:
    for field in ("name", "chain_id", "address_prefix"):
        assert len({getattr(params, field) for params in NETWORKS.values()}) == len(NETWORKS)
    text = format_address(DEVNET_FAUCET.address, DEVNET.address_prefix)
    with pytest.raises(UserError, match="another network"):
        parse_address(text, MAINNET.address_prefix)


def test_real_networks_start_with_nothing_and_cannot_saturate() -> None:
    for params in (MAINNET, TESTNET):
        assert params.allocations == ()
        assert params.settle_window >= 12
    for params in (MAINNET, TESTNET, DEVNET, SPRINT):
        assert params.min_difficulty >= 1 << 24
    assert dict(DEVNET.allocations)[DEVNET_FAUCET.address] > 0


@EACH
def test_numbers_fit_each_other(params: Params) -> None:
    assert params.min_difficulty <= params.initial_difficulty
    assert params.max_chunk_bytes < params.max_block_bytes
    assert params.max_block_bytes > MAX_OPENING_BYTES + MAX_TRANSACTION_BYTES
    assert params.max_job_macs <= params.block_check_macs
    assert params.max_job_bytes <= params.block_check_bytes
    assert params.burn_numerator > 0 and params.burn_denominator > 0
    assert params.max_royalty_basis_points <= 10_000
    shortest = params.claim_window_base + 1 + 2 + params.settle_window + 1
    assert shortest < params.max_deadline_blocks
    assert params.max_claims_per_job > 0 and params.max_events_per_height > 0
    assert all(0 < amount <= MAX_INT for _, amount in params.allocations)


def test_one_block_of_uploads_does_not_fill_the_agenda_of_a_real_network() -> None:
    for params in (MAINNET, TESTNET, DEVNET):
        assert params.max_events_per_height > MAX_BLOCK_CHUNKS


def test_jobs_of_the_tiny_network_fit_its_deadlines() -> None:
    """A claim's window grows with MACs ÷ D: at D = 1 no job on it could ever be claimed."""
    macs = 10**6
    assert 2 * macs // TINY.initial_difficulty < TINY.max_deadline_blocks // 2


def test_parameters_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        MAINNET.chain_id = 2  # type: ignore[misc]
