"""The ops of the float graph: meaning, attributes and shapes. `floats` evaluates them.

Shapes are those of one item. C means "must be constant", all other operands may be either; at
least one operand of a node is computed. Attributes are all required. `axis`, `axes` and `perm`
count the item's dimensions from 0.

| op | operands → result | attributes |
|---|---|---|
| linear | x (…, in), w C (out, in), b C (out,), optional → (…, out): x·wᵀ + b | |
| matmul | a (…, m, k), b (…, k, n), both computed, same … → (…, m, n) | |
| conv | x (c, h, w), w C (n, c/groups, kh, kw), b C (n,), optional → (n, oh, ow) | stride, padding, dilation, groups |
| affine | x, scale C (c,), shift C (c,) → x's shape: x·scale + shift along one axis | axis |
| add, sub, mul, div | x, y → spread over each other as in numpy; see below | |
| relu | x → x's shape | |
| clamp | x → x's shape: min(max(x, low), high) | low, high (floats) |
| unary | x → x's shape: a function of each element, see `UNARY` | function |
| softmax | x → x's shape, over the last axis | |
| layer_norm | x (…, c), gamma C (c,), beta C (c,) → x's shape, over the last axis | eps |
| embedding | table C (entries, width), ids index (…) → (…, width) | |
| max_pool | x (c, h, w) → (c, oh, ow); padding never wins | kernel, stride, padding |
| avg_pool | x (c, h, w) → (c, oh, ow) | kernel, stride, padding, count_padding |
| mean, sum | x → the axes reduced, kept with length 1 | axes |
| reshape | x → shape; same elements in C order | shape |
| transpose | x → dimension i of the result is perm[i] of x | perm |
| expand | x → shape, same rank; lengths of 1 are repeated | shape |
| concat | two or more, alike but for the axis → joined | axis |
| slice | x → elements start, start + step, … before stop along the axis | axis, start, stop, step |
| argmax | x (…, n) → index (…): first position of the largest | |
| topk | x (…, n) → index (…, k): positions, largest first, ties by position | k |
| cast | index x → float, the same numbers | |

Images are channels first. kernel, stride and dilation are (along h, along w); padding is zeros
(top, bottom, left, right), smaller than the window; oh = (top + h + bottom − (kh − 1)·dh − 1) //
sh + 1, ow likewise, rounded down. avg_pool divides by the window's size if `count_padding`, else
by how many of its positions lie within x.

Elementwise ops: two computed operands have the same number of dimensions (lengths of 1 spread); a
constant has at most as many as the computed operand and is aligned at the last dimension.

Index values may be moved (reshape, transpose, expand, concat, slice), looked up and cast; all else
works on floats. (Conventions of PyTorch and ONNX, ONNX operator reference, opset 17.)
"""  # noqa: E501 (a table)

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Final, Literal, TypeAlias

import numpy as np

from ...core.errors import UserError

Shape: TypeAlias = tuple[int, ...]
Kind: TypeAlias = Literal["float", "index"]
Attribute: TypeAlias = int | float | str | tuple[int, ...]
Attributes: TypeAlias = Mapping[str, Attribute]

UNARY: Final = (
    "gelu",  # x·Φ(x), with the error function
    "gelu_tanh",  # its approximation x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³)))
    "sigmoid",
    "tanh",
    "silu",  # x·sigmoid(x)
    "erf",
    "exp",
    "sqrt",
    "abs",
    "square",
    "reciprocal",
    "softplus",  # log(1 + exp x)
    "hard_sigmoid",  # clamp(x/6 + 1/2, 0, 1)
    "hard_swish",  # x·hard_sigmoid(x)
    "elu",  # x above 0, exp x − 1 below
    "mish",  # x·tanh(softplus x)
)


@dataclass(frozen=True, slots=True)
class ValueType:
    """What is known of a value before running: the shape of an item, kind, constant or computed."""

    shape: Shape
    kind: Kind
    constant: bool


Types: TypeAlias = tuple[ValueType, ...]


@dataclass(frozen=True, slots=True)
class OpRule:
    """What an op takes. `constants` are positions of operands that must be constant."""

    infer: Callable[[Types, Attributes], Shape]
    operands: tuple[int, int] = (1, 1)
    """Fewest and most."""
    attributes: Mapping[str, type] = field(default_factory=dict[str, type])
    constants: tuple[int, ...] = ()
    reads: Literal["float", "index", "any", "table"] = "float"
    """Kinds of operands; "table": the first float, the second index."""
    gives: Kind | None = None
    """Kind of the result; None: that of the first operand."""

    def result(self, operands: Types, attributes: Attributes) -> ValueType:
        """Return the type of the result. Raises UserError."""
        fewest, most = self.operands
        _require(fewest <= len(operands) <= most, f"takes {fewest} to {most} operands")
        _require(not all(t.constant for t in operands), "no operand is computed: fold it")
        for i, operand in enumerate(operands):
            required = i in self.constants
            _require(operand.constant or not required, f"operand {i} must be a constant")
            _require(operand.kind in self._kinds(i), f"operand {i} is {operand.kind}")
        _check_attributes(self.attributes, attributes)
        shape = self.infer(operands, attributes)
        _require(all(length >= 1 for length in shape), f"the result {shape} would be empty")
        return ValueType(shape, self.gives or operands[0].kind, False)

    def _kinds(self, position: int) -> tuple[str, ...]:
        if self.reads == "table":
            return ("float",) if position == 0 else ("index",)
        return ("float", "index") if self.reads == "any" else (self.reads,)


def _require(holds: bool, complaint: str) -> None:
    if not holds:
        raise UserError(complaint)


def _check_attributes(wanted: Mapping[str, type], found: Attributes) -> None:
    names = set(wanted) ^ set(found)
    _require(not names, f"attributes {sorted(names)} are missing or not known")
    for name, kind in wanted.items():
        value = found[name]
        fits = isinstance(value, (int, float)) if kind is float else isinstance(value, kind)
        _require(fits, f"{name}={value!r} is not {kind.__name__}")


def _integer(attributes: Attributes, name: str, low: int, high: int) -> int:
    value = attributes[name]
    if not isinstance(value, int) or not low <= value <= high:
        raise UserError(f"{name}={value!r} is not in {low} to {high}")
    return value


def _integers(attributes: Attributes, name: str, low: int, count: int | None = None) -> Shape:
    value = attributes[name]
    if not isinstance(value, tuple) or any(v < low for v in value):
        raise UserError(f"{name}={value!r} must be integers from {low}")
    _require(count is None or len(value) == count, f"{name}={value} must be {count} numbers")
    return value


def _per_channel(operands: Types, channels: int) -> None:
    for operand in operands:
        _require(operand.shape == (channels,), f"needs ({channels},), not {operand.shape}")


def _same(operands: Types, attributes: Attributes) -> Shape:
    return operands[0].shape


def _unary(operands: Types, attributes: Attributes) -> Shape:
    _require(attributes["function"] in UNARY, f"no function {attributes['function']!r}")
    return operands[0].shape


def _clamp(operands: Types, attributes: Attributes) -> Shape:
    low, high = attributes["low"], attributes["high"]
    ordered = isinstance(low, (int, float)) and isinstance(high, (int, float)) and low <= high
    _require(ordered, f"low={low} is above high={high}")
    return operands[0].shape


def _linear(operands: Types, attributes: Attributes) -> Shape:
    x, w = operands[:2]
    fits = len(x.shape) >= 1 and len(w.shape) == 2 and w.shape[1] == x.shape[-1]
    _require(fits, f"weights {w.shape} do not fit x {x.shape}")
    _per_channel(operands[2:], w.shape[0])
    return (*x.shape[:-1], w.shape[0])


def _matmul(operands: Types, attributes: Attributes) -> Shape:
    a, b = operands
    _require(not a.constant and not b.constant, "both operands must be computed: use linear")
    fits = (
        len(a.shape) == len(b.shape) >= 2
        and a.shape[:-2] == b.shape[:-2]
        and a.shape[-1] == b.shape[-2]
    )
    _require(fits, f"{a.shape} and {b.shape} do not multiply")
    return (*a.shape[:-1], b.shape[-1])


def _windows(x: ValueType, kernel: Shape, attributes: Attributes, dilation: Shape) -> Shape:
    """Return (oh, ow)."""
    _require(len(x.shape) == 3, f"x {x.shape} is no image (c, h, w)")
    stride = _integers(attributes, "stride", 1, 2)
    padding = _integers(attributes, "padding", 0, 4)
    steps: list[int] = []
    for i in (0, 1):
        extent = (kernel[i] - 1) * dilation[i] + 1
        before, after = padding[2 * i : 2 * i + 2]
        _require(before < extent and after < extent, f"padding {padding} exceeds the window")
        room = before + x.shape[1 + i] + after - extent
        _require(room >= 0, f"the window {kernel} is larger than the padded image {x.shape}")
        steps.append(room // stride[i] + 1)
    return tuple(steps)


def _conv(operands: Types, attributes: Attributes) -> Shape:
    x, w = operands[:2]
    _require(len(w.shape) == 4, f"weights {w.shape} are not (n, c, kh, kw)")
    dilation = _integers(attributes, "dilation", 1, 2)
    windows = _windows(x, w.shape[2:], attributes, dilation)
    groups = _integer(attributes, "groups", 1, x.shape[0])
    fits = x.shape[0] == groups * w.shape[1] and w.shape[0] % groups == 0
    _require(fits, f"weights {w.shape} in {groups} groups do not fit x {x.shape}")
    _per_channel(operands[2:], w.shape[0])
    return (w.shape[0], *windows)


def _pool(operands: Types, attributes: Attributes) -> Shape:
    kernel = _integers(attributes, "kernel", 1, 2)
    return (operands[0].shape[0], *_windows(operands[0], kernel, attributes, (1, 1)))


def _affine(operands: Types, attributes: Attributes) -> Shape:
    shape = operands[0].shape
    axis = _integer(attributes, "axis", 0, len(shape) - 1)
    _per_channel(operands[1:], shape[axis])
    return shape


def _layer_norm(operands: Types, attributes: Attributes) -> Shape:
    shape = operands[0].shape
    _require(len(shape) >= 1, "x has no axis")
    _per_channel(operands[1:], shape[-1])
    return shape


def _spread(operands: Types, attributes: Attributes) -> Shape:
    x, y = operands
    if not x.constant and not y.constant:
        fits = len(x.shape) == len(y.shape)
        _require(fits, f"{x.shape} and {y.shape} differ in dimensions: reshape one")
    constant, computed = (x, y) if x.constant else (y, x)
    _require(
        len(constant.shape) <= len(computed.shape),
        f"the constant {constant.shape} has more dimensions than {computed.shape}",
    )
    try:
        return np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        raise UserError(f"{x.shape} and {y.shape} cannot be spread over each other") from None


def _embedding(operands: Types, attributes: Attributes) -> Shape:
    table, ids = operands
    _require(len(table.shape) == 2, f"the table {table.shape} is not (entries, width)")
    _require(not ids.constant, "constant ids: fold it")
    return (*ids.shape, table.shape[1])


def _reduce(operands: Types, attributes: Attributes) -> Shape:
    shape = operands[0].shape
    axes = _integers(attributes, "axes", 0)
    fits = len(set(axes)) == len(axes) >= 1 and all(axis < len(shape) for axis in axes)
    _require(fits, f"axes={axes} of {shape}")
    return tuple(1 if i in axes else length for i, length in enumerate(shape))


def _reshape(operands: Types, attributes: Attributes) -> Shape:
    shape = _integers(attributes, "shape", 1)
    fits = prod(shape) == prod(operands[0].shape)
    _require(fits, f"{operands[0].shape} has another number of elements than {shape}")
    return shape


def _transpose(operands: Types, attributes: Attributes) -> Shape:
    shape, perm = operands[0].shape, _integers(attributes, "perm", 0)
    _require(sorted(perm) == list(range(len(shape))), f"perm={perm} of {shape}")
    return tuple(shape[axis] for axis in perm)


def _expand(operands: Types, attributes: Attributes) -> Shape:
    old, new = operands[0].shape, _integers(attributes, "shape", 1)
    fits = len(old) == len(new) and all(a in (1, b) for a, b in zip(old, new, strict=True))
    _require(fits, f"{old} does not expand to {new}")
    return new


def _concat(operands: Types, attributes: Attributes) -> Shape:
    first = operands[0].shape
    axis = _integer(attributes, "axis", 0, len(first) - 1)
    for other in operands[1:]:
        alike = len(other.shape) == len(first) and all(
            a == b for i, (a, b) in enumerate(zip(first, other.shape, strict=True)) if i != axis
        )
        _require(alike, f"{other.shape} cannot be joined to {first} along {axis}")
    total = sum(operand.shape[axis] for operand in operands)
    return (*first[:axis], total, *first[axis + 1 :])


def _slice(operands: Types, attributes: Attributes) -> Shape:
    shape = operands[0].shape
    axis = _integer(attributes, "axis", 0, len(shape) - 1)
    stop = _integer(attributes, "stop", 1, shape[axis])
    start = _integer(attributes, "start", 0, stop - 1)
    step = _integer(attributes, "step", 1, shape[axis])
    return (*shape[:axis], len(range(start, stop, step)), *shape[axis + 1 :])


def _argmax(operands: Types, attributes: Attributes) -> Shape:
    _require(len(operands[0].shape) >= 1, "x has no axis")
    return operands[0].shape[:-1]


def _topk(operands: Types, attributes: Attributes) -> Shape:
    shape = operands[0].shape
    _require(len(shape) >= 1, "x has no axis")
    return (*shape[:-1], _integer(attributes, "k", 1, shape[-1]))


_POOL: Final = {"kernel": tuple, "stride": tuple, "padding": tuple}
_ELEMENTWISE: Final = OpRule(_spread, (2, 2))
_REDUCE: Final = OpRule(_reduce, attributes={"axes": tuple})

OPS: Final[Mapping[str, OpRule]] = {
    "linear": OpRule(_linear, (2, 3), constants=(1, 2)),
    "matmul": OpRule(_matmul, (2, 2)),
    "conv": OpRule(
        _conv,
        (2, 3),
        {"stride": tuple, "padding": tuple, "dilation": tuple, "groups": int},
        constants=(1, 2),
    ),
    "affine": OpRule(_affine, (3, 3), {"axis": int}, constants=(1, 2)),
    "add": _ELEMENTWISE,
    "sub": _ELEMENTWISE,
    "mul": _ELEMENTWISE,
    "div": _ELEMENTWISE,
    "relu": OpRule(_same),
    "clamp": OpRule(_clamp, attributes={"low": float, "high": float}),
    "unary": OpRule(_unary, attributes={"function": str}),
    "softmax": OpRule(_same),
    "layer_norm": OpRule(_layer_norm, (3, 3), {"eps": float}, constants=(1, 2)),
    "embedding": OpRule(_embedding, (2, 2), constants=(0,), reads="table"),
    "max_pool": OpRule(_pool, attributes=_POOL),
    "avg_pool": OpRule(_pool, attributes={**_POOL, "count_padding": bool}),
    "mean": _REDUCE,
    "sum": _REDUCE,
    "reshape": OpRule(_reshape, attributes={"shape": tuple}, reads="any"),
    "transpose": OpRule(_transpose, attributes={"perm": tuple}, reads="any"),
    "expand": OpRule(_expand, attributes={"shape": tuple}, reads="any"),
    "concat": OpRule(_concat, (2, 2**16), {"axis": int}, reads="any"),
    "slice": OpRule(
        _slice, attributes={"axis": int, "start": int, "stop": int, "step": int}, reads="any"
    ),
    "argmax": OpRule(_argmax, gives="index"),
    "topk": OpRule(_topk, attributes={"k": int}, gives="index"),
    "cast": OpRule(_same, reads="index", gives="float"),
}
