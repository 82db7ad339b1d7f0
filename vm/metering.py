"""What work costs: one table of prices, and the sums over a program.

Two currencies and a length. *MACs*: multiply-accumulates of products, unpadded. *Bytes*: memory
the other work moves, by each op's price below. *Depth*: ops on the longest chain of
dependencies, which no amount of hardware shortens. Constants are read once per job, not per item.
Metered bytes also bound memory: whatever an op writes out whole is metered.
"""

from dataclasses import dataclass
from typing import Final, Protocol

from .products import ProductShape
from .types import Operands, TensorType


@dataclass(frozen=True, slots=True)
class Price:
    """Metered bytes of an op: those it reads and writes, times `passes`, and `row` a row."""

    passes: int
    row: int
    """Overhead of each row (all dimensions but the last), which dominates where rows are short."""


# One metered byte stands for 50 ps of one core (20 GB/s). Set so that the reference ops, on large
# values with a last dimension from 1 to 1,024, take about their price or less on an undisturbed
# core; many take far less. A multiplier's own time is not in here.
MATMUL: Final = Price(passes=2, row=256)  # moving A, B and C; multiplying is metered in MACs
BIAS: Final = Price(passes=1, row=256)
REQUANTISE: Final = Price(passes=6, row=256)
RELU: Final = Price(passes=4, row=0)
LOOKUP: Final = Price(passes=12, row=0)
ARGMAX: Final = Price(passes=12, row=640)
BATCH: Final = Price(passes=2, row=256)  # and MATRIX_BYTES for each matrix
PATCHES: Final = Price(passes=4, row=256)
POOL: Final = Price(passes=4, row=256)  # and CALL_BYTES for each tap
TRANSPOSE: Final = Price(passes=16, row=256)  # lengths that are powers of two take up to 4 times it
TRANSPOSE_ROWS: Final = Price(passes=2, row=256)
RESHAPE: Final = Price(passes=0, row=0)
CONCAT: Final = Price(passes=4, row=256)
SLICE: Final = Price(passes=4, row=256)
GATHER: Final = Price(passes=1, row=256)
# Those below go through wide integers: see `wide_traffic`.
ADD: Final = Price(passes=2, row=256)
BLEND: Final = Price(passes=8, row=1024)
MULTIPLY: Final = Price(passes=2, row=256)
EXP: Final = Price(passes=24, row=1024)
ROW_SUM: Final = Price(passes=2, row=512)
DIGIT: Final = Price(passes=2, row=0)
DIVIDE: Final = Price(passes=30, row=1024)
NORMALISE: Final = Price(passes=28, row=4096)
AFFINE: Final = Price(passes=6, row=512)
TOP_K: Final = Price(passes=24, row=4096)

CALL_BYTES: Final = 2**16
"""Metered bytes of a step that an op takes many of, however little each computes."""
MATRIX_BYTES: Final = 2**17
"""The same of each matrix of a batched product: handing one to a multiplier takes longer."""
OP_BYTES: Final = 2**17
"""Metered once per job for every op: thousands on single numbers would cost nothing otherwise."""


@dataclass(frozen=True, slots=True)
class Work:
    """What one op does: its products per item, and its metered bytes."""

    products: tuple[ProductShape, ...]
    item_bytes: int
    """Metered bytes for each item."""
    fixed_bytes: int
    """Metered bytes of constants, and of steps taken however many the items, once per job."""
    macs: int = 0
    """Multiply-accumulates per item besides those of `products`: of batched products."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What a program costs per item and per job."""

    item_macs: int
    item_bytes: int
    fixed_bytes: int
    depth: int


@dataclass(frozen=True, slots=True)
class Cost:
    """What one job costs."""

    macs: int
    bytes: int
    depth: int


class Metered(Protocol):
    """Anything with a rate; in practice a `CheckedProgram`."""

    @property
    def rate(self) -> Rate:
        """What the program costs per item and per job."""
        ...


def traffic(price: Price, operands: Operands, result: TensorType) -> Work:
    """Return the work of an op without products, whose first operand gives the rows."""
    read = sum(operand.type.bytes for operand in operands if not operand.constant)
    constants = sum(operand.type.bytes for operand in operands if operand.constant)
    rows = operands[0].type.rows
    return Work(
        products=(),
        item_bytes=price.passes * (read + result.bytes) + price.row * rows,
        fixed_bytes=price.passes * constants,
    )


def moves(price: Price, read: int, result: TensorType, constants: int) -> Work:
    """Return the work of an op that reads `read` bytes per item and writes `result` row by row."""
    return Work(
        products=(),
        item_bytes=price.passes * (read + result.bytes) + price.row * result.rows,
        fixed_bytes=price.passes * constants,
    )


def wide_traffic(price: Price, operands: Operands, result: TensorType) -> Work:
    """Return the work of an op as `traffic` does, each element counted with four bytes.

    Where numbers are widened one by one, those that came as a single byte take no less time.
    """
    read = sum(operand.type.elements for operand in operands if not operand.constant)
    constants = sum(operand.type.elements for operand in operands if operand.constant)
    rows = operands[0].type.rows
    return Work(
        products=(),
        item_bytes=price.passes * 4 * (read + result.elements) + price.row * rows,
        fixed_bytes=price.passes * 4 * constants,
    )


def rate_of(works: list[Work], depth: int) -> Rate:
    """Add up the work of all ops of a program."""
    return Rate(
        item_macs=sum(work.macs + sum(product.macs for product in work.products) for work in works),
        item_bytes=sum(work.item_bytes for work in works),
        fixed_bytes=sum(work.fixed_bytes for work in works) + OP_BYTES * len(works),
        depth=depth,
    )


def cost_of(program: Metered, items: int) -> Cost:
    """Return what running the program on `items` items costs."""
    rate = program.rate
    return Cost(
        macs=items * rate.item_macs,
        bytes=items * rate.item_bytes + rate.fixed_bytes,
        depth=rate.depth,
    )
