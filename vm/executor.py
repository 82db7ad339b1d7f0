"""Running a checked program: op after op, every product through the caller's handler."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.errors import RuleViolation
from .check import CheckedProgram
from .products import Product, ProductHandler, slices_of
from .program import INPUT
from .tensor import Buffer, check_range, decode_input
from .types import Array
from .weights import load_weights


@dataclass(frozen=True, slots=True, eq=False)
class Execution:
    """The result of one job."""

    items: int
    output: Array
    """(items, *output shape), the output's type; `tensor.encode_output` gives its bytes."""


def _unobserved(_: Array) -> None:
    """Take no notice of a value."""


def execute(
    checked: CheckedProgram,
    weights: Buffer,
    data: Buffer,
    handler: ProductHandler,
    observe: Callable[[Array], None] = _unobserved,
) -> Execution:
    """Run a program on an input blob; `observe` is given the input, then each op's result.

    `weights` must have passed `check_weights` when the model was registered; here only its length
    is checked. Raises RuleViolation: weights-size, input-size, input-items, input-range, and
    product-shape or product-range where the handler returns what no product can be.
    """
    program = checked.program
    constants = load_weights(checked, weights)
    first = decode_input(checked, data)
    items = first.shape[0]
    live: dict[int, Array] = {INPUT: first}
    live.update(enumerate(constants, start=INPUT + 1))
    multiply = _SlicedProducts(handler, iter(checked.products(items)))
    last_reader = {index: at for at, op in enumerate(program.ops) for index in op.reads}
    result = first
    observe(first)
    for position, op in enumerate(program.ops):
        result = op.run(tuple(live[index] for index in op.reads), multiply)
        live[program.first_result + position] = result
        observe(result)
        for index in set(op.reads):
            if last_reader[index] == position:
                del live[index]  # large jobs must not hold every intermediate
    return Execution(items, result)


@dataclass(frozen=True, slots=True)
class _SlicedProducts:
    """Hands an op's product to the handler slice by slice and adds the results up.

    Batched products have no number and no slices, and pass through as they are.
    """

    handler: ProductHandler
    expected: Iterator[Product]

    def __call__(self, a: NDArray[np.int8], b_t: NDArray[np.int8], /) -> NDArray[np.int32]:
        first, *rest = slices_of(a.shape[1])
        total = self._slice(a, b_t, *first)
        for start, length in rest:
            total = total + self._slice(a, b_t, start, length)
        return total

    def batch(self, a: NDArray[np.int8], b_t: NDArray[np.int8], /) -> NDArray[np.int32]:
        return self.handler.batch(a, b_t)

    def _slice(
        self, a: NDArray[np.int8], b_t: NDArray[np.int8], start: int, length: int
    ) -> NDArray[np.int32]:
        product = next(self.expected)
        columns = slice(start, start + length)
        result = self.handler.product(
            product, np.ascontiguousarray(a[:, columns]), np.ascontiguousarray(b_t[:, columns])
        )
        name = f"product {product.index}"
        if result.shape != (product.m, product.n) or result.dtype != np.int32:
            raise RuleViolation(
                "product-shape",
                f"{name} is {result.dtype}{list(result.shape)}, "
                f"not int32[{product.m}, {product.n}]",
            )
        # A delivered C may be anything; within its range, no later op can overflow.
        check_range("product-range", name, result, product.interval)
        return result
