"""Registering a model: program, weights, licence and the shares of those who made it."""

from ..core.errors import RuleViolation
from ..core.transaction import RegisterModel
from . import records as r
from .blobs import pin_blob, require_blob
from .budget import Budget
from .jobs.checker import ResultChecker
from .state import State


def apply_register(
    state: State,
    model_id: bytes,
    owner: bytes,
    body: RegisterModel,
    checker: ResultChecker,
    budget: Budget,
) -> None:
    """Register a model under its transaction's id; its blobs are kept from now on.

    Raises RuleViolation "blob-missing", "royalty-…", "program-…", "weights-…" or "block-budget".
    """
    _check_royalties(state, body)
    program = require_blob(state, body.program, "program")
    weights = require_blob(state, body.weights, "weights")
    budget.spend(0, program.size + weights.size)
    budget.spend(0, checker.loading_bytes(body.program) + checker.commitment_bytes(body.program))
    weight_roots = checker.register(body.program, body.weights)
    pin_blob(state, body.program)
    pin_blob(state, body.weights)
    model = r.Model(
        owner=owner,
        name=body.name,
        program=body.program,
        weights=body.weights,
        licence=body.licence,
        royalties=body.royalties,
        weight_roots=weight_roots,
        height=state.height,
    )
    state.write(r.model_key(model_id), model)


def _check_royalties(state: State, body: RegisterModel) -> None:
    total = sum(share.basis_points for share in body.royalties)
    if total > state.params.max_royalty_basis_points:
        raise RuleViolation(
            "royalty-total",
            f"{total} basis points, {state.params.max_royalty_basis_points} are allowed",
        )
    if any(share.basis_points == 0 for share in body.royalties):
        raise RuleViolation("royalty-zero", "a share of nothing")
    if len({share.to for share in body.royalties}) != len(body.royalties):
        raise RuleViolation("royalty-twice", "an address has two shares")
