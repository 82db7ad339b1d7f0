"""Nodes of an ONNX model that depend on constants only, computed while the model is read.

Exporters compute shapes, positions and masks by chains of small ops; with a fixed item shape all of
that is constant. Only the ops below are computed, and together they may make no more than
`MAX_FOLDED` numbers: a file of a few bytes can ask for any amount.
"""

from collections.abc import Callable, Mapping
from math import prod
from typing import Any, Final, TypeAlias

import numpy as np
from onnx import TensorProto

from .onnx_call import Call, axis_of
from .onnx_shapes import reshaped, sections, slices, squeezed, unsqueezed
from .torch_values import Numbers, Unsupported

MAX_FOLDED: Final = 2**27
"""Numbers of all folded results together."""

Fold: TypeAlias = Callable[[Call], Numbers | tuple[Numbers, ...]]

DTYPES: Final[Mapping[int, type[np.generic]]] = {
    TensorProto.FLOAT: np.float32,
    TensorProto.DOUBLE: np.float64,
    TensorProto.FLOAT16: np.float16,
    TensorProto.BFLOAT16: np.float32,
    TensorProto.INT8: np.int8,
    TensorProto.INT16: np.int16,
    TensorProto.INT32: np.int32,
    TensorProto.INT64: np.int64,
    TensorProto.UINT8: np.uint8,
    TensorProto.UINT16: np.uint16,
    TensorProto.UINT32: np.uint32,
    TensorProto.UINT64: np.uint64,
    TensorProto.BOOL: np.bool_,
}


def dtype_of(code: int) -> type[np.generic]:
    """Return the dtype of an ONNX type. bfloat16 becomes float32."""
    found = DTYPES.get(code)
    if found is None:
        raise Unsupported("convert to floats, integers or booleans only")
    return found


class Folder:
    """Computes constant nodes within one budget."""

    def __init__(self) -> None:
        self._left = MAX_FOLDED

    def fold(self, call: Call) -> tuple[Numbers, ...]:
        """Return the node's outputs. Raises Unsupported; ValueError where operands do not fit."""
        compute = FOLD.get(call.op)
        if compute is None:
            raise Unsupported(f"{call.op} of constants: let the exporter fold constants")
        self._take(_bound(call))
        with np.errstate(all="ignore"):
            result = compute(call)
        return result if isinstance(result, tuple) else (np.asarray(result),)

    def _take(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise Unsupported(f"constants computed in the model exceed {MAX_FOLDED:,} numbers")


def _bound(call: Call) -> int:
    """Bound the numbers that a node makes (and a product multiplies), before it makes them."""
    arrays = [call.array(i) for i in range(len(call.operands)) if call.operands[i] is not None]
    if call.op == "ConstantOfShape":
        return prod(max(v, 0) for v in call.lengths(0) or ())
    if call.op == "Range":
        return len(_range(call))
    if call.op == "Expand":
        return prod(np.broadcast_shapes(arrays[0].shape, call.lengths(1) or ()))
    if call.op == "Tile":
        return arrays[0].size * prod(max(v, 0) for v in call.lengths(1) or ())
    if call.op == "Gather":
        axis = axis_of(call.integer("axis", 0), arrays[0].ndim)
        return arrays[0].size // max(1, arrays[0].shape[axis]) * arrays[1].size
    if call.op == "MatMul":
        return max(1, arrays[0].size) * max(1, arrays[1].shape[-1])
    if call.op in _BROADCASTING:
        return prod(np.broadcast_shapes(*(array.shape for array in arrays)))
    return sum(array.size for array in arrays)


def _range(call: Call) -> range:
    start, stop, step = (call.array(i).item() for i in range(3))
    if not all(isinstance(v, int) for v in (start, stop, step)):
        raise Unsupported("ranges of integers only")
    return range(start, stop, step)


def _constant(call: Call) -> Numbers:
    for name, dtype in (
        ("value_float", np.float32),
        ("value_floats", np.float32),
        ("value_int", np.int64),
        ("value_ints", np.int64),
    ):
        if name in call.attributes:
            return np.asarray(call.attributes[name], dtype)
    value = call.attributes.get("value")
    if not isinstance(value, np.ndarray):
        raise Unsupported("constants are tensors of numbers only")
    return value


def _constant_of_shape(call: Call) -> Numbers:
    value = call.attributes.get("value", np.zeros(1, np.float32))
    return np.full(call.lengths(0) or (), np.asarray(value).reshape(()), np.asarray(value).dtype)


def _shape(call: Call) -> Numbers:
    cut = slice(call.integer("start", 0), call.attributes.get("end"))
    return np.asarray(call.array(0).shape[cut], np.int64)


def _gather(call: Call) -> Numbers:
    data, axis = call.array(0), call.integer("axis", 0)
    return np.take(data, call.array(1), axis=axis_of(axis, data.ndim))


def _divide(call: Call) -> Numbers:
    x, y = call.array(0), call.array(1)
    if x.dtype.kind == "f":
        return x / y
    if not y.all():
        raise Unsupported("it divides by zero")
    return ((np.abs(x) // np.abs(y)) * (np.sign(x) * np.sign(y))).astype(x.dtype)  # towards zero


def _reduce(function: Callable[..., Any], call: Call) -> Numbers:
    x = call.array(0)
    axes = call.axes(1, x.ndim)
    if not axes and call.integer("noop_with_empty_axes", 0):
        return x
    keep = bool(call.integer("keepdims", 1))
    return np.asarray(function(x, axis=axes or None, keepdims=keep)).astype(x.dtype)


def _slice(call: Call) -> Numbers:
    return call.array(0)[tuple(slices(call, call.array(0).shape))]


def _split(call: Call) -> tuple[Numbers, ...]:
    x = call.array(0)
    axis = axis_of(call.integer("axis", 0), x.ndim)
    bounds = sections(call, x.shape[axis])
    before = (slice(None),) * axis
    return tuple(x[(*before, slice(start, stop))] for start, stop in bounds)


def _concat(call: Call) -> Numbers:
    parts = [call.array(i) for i in range(len(call.operands))]
    return np.concatenate(parts, axis=axis_of(call.integer("axis", 0), parts[0].ndim))


def _trilu(call: Call) -> Numbers:
    shift = call.constant(1)
    keep = np.triu if call.integer("upper", 1) else np.tril
    return keep(call.array(0), 0 if shift is None else int(shift.item()))


def _transpose(call: Call) -> Numbers:
    x = call.array(0)
    return x.transpose(call.integers("perm", tuple(reversed(range(x.ndim)))))


def _each(function: Callable[..., Any]) -> Fold:
    """Fold by a function of all operands."""
    return lambda call: function(*(call.array(i) for i in range(len(call.operands))))


def _power(x: Numbers, y: Numbers) -> Numbers:
    return np.power(x, y).astype(x.dtype)


def _identity(call: Call) -> Numbers:
    return call.array(0)


_ELEMENTWISE: Final[Mapping[str, Callable[..., Any]]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Pow": _power,
    "Mod": np.mod,
    "Min": np.minimum,
    "Max": np.maximum,
    "Equal": np.equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "And": np.logical_and,
    "Or": np.logical_or,
    "Xor": np.logical_xor,
    "Where": np.where,
    "Neg": np.negative,
    "Abs": np.abs,
    "Sqrt": np.sqrt,
    "Exp": np.exp,
    "Log": np.log,
    "Sin": np.sin,
    "Cos": np.cos,
    "Floor": np.floor,
    "Ceil": np.ceil,
    "Reciprocal": np.reciprocal,
    "Not": np.logical_not,
    "IsNaN": np.isnan,
}
_BROADCASTING: Final = frozenset((*_ELEMENTWISE, "Div"))

FOLD: Final[Mapping[str, Fold]] = {
    **{op: _each(function) for op, function in _ELEMENTWISE.items()},
    "MatMul": _each(np.matmul),
    "Div": _divide,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Range": lambda call: np.asarray(_range(call), call.array(0).dtype),
    "Shape": _shape,
    "Size": lambda call: np.asarray(call.array(0).size, np.int64),
    "Gather": _gather,
    "Slice": _slice,
    "Split": _split,
    "Concat": _concat,
    "Expand": lambda call: call.array(0) * np.ones(call.lengths(1) or (), call.array(0).dtype),
    "Tile": lambda call: np.tile(call.array(0), call.lengths(1) or ()),
    "Trilu": _trilu,
    "Transpose": _transpose,
    "Reshape": lambda call: call.array(0).reshape(reshaped(call, call.array(0).shape)),
    "Flatten": lambda call: call.array(0).reshape(reshaped(call, call.array(0).shape)),
    "Squeeze": lambda call: call.array(0).reshape(squeezed(call, call.array(0).shape)),
    "Unsqueeze": lambda call: call.array(0).reshape(unsqueezed(call, call.array(0).shape)),
    "Cast": lambda call: call.array(0).astype(dtype_of(call.integer("to", 1))),
    "CastLike": lambda call: call.array(0).astype(call.array(1).dtype),
    "Identity": _identity,
    "Dropout": _identity,
    **{
        f"Reduce{name}": lambda call, f=function: _reduce(f, call)
        for name, function in {
            "Sum": np.sum,
            "Mean": np.mean,
            "Prod": np.prod,
            "Max": np.max,
            "Min": np.min,
        }.items()
    },
}
