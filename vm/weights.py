"""The weights blob: every constant's raw bytes, in declared order, with nothing in between."""

from ..core.errors import RuleViolation
from .check import CheckedProgram
from .tensor import Buffer, check_range, read_array
from .types import Array


def load_weights(checked: CheckedProgram, data: Buffer) -> tuple[Array, ...]:
    """Return the constants as read-only views into the blob, in declared order.

    Raises RuleViolation weights-size where the length is not exactly the program's.
    """
    size = memoryview(data).nbytes
    if size != checked.weight_bytes:
        raise RuleViolation(
            "weights-size", f"{size} bytes where the constants take {checked.weight_bytes}"
        )
    arrays: list[Array] = []
    offset = 0
    for const in checked.program.consts:
        arrays.append(read_array(data, offset, const.type, 1)[0])
        offset += const.type.bytes
    return tuple(arrays)


def check_weights(checked: CheckedProgram, data: Buffer) -> None:
    """Hold the weights to what the program declares; done once, at registration.

    Raises RuleViolation: weights-size, weights-range.
    """
    for i, array in enumerate(load_weights(checked, data)):
        check_range("weights-range", f"constant {i}", array, checked.program.consts[i].interval)
