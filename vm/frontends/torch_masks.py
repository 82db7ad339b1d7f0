"""Masks of a traced module: booleans become the numbers 0 and 1, hiding a score adds −10⁴.

The machine has no booleans; `scores.masked_fill(mask == 0, −∞)` is scores + (1 − mask)·(−10⁴) as
far as a softmax can tell. Where a row is masked completely, the two differ: PyTorch gives NaN.
"""

from typing import Final

import numpy as np

from .torch_call import Call
from .torch_values import (
    MASKED,
    GraphWriter,
    Operand,
    Traced,
    Unsupported,
    is_masking,
    limited,
)


def hide(w: GraphWriter, scores: Traced, hidden: Operand) -> Traced:
    """Add MASKED to the scores where `hidden` is 1."""
    if isinstance(hidden, Traced):
        return w.elementwise("add", scores, w.elementwise("mul", hidden, np.asarray(MASKED)))
    return w.elementwise("add", scores, hidden * np.float32(MASKED))


def masked_fill(w: GraphWriter, call: Call) -> Traced:
    """value where the mask holds, else self."""
    return _choose(w, call.operand("mask"), call.operand("value"), call.operand("self"))


def where(w: GraphWriter, call: Call) -> Traced:
    """self where the condition holds, else other."""
    return _choose(w, call.operand("condition"), call.operand("self"), call.operand("other"))


def _choose(w: GraphWriter, condition: Operand, yes: Operand, no: Operand) -> Traced:
    """yes where the condition holds, else no. Masking a computed value adds MASKED to it."""
    if isinstance(condition, Traced):
        condition = w.truth(condition)
    if isinstance(no, Traced) and is_masking(yes):
        return hide(w, no, condition)
    if isinstance(yes, Traced) and is_masking(no):
        return hide(w, yes, w.negation(condition))
    if not isinstance(yes, Traced) and not isinstance(no, Traced):
        low, step = limited(no), limited(yes) - limited(no)
        chosen = w.elementwise("mul", condition, step)
        return w.elementwise("add", chosen, low) if low.any() else chosen
    parts = (_weighted(w, condition, yes), _weighted(w, w.negation(condition), no))
    return w.elementwise("add", *parts)


def _weighted(w: GraphWriter, weight: Operand, x: Operand) -> Operand:
    if not isinstance(weight, Traced) and not isinstance(x, Traced):
        return weight * limited(x)
    return w.elementwise("mul", weight, x)


_NONZERO: Final = {("ne", 0), ("gt", 0), ("ge", 1)}
_ZERO: Final = {("eq", 0), ("lt", 1), ("le", 0)}


def compare(op: str, w: GraphWriter, call: Call) -> Traced:
    """Integers with 0, the form in which masks are compared."""
    x, y = call.traced(), call.operand("other")
    threshold = None if isinstance(y, Traced) or y.size != 1 else y.item()
    if (op, threshold) in _NONZERO:
        return w.truth(x)
    negated = w.negation(x) if (op, threshold) in _ZERO else None
    if not isinstance(negated, Traced):
        raise Unsupported("compare integers with 0 only, as in `mask != 0`")
    return negated.viewed(call.shape)


def negate(w: GraphWriter, call: Call) -> Traced:
    """1 − x."""
    negated = w.negation(call.traced())
    return negated if isinstance(negated, Traced) else call.traced()


def conjunction(w: GraphWriter, call: Call) -> Traced:
    """Both: their product."""
    operands = [call.operand("self"), call.operand("other")]
    truths = [w.truth(v) if isinstance(v, Traced) else v.astype(np.bool_) for v in operands]
    product = w.elementwise("mul", *truths)
    return w.traced(product.name, product.shape, truth=True)
