"""The program's only input: how the model's inputs are written into it, and read from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...limits import OPERAND_MAX, OPERAND_MIN
from ...ops import Slice
from ...types import Declaration, DType, Interval, TensorType
from ..graph import Graph, GraphInput
from .codec import Encoder, InputPart
from .encodings import best_encoding
from .rescale import WIDE_BITS, reach, reshaped
from .tape import Floats, Tape
from .uses import PRODUCTS, Uses
from .weights import choose_encoding
from .wire import Wire, identity

_IMAGE: Final = (1, 2, 0)
_WINDOWED: Final = frozenset({"conv", "max_pool", "avg_pool"})
_LIMIT: Final = 2 ** (WIDE_BITS - 1) - 1


@dataclass(frozen=True, slots=True, eq=False)
class Opening:
    """A tape with nothing on it but the model's inputs."""

    tape: Tape
    encoder: Encoder
    wires: dict[str, Wire]


def open_tape(graph: Graph, uses: Uses, data: Mapping[str, NDArray[Any]]) -> Opening:
    """Declare the program's input and encode the calibration data for it."""
    if len(graph.inputs) == 1:
        return _single(graph.inputs[0], uses, data[graph.inputs[0].name])
    parts = tuple(
        _index(entry) if entry.kind == "index" else _wide(entry, data[entry.name])
        for entry in graph.inputs
    )
    encoder = Encoder(parts, "int32")
    interval = Interval(min(p.lo for p in parts), max(p.hi for p in parts))
    length = sum(prod(entry.shape) for entry in graph.inputs)
    tape = _tape(encoder, data, (length,), interval)
    wires: dict[str, Wire] = {}
    start = 0
    for part in parts:
        stop = start + prod(part.shape)
        cut = tape.op(partial(Slice, axis=0, start=start, stop=stop, step=1), tape.source)
        wire = Wire(reshaped(tape, cut, part.shape), part.order, np.array(part.scale))
        wires[part.name], start = wire, stop
    return Opening(tape, encoder, wires)


def _single(entry: GraphInput, uses: Uses, data: NDArray[Any]) -> Opening:
    if entry.kind == "index":
        part, dtype = _index(entry), "int32"
    elif uses.only_for(entry.name, PRODUCTS):
        part, dtype = _narrow(entry, uses, np.asarray(data, np.float64)), "int8"
    else:
        part, dtype = _wide(entry, data), "int32"
    encoder = Encoder((part,), dtype)
    shape = tuple(entry.shape[axis] for axis in part.order)
    tape = _tape(encoder, {entry.name: data}, shape, Interval(part.lo, part.hi))
    wire = Wire(tape.source, part.order, np.array(part.scale), np.array(part.offset))
    return Opening(tape, encoder, {entry.name: wire})


def _tape(
    encoder: Encoder, data: Mapping[str, Any], shape: tuple[int, ...], interval: Interval
) -> Tape:
    dtype = DType.INT8 if encoder.dtype == "int8" else DType.INT32
    integers = encoder.integers(data).astype(dtype.storage)
    return Tape(Declaration(TensorType(dtype, shape), interval), integers)


def _index(entry: GraphInput) -> InputPart:
    order = identity(len(entry.shape))
    return InputPart(
        entry.shape, order, "index", (1.0,), (0.0,), name=entry.name, lo=0, hi=entry.maximum
    )


def _wide(entry: GraphInput, data: NDArray[Any]) -> InputPart:
    scale = reach(np.asarray(data, np.float64)) / _LIMIT
    order = identity(len(entry.shape))
    return InputPart(
        entry.shape, order, "float", (scale,), (0.0,), name=entry.name, lo=-_LIMIT, hi=_LIMIT
    )


def _narrow(entry: GraphInput, uses: Uses, data: Floats) -> InputPart:
    """Seven bits; where linear layers alone read it, with a scale for each channel."""
    readers = uses.readers(entry.name)
    windowed = len(entry.shape) == 3 and all(node.op in _WINDOWED for node in readers)
    order = _IMAGE if windowed else identity(len(entry.shape))
    if all(node.op == "linear" for node in readers):
        rows = data.reshape(-1, data.shape[-1])
        together = np.concatenate(uses.weights(entry.name))
        choice = choose_encoding(rows, together, shared=False)
        scale, offset = tuple(choice.scale.tolist()), tuple(choice.offset.tolist())
    else:
        encoding = best_encoding(data)
        scale, offset = (encoding.scale,), (encoding.offset,)
    return InputPart(
        entry.shape, order, "float", scale, offset, name=entry.name, lo=OPERAND_MIN, hi=OPERAND_MAX
    )
