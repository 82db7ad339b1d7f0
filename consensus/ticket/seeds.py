"""Seeds of the noise (protocol §4): everything a ticket depends on is bound before noise is known.

B's seed depends on the header and B alone, so that B is noised once per block template and serves
every A and nonce; A's seed binds the rest, with the job that the product belongs to.
"""

from ...core.hashing import Hash, digest, u32
from ...core.ticket import Head


def seed_b(sigma: Hash, root_b: Hash, n: int, k: int) -> Hash:
    """Return the seed of B's noise. `sigma` is H("header", canonical header bytes)."""
    return digest("seed-B", sigma, root_b, u32(n), u32(k))


def seed_a(b_seed: Hash, root_a: Hash, m: int, nonce: bytes, job_id: Hash, op: int) -> Hash:
    """Return the seed of A's noise, which also keys the ticket digests. `nonce` is 8 bytes."""
    return digest("seed-A", b_seed, root_a, u32(m), nonce, job_id, u32(op))


def head_seeds(sigma: Hash, head: Head) -> tuple[Hash, Hash]:
    """Return (seed_A, seed_B) of a proof under the header hashed to `sigma`."""
    b_seed = seed_b(sigma, head.root_b, head.n, head.k)
    return seed_a(b_seed, head.root_a, head.m, head.nonce, head.job_id, head.op), b_seed
