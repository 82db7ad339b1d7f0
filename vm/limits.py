"""Every bound of the tensor machine, in one place. All of them are consensus.

Together they keep the metered multiply-accumulates of any job below 2⁶²: a constant has at most
2³⁰ weights, a product at most 2²⁰ rows, a program at most 2¹² ops; a batched product has at most
2²⁸ results of 2¹⁴ terms.
"""

from typing import Final

PROGRAM_VERSION: Final = 1
"""The only program format this version of the protocol knows."""

MAX_PROGRAM_BYTES: Final = 2**18
"""Canonical bytes of a program, without its weights."""

MAX_OPS: Final = 4096
MAX_CONSTS: Final = 4096

MAX_DIMS: Final = 4
"""Dimensions of one item or constant (the leading item dimension is not counted)."""

MAX_DIM: Final = 2**20
"""Length of one dimension; protocol §2 allows products no more columns than that."""

MAX_TENSOR_BYTES: Final = 2**30
"""One constant, or one value for all the items of a job."""

MAX_WEIGHT_BYTES: Final = 2**33
"""All constants of a program together."""

MAX_ITEM_BYTES: Final = 2**42
"""Metered for one item, so that those of any job stay below 2⁶³, the largest number encoded."""

MAX_ITEMS: Final = 2**20
"""Items of one job, before a program's own, usually tighter bound."""

OPERAND_MIN: Final = -64
OPERAND_MAX: Final = 63
"""Seven bits, so that an operand plus noise in [−63, 63] still fits int8 (protocol §2)."""

MAX_PRODUCTS: Final = 4096
"""Product slices of a program. Each has a root in the model's record, however few bytes of program
it takes: 4096 ops on one long row would otherwise be 262,144 products."""

MAX_PRODUCT_ROWS: Final = 2**20
MAX_PRODUCT_K: Final = 16_384
"""A longer inner dimension is multiplied in slices that start at multiples of this."""

MAX_WINDOW: Final = 4096
"""Positions of a kernel or pooling window, each of which is one pass over the result: 64×64."""
MAX_ROW: Final = 2**16
"""Last dimension of an op whose results each depend on a whole row: at most 256 KiB to judge one
number, and wide temporaries that stay in the cache."""

MIN_PARTS: Final = 2
MAX_PARTS: Final = 16
"""Values joined by one Concat."""

ROW_GRID: Final = 16
K_GRID: Final = 128
"""Tickets are drawn from 16×16 tiles folded every 128 columns (protocol §2)."""

MIN_MINEABLE_K: Final = 512
"""Below this, taking the noise off again costs more than the product itself."""

LOOKUP_ENTRIES: Final = OPERAND_MAX - OPERAND_MIN + 1

MIN_SHIFT: Final = 1
MAX_SHIFT: Final = 62
"""Requantise: |x·multiplier| < 2⁶² and the rounding half ≤ 2⁶¹, so the sum stays inside int64."""
