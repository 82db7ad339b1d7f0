"""What a network may choose. Everything else is the same everywhere and lives beside its rule."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Params:
    """One network's numbers. Amounts in base units, times in seconds, windows in blocks."""

    name: str
    chain_id: int
    """In every transaction, so that none can be replayed on another network."""
    address_prefix: str
    """Human-readable part of bech32m addresses."""

    genesis_time: int
    """UTC seconds of block 0; the anchor of the difficulty schedule."""
    allocations: tuple[tuple[bytes, int], ...]
    """(address, amount) that exist at block 0; counted as emitted."""

    target_spacing: int
    """Seconds between blocks that the difficulty steers to."""
    difficulty_halflife: int
    """Seconds of lead or lag that double or halve the difficulty."""
    initial_difficulty: int
    min_difficulty: int
    """Expected MACs per block. Not below 2²⁴ outside tests: no tile may win by its shape alone."""
    max_future_seconds: int
    """How far a header's time may be ahead of a node's clock before it has to wait."""

    initial_subsidy: int
    halving_interval: int
    """Blocks between halvings of the subsidy."""

    max_block_bytes: int
    """Transactions, chunks and proof of one block together."""
    max_chunk_bytes: int
    """Blob chunks in one block, within max_block_bytes: the network's storage growth."""

    burn_numerator: int
    burn_denominator: int
    """β: a job burns at least ⌈β · MACs · subsidy ÷ D⌉, the price of pretending usefulness."""
    max_job_macs: int
    """Largest job that every node re-executes (instant mode)."""
    max_job_bytes: int
    """Largest working set of such a job: values of all its tensors."""
    block_check_macs: int
    """MACs that the settlements of one block may make a node re-execute."""
    block_check_bytes: int
    """Bytes that the settlements of one block may make a node touch."""
    check_price_per_mmac: int
    """Base units per started 10⁶ MACs, escrowed by the owner for the block that checks the job."""
    check_price_per_kib: int
    """The same per started KiB of working set."""
    posted_product_min_k: int
    """Products with at least this k are posted and checked by Freivalds instead of recomputed,"""
    posted_product_gain: int
    """where recomputing takes at least this many times the MACs of the check."""

    claim_window_base: int
    """Blocks every claimant gets, whatever the job."""
    window_macs_per_block: int
    """MACs that even a slow worker is expected to do in one block's time."""
    window_bytes_per_block: int
    """Bytes likewise."""
    window_depth_per_block: int
    """Sequential ops likewise."""
    settle_window: int
    """g: blocks a committed job stays frozen, so that nobody gains by censoring the reveal."""
    min_bond: int
    bond_basis_points: int
    """A claim's bond is the larger of min_bond and this part of the bounty, per opening."""
    max_claims_per_job: int
    """Claims that may compete for one job in one block."""
    max_deadline_blocks: int
    """How far ahead a job's deadline may lie."""
    max_events_per_height: int
    """Deadlines and windows that may end at one height; later ones move to the next."""
    max_royalty_basis_points: int
    """Largest part of a bounty that a model's contributors may take together."""
    blob_window: int
    """Blocks a blob that no model holds is kept after its last use."""

    min_fee_per_kib: int
    """Relay policy, not consensus: base units per KiB of transaction and chunks."""
    seeds: tuple[str, ...] = ()
    """host:port of nodes to try first."""
