"""What a program must satisfy to be registered; also where its types, ranges and costs come from.

Refusals, each a RuleViolation:

    program-version    another format version
    program-limits     too many ops, constants, products or dimensions, or a tensor, row or product
                       too large, or too much work for one item
    program-range      a declared range is empty or leaves its element type, or an index its table
    program-operand    an op reads a value that does not exist yet
    program-constant   a constant where a computed value belongs, or the reverse
    program-dtype      an operand of the wrong element type
    program-shape      an operand of the wrong shape
    program-attribute  a fixed attribute of an op is out of range
    program-overflow   a result could leave int32 for some input and weights as declared
    program-unused     a value nobody reads: work that cannot matter
"""

from dataclasses import dataclass

from ..core.errors import RuleViolation
from .limits import (
    MAX_CONSTS,
    MAX_DIM,
    MAX_DIMS,
    MAX_ITEM_BYTES,
    MAX_ITEMS,
    MAX_OPS,
    MAX_PRODUCT_ROWS,
    MAX_PRODUCTS,
    MAX_TENSOR_BYTES,
    MAX_WEIGHT_BYTES,
    PROGRAM_VERSION,
)
from .metering import Rate, Work, rate_of
from .ops.base import Operation
from .products import Product, slice_products
from .program import INPUT, Program
from .types import Declaration, Operand, TensorType


@dataclass(frozen=True, slots=True)
class CheckedProgram:
    """A program that may be registered, with all that is known of it without data."""

    program: Program
    values: tuple[Operand, ...]
    """Type and range of every value, by value index."""
    item_products: tuple[Product, ...]
    """Every product slice in program order, stated for one item."""
    rate: Rate
    weight_bytes: int
    """Exact length of the weights blob."""
    max_items: int
    """Most items a job may have, so that no value or product exceeds its limit."""

    @property
    def input_type(self) -> TensorType:
        """Type of one item of the input."""
        return self.program.input.type

    @property
    def output_type(self) -> TensorType:
        """Type of one item of the output."""
        return self.values[-1].type

    def products(self, items: int) -> tuple[Product, ...]:
        """Return every product slice of a job of `items`, in program order."""
        return tuple(product.for_items(items) for product in self.item_products)


def check_program(program: Program) -> CheckedProgram:
    """Return the program with its types, ranges and costs, or raise RuleViolation."""
    _check_counts(program)
    values = [_declared("input", program.input, constant=False)]
    for i, const in enumerate(program.consts):
        values.append(_declared(f"constant {i}", const, constant=True))
    weight_bytes = sum(const.type.bytes for const in program.consts)
    if weight_bytes > MAX_WEIGHT_BYTES:
        raise RuleViolation("program-limits", f"{weight_bytes} bytes of constants are too many")
    works: list[Work] = []
    depths = [0] * len(values)
    for position, op in enumerate(program.ops):
        try:
            operands = _operands(op, values)
            result, work = check_op(op, operands)
        except RuleViolation as error:
            name = type(op).__name__.lower()
            raise RuleViolation(error.rule, f"op {position} ({name}): {error.detail}") from None
        values.append(result)
        works.append(work)
        depths.append(1 + max(depths[index] for index in op.reads))
    _check_all_read(program)
    products = _enumerate_products(works)
    rate = rate_of(works, max(depths))
    if rate.item_bytes > MAX_ITEM_BYTES:
        raise RuleViolation("program-limits", f"{rate.item_bytes} metered bytes per item")
    return CheckedProgram(
        program=program,
        values=tuple(values),
        item_products=products,
        rate=rate,
        weight_bytes=weight_bytes,
        max_items=_max_items(values, products),
    )


def _check_counts(program: Program) -> None:
    if program.version != PROGRAM_VERSION:
        raise RuleViolation("program-version", f"version {program.version} is unknown")
    if not 1 <= len(program.ops) <= MAX_OPS:
        raise RuleViolation("program-limits", f"{len(program.ops)} ops, not 1 to {MAX_OPS}")
    if len(program.consts) > MAX_CONSTS:
        raise RuleViolation(
            "program-limits", f"{len(program.consts)} constants, more than {MAX_CONSTS}"
        )


def _declared(name: str, declaration: Declaration, *, constant: bool) -> Operand:
    kind, interval = declaration.type, declaration.interval
    _check_size(name, kind)
    if interval.lo > interval.hi or not interval.within(kind.dtype.interval):
        raise RuleViolation(
            "program-range",
            f"{name} declares {interval}, empty or not within {kind.dtype.interval}",
        )
    return Operand(kind, interval, constant)


def _check_size(name: str, kind: TensorType) -> None:
    if len(kind.shape) > MAX_DIMS:
        raise RuleViolation("program-limits", f"{name} has more than {MAX_DIMS} dimensions")
    if not all(1 <= length <= MAX_DIM for length in kind.shape):
        raise RuleViolation("program-limits", f"{name} {kind}: lengths go from 1 to {MAX_DIM}")
    if kind.bytes > MAX_TENSOR_BYTES:
        raise RuleViolation("program-limits", f"{name} {kind} exceeds {MAX_TENSOR_BYTES} bytes")


def _operands(op: Operation, values: list[Operand]) -> tuple[Operand, ...]:
    for index in op.reads:
        if not 0 <= index < len(values):
            raise RuleViolation("program-operand", f"value {index} does not exist at this point")
    return tuple(values[index] for index in op.reads)


def check_op(op: Operation, operands: tuple[Operand, ...]) -> tuple[Operand, Work]:
    """Return type and range of an op's result and its work, or raise RuleViolation."""
    kind = op.result_type(operands)
    _check_size("result", kind)
    interval = op.result_interval(operands)
    if not interval.within(kind.dtype.interval):
        raise RuleViolation("program-overflow", f"results in {interval} could leave {kind}")
    work = op.work(operands, kind)
    for product in work.products:
        if product.rows > MAX_PRODUCT_ROWS:
            raise RuleViolation("program-limits", f"{product.rows} rows per item are too many")
    return Operand(kind, interval, constant=False), work


def _check_all_read(program: Program) -> None:
    read = {index for op in program.ops for index in op.reads}
    output = program.first_result + len(program.ops) - 1
    for index in range(INPUT, output):
        if index not in read:
            raise RuleViolation("program-unused", f"value {index} is read by no op")


def _enumerate_products(works: list[Work]) -> tuple[Product, ...]:
    products: list[Product] = []
    for position, work in enumerate(works):
        for shape in work.products:
            products.extend(slice_products(len(products), position, shape))
            if len(products) > MAX_PRODUCTS:
                raise RuleViolation("program-limits", f"more than {MAX_PRODUCTS} products")
    return tuple(products)


def _max_items(values: list[Operand], products: tuple[Product, ...]) -> int:
    bounds = [MAX_ITEMS]
    bounds.extend(MAX_TENSOR_BYTES // v.type.bytes for v in values if not v.constant)
    bounds.extend(MAX_PRODUCT_ROWS // product.m for product in products)
    return min(bounds)
