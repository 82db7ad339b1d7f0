"""What things cost and earn: subsidy, burn, check fee, bond. Integers in base units."""

from typing import Final

from ..genesis import Params

BASIS_POINTS: Final = 10_000
_MEGA: Final = 10**6
_KIB: Final = 1024


def subsidy(params: Params, height: int) -> int:
    """Return the new money of a block: halved every `halving_interval`, none at genesis."""
    if height == 0:
        return 0
    return params.initial_subsidy >> min(63, height // params.halving_interval)


def job_burn(params: Params, macs: int, height: int, difficulty: int) -> int:
    """Return ⌈β · MACs · subsidy ÷ D⌉, what a job must destroy.

    Fixed when the job is submitted: the escrow has to be known, and a deadline is too near for the
    difficulty to move far. MACs that nobody needed cost their faker this, whatever bounty it pays
    itself.
    """
    numerator = params.burn_numerator * macs * subsidy(params, height)
    return -(-numerator // (params.burn_denominator * difficulty))


def check_fee(params: Params, check_macs: int, check_bytes: int) -> int:
    """Return what the owner pays the block whose nodes check the result."""
    megamacs, kib = -(-check_macs // _MEGA), -(-check_bytes // _KIB)
    return megamacs * params.check_price_per_mmac + kib * params.check_price_per_kib


def claim_bond(params: Params, bounty: int, openings: int) -> int:
    """Return the bond of a claim on a job that was opened again `openings` times."""
    base = max(params.min_bond, bounty * params.bond_basis_points // BASIS_POINTS)
    return base * (1 + openings)


def share_of(amount: int, basis_points: int) -> int:
    """Return a part of an amount, rounded down."""
    return amount * basis_points // BASIS_POINTS
