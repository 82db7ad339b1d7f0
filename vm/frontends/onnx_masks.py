"""Booleans of an ONNX model: the numbers 0 and 1, and masks that hide scores from a softmax.

The machine has no booleans. Where(mask, −∞, scores) is scores + mask·(−10⁴) as far as a softmax can
tell, unless a row is masked completely.
"""

from typing import Final

import numpy as np

from .onnx_call import Call
from .torch_values import (
    MASKED,
    GraphWriter,
    Numbers,
    Operand,
    Traced,
    Unsupported,
    is_masking,
    limited,
)


def where(w: GraphWriter, call: Call) -> Operand:
    """yes where the condition holds, else no. Masking a computed value adds MASKED to it."""
    condition, yes, no = (call.operand(i) for i in range(3))
    shape = np.broadcast_shapes(condition.shape, yes.shape, no.shape)
    if not isinstance(condition, Traced):
        if condition.all() or not condition.any():
            return _spread(w, yes if condition.all() else no, shape)
        condition = condition.astype(np.float32)
    else:
        condition = w.truth(condition)
    if isinstance(no, Traced) and is_masking(yes):
        return _added(w, no, _times(w, condition, np.asarray(MASKED)))
    if isinstance(yes, Traced) and is_masking(no):
        return _added(w, yes, _times(w, w.negation(condition), np.asarray(MASKED)))
    if not isinstance(yes, Traced) and not isinstance(no, Traced):
        low = limited(no)
        return _added(w, _times(w, condition, limited(yes) - low), low)
    return _added(w, _times(w, condition, yes), _times(w, w.negation(condition), no))


def _spread(w: GraphWriter, x: Operand, shape: tuple[int, ...]) -> Operand:
    if isinstance(x, Traced):
        return w.spread(x, shape)
    return x if x.shape == shape else np.broadcast_to(x, shape)


def _times(w: GraphWriter, x: Operand, y: Operand) -> Operand:
    if not isinstance(x, Traced) and not isinstance(y, Traced):
        return limited(x) * limited(y)
    return w.elementwise("mul", x, y)


def _added(w: GraphWriter, x: Operand, y: Operand) -> Operand:
    for one, other in ((x, y), (y, x)):
        if isinstance(one, Traced) and not isinstance(other, Traced) and not other.any():
            return w.spread(one, np.broadcast_shapes(x.shape, y.shape))
    return w.elementwise("add", x, y)


_HOLDS: Final[dict[tuple[str, int], bool]] = {
    ("Equal", 0): False,
    ("Equal", 1): True,
    ("Greater", 0): True,
    ("GreaterOrEqual", 1): True,
    ("Less", 1): False,
    ("LessOrEqual", 0): False,
}
"""Comparisons with 0 and 1, and whether they hold for what is not zero."""
_MIRRORED: Final = {
    "Equal": "Equal",
    "Greater": "Less",
    "GreaterOrEqual": "LessOrEqual",
    "Less": "Greater",
    "LessOrEqual": "GreaterOrEqual",
}


def compare(w: GraphWriter, call: Call) -> Operand:
    """Integers with 0, the form in which masks are compared."""
    op, x, y = call.op, call.operand(0), call.operand(1)
    if not isinstance(x, Traced):
        op, x, y = _MIRRORED[op], y, x
    if not isinstance(x, Traced) or isinstance(y, Traced) or y.size != 1:
        raise Unsupported(_ADVICE)
    holds = _HOLDS.get((op, int(y.item()))) if float(y.item()).is_integer() else None
    if holds is None or ((op, y.item()) == ("Equal", 1) and not x.truth):
        raise Unsupported(_ADVICE)
    shape = np.broadcast_shapes(x.shape, y.shape)
    truth = w.truth(x)
    result = truth if holds else w.negation(truth)
    return result.viewed(shape) if isinstance(result, Traced) else result


_ADVICE: Final = "compare integers with 0 only, as in `mask != 0`"


def negate(w: GraphWriter, call: Call) -> Operand:
    return w.negation(call.traced())


def both(w: GraphWriter, call: Call) -> Operand:
    """x and y, by their product."""
    return _truth_of_product(w, *(_truth(w, call.operand(i)) for i in range(2)))


def either(w: GraphWriter, call: Call) -> Operand:
    """x or y: neither of them is false."""
    x, y = (w.negation(_truth(w, call.operand(i))) for i in range(2))
    return w.negation(_truth_of_product(w, x, y))


def _truth(w: GraphWriter, x: Operand) -> Operand:
    return w.truth(x) if isinstance(x, Traced) else (x != 0).astype(np.float32)


def _truth_of_product(w: GraphWriter, x: Operand, y: Operand) -> Traced:
    for one, other in ((x, y), (y, x)):
        if isinstance(one, Traced) and not isinstance(other, Traced) and other.all():
            return w.spread(one, np.broadcast_shapes(x.shape, y.shape))
    product = w.elementwise("mul", x, y)
    return w.traced(product.name, product.shape, truth=True)


def never(w: GraphWriter, call: Call) -> Numbers:
    """IsNaN and IsInf: no value of the machine is."""
    return np.zeros(call.traced().shape, np.bool_)
