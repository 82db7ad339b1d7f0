"""Writing programs by hand: constants and ops by name, value indices worked out at the end.

Constants are numbered before op results, so an index is not known until all constants are.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import UserError
from ..limits import PROGRAM_VERSION
from ..ops import Op
from ..program import INPUT, Program
from ..types import Declaration, DType, Interval, TensorType


@dataclass(frozen=True, slots=True)
class Ref:
    """A value of a program under construction."""

    constant: bool
    position: int
    """Among the constants or among the op results; the input is result −1."""


@dataclass(slots=True)
class ProgramBuilder:
    """Collects constants and ops; `finish` gives the program and its weights blob."""

    input: Declaration
    _consts: list[Declaration] = field(default_factory=list[Declaration])
    _data: list[bytes] = field(default_factory=list[bytes])
    _ops: list[tuple[Callable[..., Op], tuple[Ref, ...]]] = field(
        default_factory=list[tuple[Callable[..., Op], tuple[Ref, ...]]]
    )

    def source(self) -> Ref:
        """Return the input."""
        return Ref(constant=False, position=-1)

    def constant(self, data: NDArray[np.integer[Any]], dtype: DType) -> Ref:
        """Add a constant, declared with the range its data span. Raises UserError."""
        interval = Interval(int(data.min()), int(data.max()))
        if not interval.within(dtype.interval):
            raise UserError(
                f"a constant spans {interval}, which does not fit {dtype.name.lower()} "
                f"{dtype.interval}: quantise it more coarsely"
            )
        self._consts.append(Declaration(TensorType(dtype, data.shape), interval))
        self._data.append(data.astype(dtype.storage).tobytes())
        return Ref(constant=True, position=len(self._consts) - 1)

    def op(self, build: Callable[..., Op], *reads: Ref) -> Ref:
        """Add an op; `build` gets the value indices of `reads` when they are known."""
        self._ops.append((build, reads))
        return Ref(constant=False, position=len(self._ops) - 1)

    def finish(self) -> tuple[Program, bytes]:
        """Return the program, whose output is the last op's result, and the weights blob."""
        ops = tuple(build(*(self._index(ref) for ref in reads)) for build, reads in self._ops)
        program = Program(PROGRAM_VERSION, self.input, tuple(self._consts), ops)
        return program, b"".join(self._data)

    def _index(self, ref: Ref) -> int:
        if ref.constant:
            return INPUT + 1 + ref.position
        if ref.position < 0:
            return INPUT
        return INPUT + 1 + len(self._consts) + ref.position
