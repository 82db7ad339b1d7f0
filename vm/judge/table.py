"""Which family judges which op. An op without an entry cannot be part of a challenged job."""

from typing import Any, Final

from ...core.errors import RuleViolation
from .. import ops
from .base import Judge
from .families import Elementwise, Product, Row, Table, TableRow
from .layout import Move
from .windows import Pool, Tap

_ELEMENTWISE: Final = Elementwise()
_ROW: Final = Row()
_PRODUCT: Final = Product()
_POOL: Final = Pool()
_MOVE: Final = Move()

_JUDGES: Final[dict[type[Any], Judge]] = {
    ops.Matmul: _PRODUCT,
    ops.Bias: _ELEMENTWISE,
    ops.Requantise: _ELEMENTWISE,
    ops.Relu: _ELEMENTWISE,
    ops.Lookup: Table(),
    ops.Argmax: _ROW,
    ops.BatchMatmul: _PRODUCT,
    ops.Patches: Tap(),
    ops.MaxPool: _POOL,
    ops.SumPool: _POOL,
    ops.Transpose: _MOVE,
    ops.Reshape: _MOVE,
    ops.Concat: _MOVE,
    ops.Slice: _MOVE,
    ops.Gather: TableRow(),
    ops.Add: _ELEMENTWISE,
    ops.Blend: _ELEMENTWISE,
    ops.Multiply: _ELEMENTWISE,
    ops.Exp: _ROW,
    ops.RowSum: _ROW,
    ops.Digit: _ELEMENTWISE,
    ops.Divide: _ELEMENTWISE,
    ops.Normalise: _ROW,
    ops.Affine: _ELEMENTWISE,
    ops.TopK: _ROW,
}


def judge_of(op: ops.Op) -> Judge:
    """Return the judge of an op. Raises RuleViolation "challenge-judge" where there is none."""
    judge = _JUDGES.get(type(op))
    if judge is None:
        raise RuleViolation("challenge-judge", f"{type(op).__name__} has no judge")
    return judge
