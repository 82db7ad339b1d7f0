"""The networks. Reasons that hold for all stand in params.py; those for one value stand here."""

from dataclasses import replace
from typing import Final

from ..core.errors import UserError
from ..core.keys import PrivateKey
from ..core.units import BASE_UNITS_PER_POUW
from .params import Params

MAINNET: Final = Params(
    name="mainnet",
    chain_id=1,
    address_prefix="pouw",
    genesis_time=1_798_761_600,  # 2027-01-01 00:00 UTC
    allocations=(),  # nobody owns anything before the first block
    target_spacing=60,
    difficulty_halflife=2 * 24 * 3600,
    initial_difficulty=1 << 44,  # a minute of some 300 GMAC/s: a few CPUs can start the chain
    min_difficulty=1 << 24,
    max_future_seconds=2 * 3600,
    initial_subsidy=50 * BASE_UNITS_PER_POUW,
    halving_interval=2_102_400,  # four years of minutes; 210 million POUW in all
    max_block_bytes=8 << 20,
    max_chunk_bytes=4 << 20,  # 6 GB a day at most while every block is full
    burn_numerator=1,
    burn_denominator=10,
    max_job_macs=2 * 10**9,  # 2 s of the slowest verifier (1 GMAC/s, numpy integers)
    max_job_bytes=2 << 30,  # a transformer of 23 M weights on 128 tokens counts for 1.1 GiB
    block_check_macs=4 * 10**9,
    block_check_bytes=4 << 30,  # 0.2 s at the 50 ps a metered byte stands for
    check_price_per_mmac=1_000,
    check_price_per_kib=100,
    posted_product_min_k=2_048,
    posted_product_gain=2,  # from m = 33 on where n and k are large
    claim_window_base=10,
    window_macs_per_block=30 * 10**9,  # a minute of half a GMAC/s: one old core
    window_bytes_per_block=256 << 20,
    window_depth_per_block=4_096,
    settle_window=12,
    min_bond=BASE_UNITS_PER_POUW,
    bond_basis_points=5_000,
    max_claims_per_job=16,
    max_deadline_blocks=10_080,  # a week
    max_events_per_height=8_192,  # twice the uploads that one block can hold; half a second
    max_royalty_basis_points=5_000,
    blob_window=43_200,  # a month
    min_fee_per_kib=10_000,
)

TESTNET: Final = replace(
    MAINNET,
    name="testnet",
    chain_id=2,
    address_prefix="tpouw",
    genesis_time=1_795_392_000,  # 2026-11-23 00:00 UTC
    target_spacing=30,
    difficulty_halflife=6 * 3600,
    initial_difficulty=1 << 34,
    halving_interval=4_204_800,
)

DEVNET_FAUCET: Final = PrivateKey(b"pouw devnet faucet, known to all")
"""Deliberately public: devnet coins are worth nothing and everybody may hand them out."""

DEVNET: Final = replace(
    MAINNET,
    name="devnet",
    chain_id=3,
    address_prefix="dpouw",
    genesis_time=1_795_392_000,
    allocations=((DEVNET_FAUCET.address, 1_000_000 * BASE_UNITS_PER_POUW),),
    target_spacing=2,  # people wait for it
    difficulty_halflife=120,
    initial_difficulty=1 << 24,
    max_future_seconds=60,
    claim_window_base=12,
    window_macs_per_block=50 * 10**6,  # 2 s of a miner capped to 25 MMAC/s
    max_deadline_blocks=2_000,
    blob_window=5_000,
)

TINY: Final = replace(
    DEVNET,
    name="tiny",
    chain_id=4,
    address_prefix="xpouw",
    genesis_time=1_000_000_000,
    target_spacing=1,
    difficulty_halflife=1 << 30,  # the difficulty stays where it is
    initial_difficulty=1 << 16,  # every ticket wins: tests mine in a millisecond
    min_difficulty=1 << 16,
    burn_denominator=10**9,
    max_block_bytes=2 << 20,
    max_chunk_bytes=512 << 10,
    max_job_macs=10**7,
    max_job_bytes=64 << 20,
    block_check_macs=2 * 10**7,
    block_check_bytes=128 << 20,
    posted_product_min_k=256,  # so that Freivalds runs in small tests
    posted_product_gain=0,
    claim_window_base=4,
    settle_window=3,
    max_claims_per_job=4,
    max_deadline_blocks=100,
    max_events_per_height=8,
    blob_window=50,
)

SPRINT: Final = replace(
    DEVNET,
    name="sprint",
    chain_id=5,
    address_prefix="spouw",
    genesis_time=DEVNET.genesis_time + 1,  # so that block 0 is not the devnet's
    target_spacing=1,
    difficulty_halflife=1 << 30,  # the difficulty stays where it is: luck alone decides who is next
    claim_window_base=60,  # counted in blocks that take a fraction of a second
    settle_window=30,
)
"""For experiments with mining itself: blocks as fast as the miners are allowed to find them."""

NETWORKS: Final = {params.name: params for params in (MAINNET, TESTNET, DEVNET, TINY, SPRINT)}


def network(name: str) -> Params:
    """Return the parameters of a network by name. Raises UserError naming the known ones."""
    if name not in NETWORKS:
        raise UserError(f"no network '{name}': choose one of {', '.join(NETWORKS)}")
    return NETWORKS[name]
