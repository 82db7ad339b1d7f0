"""The program format: a straight line of ops over numbered values.

Value 0 is the input, values 1 … c are the constants, the rest are op results in order, each written
once and read only by later ops. The last result is the output. Constants travel apart, as one blob
(`weights.py`). Decoding guarantees well-formed bytes only; `check_program` does the rest.
"""

from ..core import codec
from ..core.codec import U16, Value
from .limits import MAX_PROGRAM_BYTES
from .ops import Op
from .types import Declaration

INPUT = 0
"""Value index of the input."""


class Program(Value, frozen=True):
    """A computation on any number of items, without its weights."""

    version: U16
    """`limits.PROGRAM_VERSION`."""
    input: Declaration
    """One item of the input."""
    consts: tuple[Declaration, ...]
    """In the order of their data in the weights blob; each is read by some op."""
    ops: tuple[Op, ...]
    """In order of execution; at least one."""

    @property
    def first_result(self) -> int:
        """Value index of the first op's result."""
        return 1 + len(self.consts)


def encode_program(program: Program) -> bytes:
    """Return the canonical bytes of a program."""
    return codec.encode(program)


def decode_program(data: bytes) -> Program:
    """Read a program from its canonical bytes, at most 256 kB. Raises DecodeError."""
    return codec.decode(Program, data, MAX_PROGRAM_BYTES)
