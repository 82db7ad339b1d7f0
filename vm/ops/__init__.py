"""The ops of the tensor machine, a family per file, all in the rhythm of `base.Operation`.

A new op takes a file here, the next free tag, a price in `metering.py` and a place in `Op`. Tags
are never reused: they are part of every registered program.
"""

from typing import TypeAlias

from .add import Add
from .affine import Affine
from .argmax import Argmax
from .batch_matmul import BatchMatmul
from .bias import Bias
from .blend import Blend
from .digit import Digit
from .divide import Divide
from .exp import Exp
from .gather import Gather
from .layout import Concat, Reshape, Slice, Transpose
from .lookup import Lookup
from .matmul import Matmul
from .multiply import Multiply
from .normalise import Normalise
from .patches import Patches
from .pool import MaxPool, SumPool
from .relu import Relu
from .requantise import Requantise
from .row_sum import RowSum
from .topk import TopK

Op: TypeAlias = (
    Matmul | Bias | Requantise | Relu | Lookup | Argmax
    | BatchMatmul | Patches | MaxPool | SumPool
    | Transpose | Reshape | Concat | Slice | Gather
    | Add | Blend | Multiply | Exp | RowSum | Digit | Divide | Normalise | Affine | TopK
)  # fmt: skip

__all__ = [
    "Op", "Matmul", "Bias", "Requantise", "Relu", "Lookup", "Argmax",
    "BatchMatmul", "Patches", "MaxPool", "SumPool",
    "Transpose", "Reshape", "Concat", "Slice", "Gather",
    "Add", "Blend", "Multiply", "Exp", "RowSum", "Digit", "Divide", "Normalise", "Affine", "TopK",
]  # fmt: skip
