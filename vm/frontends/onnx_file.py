"""ONNX files: bounded reading of what a user brings, before anything is made of it.

A model file may be damaged or malicious. Its size, its numbers of nodes, tensors and dimensions are
bounded, weights kept in other files are read only from the model's own folder, and nothing in it is
run. (ONNX IR specification, version 10; opsets 13 to 21.)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, ValueInfoProto, numpy_helper

from ...core.errors import UserError

Array: TypeAlias = NDArray[Any]

OPSETS: Final = range(13, 22)
MAX_FILE_BYTES: Final = 2**31 - 1
"""Protocol buffers end here; larger models keep their weights in files beside."""
MAX_EXTERNAL_BYTES: Final = 2**35
"""All weights outside the model file: float32, four times the machine's limit for its bytes."""
MAX_NODES: Final = 2**15
MAX_TENSORS: Final = 2**15
MAX_DIMENSIONS: Final = 16

_DEFAULT_DOMAINS: Final = ("", "ai.onnx")
_DTYPES: Final[Mapping[int, str]] = {
    TensorProto.FLOAT: "<f4",
    TensorProto.DOUBLE: "<f8",
    TensorProto.FLOAT16: "<f2",
    TensorProto.INT8: "<i1",
    TensorProto.INT16: "<i2",
    TensorProto.INT32: "<i4",
    TensorProto.INT64: "<i8",
    TensorProto.UINT8: "<u1",
    TensorProto.UINT16: "<u2",
    TensorProto.UINT32: "<u4",
    TensorProto.UINT64: "<u8",
    TensorProto.BOOL: "<u1",
    TensorProto.BFLOAT16: "<u2",
}
"""Little-endian layout of stored numbers; booleans and bfloat16 are converted afterwards."""


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """A model read from a file: `stored` are its initialisers, `inputs` what a user passes."""

    nodes: tuple[NodeProto, ...]
    stored: Mapping[str, Array]
    inputs: tuple[ValueInfoProto, ...]
    outputs: tuple[str, ...]


def read_onnx(source: bytes | str | Path) -> OnnxModel:
    """Read a model from its bytes or its path. Raises UserError for whatever is not in order."""
    if isinstance(source, bytes):
        data, folder = source, None
    else:
        data, folder = _bytes_of(Path(source)), Path(source).resolve().parent
    if not 0 < len(data) <= MAX_FILE_BYTES:
        raise UserError(f"an ONNX file has 1 to {MAX_FILE_BYTES:,} bytes, this one {len(data):,}")
    try:
        return _read(data, folder)
    except UserError:
        raise
    except Exception as error:  # whatever protobuf and onnx say of bytes that they cannot read
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"not a valid ONNX file ({first[:300]}): export the model again") from error


def array_of(tensor: TensorProto, folder: Path | None = None) -> Array:
    """Return a tensor's numbers. Raises UserError."""
    name, shape = tensor.name or "without a name", tuple(tensor.dims)
    layout = _DTYPES.get(tensor.data_type)
    if layout is None:
        raise UserError(f"tensor {name} has a type that is not supported: export floats")
    if len(shape) > MAX_DIMENSIONS or any(length < 0 for length in shape):
        raise UserError(f"tensor {name} has dimensions {shape[:MAX_DIMENSIONS]}")
    expected = prod(shape) * np.dtype(layout).itemsize
    if tensor.data_location == TensorProto.EXTERNAL:
        data = _external(tensor, expected, folder)
    elif tensor.HasField("raw_data"):
        data = tensor.raw_data
    else:
        array = numpy_helper.to_array(tensor)
        return array.astype(np.float32) if tensor.data_type == TensorProto.BFLOAT16 else array
    if len(data) != expected:
        raise UserError(f"tensor {name} {shape} has {len(data):,} bytes, not {expected:,}")
    return _converted(np.frombuffer(data, layout).reshape(shape), tensor.data_type)


def _converted(array: Array, data_type: int) -> Array:
    if data_type == TensorProto.BOOL:
        return array != 0
    if data_type == TensorProto.BFLOAT16:  # the upper half of a float32
        return (array.astype("<u4") << 16).view("<f4")
    return array


def _bytes_of(path: Path) -> bytes:
    if not path.is_file():
        raise UserError(f"{path} is not a file: give the path of an ONNX model")
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise UserError(
            f"{path} has {size:,} bytes, more than {MAX_FILE_BYTES:,}: save it with its weights "
            "as external data"
        )
    return path.read_bytes()


def _external(tensor: TensorProto, expected: int, folder: Path | None) -> bytes:
    """Read a tensor kept in a file of the model's folder."""
    if folder is None:
        raise UserError("the model keeps weights in other files: give its path, not its bytes")
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    path = (folder / location).resolve()
    if not path.is_relative_to(folder) or not path.is_file():
        raise UserError(f"weights file {location!r} is not a file in the model's folder")
    offset, length = int(entries.get("offset", 0)), int(entries.get("length", expected))
    if length != expected or offset < 0 or offset + length > path.stat().st_size:
        raise UserError(f"weights file {location!r} does not hold {tensor.name}: copy it again")
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(length)


def _read(data: bytes, folder: Path | None) -> OnnxModel:
    model = onnx.ModelProto()
    model.ParseFromString(data)
    graph = model.graph
    _check_counts(model)
    _check_opset(model)
    if len(model.functions) > 0:
        raise UserError(
            "the model defines functions: inline them with onnx.inliner.inline_local_functions"
        )
    stored = _stored(graph, folder)
    given = tuple(entry for entry in graph.input if entry.name not in stored)
    _check_without_weights(model, stored)
    outputs = tuple(entry.name for entry in graph.output)
    return OnnxModel(tuple(graph.node), stored, given, outputs)


def _check_counts(model: onnx.ModelProto) -> None:
    graph = model.graph
    tensors = len(graph.initializer) + len(graph.input) + len(graph.output)
    if not 0 < len(graph.node) <= MAX_NODES or tensors > MAX_TENSORS:
        raise UserError(
            f"the model has {len(graph.node):,} nodes and {tensors:,} tensors, "
            f"allowed are 1 to {MAX_NODES:,} nodes and {MAX_TENSORS:,} tensors"
        )
    if len(graph.sparse_initializer) > 0:
        raise UserError("the model has sparse weights: export them dense")


def _check_opset(model: onnx.ModelProto) -> None:
    found = {entry.version for entry in model.opset_import if entry.domain in _DEFAULT_DOMAINS}
    if len(found) != 1 or not found <= set(OPSETS):
        versions = ", ".join(str(version) for version in sorted(found)) or "none"
        raise UserError(
            f"the model's opset is {versions}: export it with opset 18, or convert it with "
            f"onnx.version_converter ({OPSETS[0]} to {OPSETS[-1]} are read)"
        )


def _stored(graph: onnx.GraphProto, folder: Path | None) -> dict[str, Array]:
    stored, outside = dict[str, Array](), 0
    for tensor in graph.initializer:
        if tensor.name in stored:
            raise UserError(f"two tensors are called {tensor.name}")
        stored[tensor.name] = array_of(tensor, folder)
        if tensor.data_location == TensorProto.EXTERNAL:
            outside += stored[tensor.name].nbytes
        if outside > MAX_EXTERNAL_BYTES:
            raise UserError(f"the weights exceed {MAX_EXTERNAL_BYTES:,} bytes")
    return stored


def _check_without_weights(model: onnx.ModelProto, stored: Mapping[str, Array]) -> None:
    """Let onnx judge the model with its weights as inputs: they may exceed what it can take."""
    graph = model.graph
    declared = {entry.name for entry in graph.input}
    for tensor in graph.initializer:
        if tensor.name not in declared:
            shape = stored[tensor.name].shape
            entry = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, shape)
            graph.input.append(entry)
    graph.ClearField("initializer")
    for entry in graph.output:  # whose shapes are computed here, but onnx insists on one
        if entry.type.WhichOneof("value") == "tensor_type":
            entry.type.tensor_type.shape.SetInParent()
    onnx.checker.check_model(model)
