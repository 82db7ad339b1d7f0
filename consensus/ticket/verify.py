"""Verifying a proof, cheap things first (protocol §7).

`check_head` costs microseconds and needs no body: a flood of fakes costs its sender real hashing.
`check_opening` hashes the opened rows, then recomputes the tile. There is no tolerance anywhere.

Who is to blame is told apart: rows that do not hash to the head's roots are somebody's wrong *body*
(BodyMismatch; the block may be fine), anything else condemns the head itself (RuleViolation).
"""

import numpy as np
from numpy.typing import NDArray

from ...core.commitment import INT8, ZERO_OPERAND_ROOT, verify_opening
from ...core.errors import BodyMismatch, RuleViolation
from ...core.hashing import Hash
from ...core.ticket import Head, Opening, Path
from .constants import MAX_DEPTH, MAX_ROWS, MIN_DEPTH, OPERAND_MAX, OPERAND_MIN, RANK, TILE
from .proof import NO_JOB, NO_NONCE, noised_tile
from .seeds import head_seeds
from .target import meets_target, target, ticket_digest
from .transcript import tile_lanes


def check_head(sigma: Hash, head: Head, difficulty: int) -> None:
    """Check shape, tile and job tag of a head, and that its ticket wins.

    `sigma` is H("header", canonical header bytes), `difficulty` the header's. Raises RuleViolation
    "ticket-shape", "ticket-tile", "ticket-job", "ticket-difficulty" or "ticket-target".
    """
    _check_shape(head)
    _check_job(head)
    limit = target(difficulty, head.k)
    a_seed, _ = head_seeds(sigma, head)
    if not meets_target(ticket_digest(a_seed, head.lanes, head.tile_row, head.tile_col), limit):
        raise RuleViolation("ticket-target", f"the ticket does not win at difficulty {difficulty}")


def check_opening(sigma: Hash, head: Head, opening: Opening) -> None:
    """Check the body of a proof whose head passed `check_head`.

    Raises BodyMismatch when the rows are not those that the head commits to; RuleViolation
    "ticket-range" when committed values exceed [−64, 63] and "ticket-lanes" when the recomputed
    transcript is not the head's.
    """
    a_rows = _opened(
        "A", head.root_a, opening.a_rows, opening.a_path, head.m, head.tile_row, head.k
    )
    b_rows = _opened(
        "B", head.root_b, opening.b_rows, opening.b_path, head.n, head.tile_col, head.k
    )
    _check_range("A", a_rows)
    _check_range("B", b_rows)
    a_seed, b_seed = head_seeds(sigma, head)
    lanes = tile_lanes(
        noised_tile(a_seed, a_rows, head.tile_row, head.k),
        noised_tile(b_seed, b_rows, head.tile_col, head.k),
    )
    if lanes != head.lanes:
        raise RuleViolation(
            "ticket-lanes",
            f"tile ({head.tile_row}, {head.tile_col}) folds to other lanes than the head's",
        )


def _check_shape(head: Head) -> None:
    for name, size in (("m", head.m), ("n", head.n)):
        if size % TILE or not TILE <= size <= MAX_ROWS:
            raise RuleViolation(
                "ticket-shape", f"{name} = {size} is not a multiple of {TILE} in {TILE}…{MAX_ROWS}"
            )
    if head.k % RANK or not MIN_DEPTH <= head.k <= MAX_DEPTH:
        raise RuleViolation(
            "ticket-shape",
            f"k = {head.k} is not a multiple of {RANK} in {MIN_DEPTH}…{MAX_DEPTH}",
        )
    if head.tile_row >= head.m // TILE or head.tile_col >= head.n // TILE:
        raise RuleViolation(
            "ticket-tile",
            f"tile ({head.tile_row}, {head.tile_col}) is outside a {head.m}×{head.n} product",
        )


def _check_job(head: Head) -> None:
    """One honest pass per header and job: a named job leaves no nonce to grind."""
    if head.job_id != NO_JOB and head.nonce != NO_NONCE:
        raise RuleViolation("ticket-job", "a head that names a job has nonce 0")
    if head.job_id == NO_JOB and head.op != 0:
        raise RuleViolation("ticket-job", f"op {head.op} of no job")


def _opened(
    side: str, root: Hash, rows: bytes, path: Path, total_rows: int, tile: int, k: int
) -> NDArray[np.int8] | None:
    """Return the opened rows of one side (16×k), or None for the zero operand."""
    if root == ZERO_OPERAND_ROOT:
        if rows or path:
            raise BodyMismatch(
                f"the zero operand {side} opens to nothing, not to {len(rows)} bytes"
            )
        return None
    if len(rows) != TILE * k:
        raise BodyMismatch(f"{len(rows)} bytes of {side} where {TILE} rows of {k} are committed")
    try:
        verify_opening(root, rows, path, total_rows, tile, INT8)
    except RuleViolation as error:
        raise BodyMismatch(f"operand {side}: {error.detail}") from None
    return np.frombuffer(rows, np.int8).reshape(TILE, k)


def _check_range(side: str, rows: NDArray[np.int8] | None) -> None:
    if rows is not None and (rows.min() < OPERAND_MIN or rows.max() > OPERAND_MAX):
        raise RuleViolation(
            "ticket-range", f"operand {side} has values outside [{OPERAND_MIN}, {OPERAND_MAX}]"
        )
