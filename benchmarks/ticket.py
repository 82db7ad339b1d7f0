"""What one proof costs a verifier, and its size, at k = 4096."""

from typing import Any

import numpy as np

from ..consensus.ticket import Operand, Shape, Tag, check_head, check_opening, prove
from ..core.codec import encode
from ..core.ticket import Head, Opening
from .timing import median_seconds

_SIGMA = bytes(range(32))
_K = 4096
_ROWS = 1024


def run(device: str, repeats: int) -> list[dict[str, Any]]:
    """Return one row: times in milliseconds on one core, sizes in bytes."""
    if device != "cpu":
        raise SystemExit("ticket: proofs are verified on the CPU")
    random = np.random.default_rng(2)
    operand = Operand.commit(random.integers(-64, 64, (_ROWS, _K), np.int8))
    shape = Shape(_ROWS, _ROWS, _K)
    useful = prove(_SIGMA, shape, Tag(), operand, operand, (3, 5))
    idle = prove(_SIGMA, shape, Tag(), None, None, (3, 5))
    verify, verify_idle = (_milliseconds(proof, repeats) for proof in (useful, idle))
    return [
        {
            "k": _K,
            "verify_ms": round(verify, 3),
            "verify_idle_ms": round(verify_idle, 3),
            "proof_bytes": sum(len(encode(part)) for part in useful),
            "proof_idle_bytes": sum(len(encode(part)) for part in idle),
        }
    ]


def _milliseconds(proof: tuple[Head, Opening], repeats: int) -> float:
    head, opening = proof

    def verify() -> None:
        check_head(_SIGMA, head, difficulty=1)
        check_opening(_SIGMA, head, opening)

    return 1000 * median_seconds(verify, repeats)
