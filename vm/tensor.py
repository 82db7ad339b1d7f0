"""Inputs and outputs as bytes: raw, little-endian, item after item, each in C order.

No header: the program fixes type and shape, and the length gives the number of items.
"""

import numpy as np

from ..core.errors import RuleViolation
from .check import CheckedProgram
from .types import Array, Interval, TensorType

Buffer = bytes | bytearray | memoryview


def input_items(checked: CheckedProgram, size: int) -> int:
    """Return how many items an input blob of `size` bytes holds.

    Raises RuleViolation: input-size where it is not a whole number of items, input-items where
    there are none or more than the program allows.
    """
    item_bytes = checked.input_type.bytes
    items, rest = divmod(size, item_bytes)
    if rest:
        raise RuleViolation("input-size", f"{size} bytes are not a multiple of {item_bytes}")
    if not 1 <= items <= checked.max_items:
        raise RuleViolation("input-items", f"{items} items, not 1 to {checked.max_items}")
    return items


def output_bytes(checked: CheckedProgram, items: int) -> int:
    """Return the exact length of the output of a job of `items`."""
    return items * checked.output_type.bytes


def decode_input(checked: CheckedProgram, data: Buffer) -> Array:
    """Return the input as a read-only array (items, *shape), no copy.

    Raises RuleViolation: input-size, input-items, input-range.
    """
    items = input_items(checked, memoryview(data).nbytes)
    array = read_array(data, 0, checked.input_type, items)
    check_range("input-range", "input", array, checked.program.input.interval)
    return array


def encode_input(checked: CheckedProgram, array: Array) -> bytes:
    """Return the blob of an input array (items, *shape).

    Raises RuleViolation: input-dtype, input-shape, input-items, input-range.
    """
    kind = checked.input_type
    if array.dtype.kind not in "iu":
        raise RuleViolation("input-dtype", f"{array.dtype} elements are not integers")
    if array.shape[1:] != kind.shape or array.ndim == 0:
        raise RuleViolation("input-shape", f"items must be {kind}, not {list(array.shape[1:])}")
    input_items(checked, array.shape[0] * kind.bytes)
    check_range("input-range", "input", array, checked.program.input.interval)
    return array.astype(kind.dtype.storage).tobytes()


def encode_output(checked: CheckedProgram, output: Array) -> bytes:
    """Return the blob of an output array (items, *shape)."""
    return output.astype(checked.output_type.dtype.storage, copy=False).tobytes()


def read_array(data: Buffer, offset: int, kind: TensorType, items: int) -> Array:
    """View `items` tensors at a byte offset as an array (items, *shape); bounds are checked."""
    array = np.frombuffer(data, kind.dtype.storage, items * kind.elements, offset)
    array.flags.writeable = False
    return array.reshape(items, *kind.shape)


def check_range(rule: str, name: str, array: Array, interval: Interval) -> None:
    """Raise RuleViolation(rule) unless every element lies in the interval."""
    found = Interval(int(array.min()), int(array.max()))
    if not found.within(interval):
        raise RuleViolation(rule, f"{name} spans {found}, outside {interval}")
