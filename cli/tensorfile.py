"""Files with a job's values: raw bytes, or numpy's .npy format, which is read without trusting it.

Of .npy (NumPy NEP 1) only plain arrays of numbers are understood; the header is matched, never
evaluated, and nothing is allocated for what it announces.
"""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..core.errors import RuleViolation, UserError
from ..vm.limits import MAX_DIMS, MAX_TENSOR_BYTES
from ..vm.tensor import check_range, read_array
from ..vm.types import Declaration, DType
from ..wallet.private_file import read_bounded, write_new
from .common import existing

NPY_SUFFIX: Final = ".npy"
RAW_SUFFIX: Final = ".bin"

_MAGIC: Final = b"\x93NUMPY"
_LENGTH_BYTES: Final = {1: 2, 2: 4, 3: 4}
"""Size of the header's length, by major version."""
_MAX_HEADER_BYTES: Final = 4096
_HEADER: Final = re.compile(
    r"\{'descr': *'([^']{1,16})', *'fortran_order': *(True|False), *"
    r"'shape': *\(([0-9, ]{0,128})\),? *\}\s*"
)
_DTYPES: Final = {
    DType.INT8: ("|i1", "<i1", ">i1"),
    DType.INT32: ("<i4", ">i4"),
}
_NUMBER: Final = re.compile(r"[|<>](?:[iu][1248]|f[248])")
_WIDEST_BYTES: Final = 8
"""One number in a file."""

Encode: TypeAlias = Callable[[NDArray[Any]], bytes]
"""From a model's own numbers (items, …) to its input blob. Raises UserError."""


@dataclass(frozen=True, slots=True)
class InputRule:
    """What a model takes as input."""

    item: Declaration
    """Type and range of one item."""
    max_items: int
    encode: Encode | str = "its card tells no encoding"
    """How arrays of other numbers become an input; or why they do not."""

    def items_of(self, size: int) -> int:
        """Return how many items an input of `size` bytes holds. Raises UserError."""
        item_bytes = self.item.type.bytes
        items, rest = divmod(size, item_bytes)
        if rest:
            raise UserError(
                f"{size} bytes are not a whole number of items: one is {self.item.type}, "
                f"{item_bytes} bytes"
            )
        if not 1 <= items <= self.max_items:
            raise UserError(f"{items} items, the model takes 1 to {self.max_items}")
        return items


def read_input(path: Path, rule: InputRule) -> bytes:
    """Read a job's input blob, as the chain takes it, from raw bytes or an .npy file.

    The file is .npy when its name or its first bytes say so: an array (items, *item shape) of the
    model's element type, or of other numbers, floats above all, where the model's card tells how
    they are encoded. Raises UserError naming what does not fit.
    """
    limit = min(rule.max_items * rule.item.type.bytes, MAX_TENSOR_BYTES)
    if not isinstance(rule.encode, str):
        limit *= _WIDEST_BYTES
    data = read_bounded(path, limit + _MAX_HEADER_BYTES)
    try:
        if path.suffix == NPY_SUFFIX or data.startswith(_MAGIC):
            data = _decode_npy(data, rule)
        items = rule.items_of(len(data))
        values = read_array(data, 0, rule.item.type, items)
        check_range("input-range", "the input", values, rule.item.interval)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except RuleViolation as violation:
        raise UserError(f"{path}: {violation.detail}") from None
    return data


def output_array(output: bytes, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return a result's bytes as an array. Raises UserError when they do not fit together."""
    kind = DType.__members__.get(dtype.upper())
    if (
        kind is None
        or not 1 <= len(shape) <= MAX_DIMS + 1
        or prod(shape) * kind.size != len(output)
    ):
        raise UserError(f"the node sent a result of {len(output)} bytes that is no {dtype[:16]!r}")
    return np.frombuffer(output, kind.storage).reshape(shape)


def require_result_name(path: Path) -> None:
    """Raise UserError unless a result could be written to a file of this name."""
    if path.suffix not in (NPY_SUFFIX, RAW_SUFFIX):
        raise UserError(f"{path}: name a result .npy, or .bin for its raw bytes")
    if existing(path):
        raise UserError(f"{path} exists already and is never overwritten: name another")


def write_result(path: Path, values: NDArray[Any]) -> None:
    """Write an array as its file's name says, whole or not at all. Raises UserError."""
    if path.suffix == RAW_SUFFIX:
        content = values.tobytes()
    else:
        buffer = io.BytesIO()
        np.save(buffer, values, allow_pickle=False)
        content = buffer.getvalue()
    write_new(path, content)


def read_numbers(data: bytes) -> NDArray[Any]:
    """Return the array in the bytes of an .npy file, integers or floats. Raises UserError."""
    descr, is_fortran, shape, offset = _npy_header(data)
    if not _NUMBER.fullmatch(descr):
        raise UserError(f"the elements are '{_printable(descr)}': give integers or floats")
    return _values(data, descr, is_fortran, shape, offset)


def _decode_npy(data: bytes, rule: InputRule) -> bytes:
    """Return the values in row-major order, little-endian. Raises UserError."""
    descr, is_fortran, shape, offset = _npy_header(data)
    kind = rule.item.type
    if descr in _DTYPES[kind.dtype] and shape[:1] and shape[1:] == kind.shape:
        array = _values(data, descr, is_fortran, shape, offset)
        return array.astype(kind.dtype.storage).tobytes()
    if not isinstance(rule.encode, str):
        return rule.encode(read_numbers(data))
    if descr not in _DTYPES[kind.dtype]:
        raise UserError(
            f"the elements are '{_printable(descr)}', the model takes {kind.dtype.name.lower()} "
            f"and floats cannot be encoded: {rule.encode}"
        )
    expected = ", ".join(["items", *map(str, kind.shape)])
    raise UserError(f"the shape is {list(shape)}, the model takes [{expected}]")


def _values(
    data: bytes, descr: str, is_fortran: bool, shape: tuple[int, ...], offset: int
) -> NDArray[Any]:
    dtype = np.dtype(descr)
    if prod(shape) * dtype.itemsize != len(data) - offset:
        raise UserError(f"{len(data) - offset} bytes of values do not fill {list(shape)}: damaged")
    values = np.frombuffer(data, dtype, offset=offset)
    return values.reshape(shape, order="F" if is_fortran else "C")


def _npy_header(data: bytes) -> tuple[str, bool, tuple[int, ...], int]:
    """Return element type, whether column-major, shape, and where the values begin."""
    width = _LENGTH_BYTES.get(data[6]) if data.startswith(_MAGIC) and len(data) > 12 else None
    if width is None:
        raise UserError("not an .npy file of version 1, 2 or 3")
    start = 8 + width
    end = start + int.from_bytes(data[8:start], "little")
    if end > min(len(data), _MAX_HEADER_BYTES):
        raise UserError(f"the .npy header is longer than the file, or than {_MAX_HEADER_BYTES}")
    match = _HEADER.fullmatch(data[start:end].decode("latin-1"))
    if match is None:
        raise UserError("the .npy file does not hold a plain array of numbers")
    lengths = [length.strip() for length in match[3].split(",")]
    if lengths[-1] == "":
        lengths.pop()  # (3,) and ()
    if not all(length.isdigit() for length in lengths):
        raise UserError("the .npy file has no readable shape")
    return match[1], match[2] == "True", tuple(map(int, lengths)), end


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
