"""Registering a model: program, weights, texts, the shares of those who made it, its versions."""

import msgspec

from ..core.errors import RuleViolation
from ..core.hashing import ZERO_HASH
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

    Raises RuleViolation "royalty-…", "model-…", "blob-missing", "program-…", "weights-…" or
    "block-budget".
    """
    _check_royalties(state, body)
    version = _replace_previous(state, model_id, owner, body.previous)
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
        card=body.card,
        royalties=body.royalties,
        previous=body.previous,
        version=version,
        weight_roots=weight_roots,
    )
    state.write(r.model_key(model_id), model)
    state.put_model_history(model_id, r.ModelHistory(state.height))


def _replace_previous(state: State, model_id: bytes, owner: bytes, previous: bytes) -> int:
    """Make the new model the successor of the one it replaces; return its version.

    A model is replaced once, so versions form a chain and the newest is never in doubt.
    """
    if previous == ZERO_HASH:
        return 1
    replaced = state.read(r.Model, r.model_key(previous))
    if replaced is None:
        raise RuleViolation("model-previous", f"no model {previous.hex()} to replace")
    if replaced.owner != owner:
        raise RuleViolation("model-owner", "only its owner may replace a model")
    history = state.model_history(previous)
    if history.successor != ZERO_HASH:
        raise RuleViolation("model-replaced", f"replaced by {history.successor.hex()} already")
    if replaced.version >= r.MAX_MODEL_VERSION:
        raise RuleViolation("model-version", f"{r.MAX_MODEL_VERSION} versions are all it may have")
    state.put_model_history(previous, msgspec.structs.replace(history, successor=model_id))
    return replaced.version + 1


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
