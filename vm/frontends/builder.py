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


_SOURCE = Ref(constant=False, position=-1)


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
        return _SOURCE

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

    def finish(self, output: Ref | None = None) -> tuple[Program, bytes]:
        """Return the program and the weights blob.

        The output is the last op's result. Naming one (a result, not the input) leaves out all ops
        and constants that it does not depend on, and makes it the last.
        """
        ops, consts = range(len(self._ops)), range(len(self._consts))
        if output is not None:
            ops, consts = self._needed_by(output)
        index = {_SOURCE: INPUT}
        index.update({Ref(True, at): INPUT + 1 + i for i, at in enumerate(consts)})
        index.update({Ref(False, at): INPUT + 1 + len(consts) + i for i, at in enumerate(ops)})
        steps = (self._ops[at] for at in ops)
        program = Program(
            PROGRAM_VERSION,
            self.input,
            tuple(self._consts[at] for at in consts),
            tuple(build(*(index[ref] for ref in reads)) for build, reads in steps),
        )
        return program, b"".join(self._data[at] for at in consts)

    def _needed_by(self, output: Ref) -> tuple[list[int], list[int]]:
        """Return positions of ops and of constants, in order."""
        needed = {output}
        for at in range(output.position, -1, -1):
            if Ref(False, at) in needed:
                needed.update(self._ops[at][1])
        ops = sorted(ref.position for ref in needed if not ref.constant and ref != _SOURCE)
        return ops, sorted(ref.position for ref in needed if ref.constant)
