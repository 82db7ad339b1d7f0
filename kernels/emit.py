"""A little help for writing kernels in LLVM's intermediate representation.

Values that change live in stack slots, which LLVM turns into registers.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from llvmlite import ir

from .machine import CACHE_LINE

BYTE: Final = ir.IntType(8)
WORD: Final = ir.IntType(32)
SIZE: Final = ir.IntType(64)
VOID: Final = ir.VoidType()
POINTER: Final = ir.PointerType()

Value = Any
"""A value of llvmlite, which has no types."""


def size(value: int) -> Value:
    """Return a 64-bit constant."""
    return ir.Constant(SIZE, value)


class Emitter:
    """One function `name` of 64-bit arguments, being written."""

    def __init__(self, name: str, arguments: int) -> None:
        """Begin the function in a module of its own."""
        self.module = ir.Module(name)
        function = ir.Function(self.module, ir.FunctionType(VOID, [SIZE] * arguments), name)
        self.arguments: Sequence[Value] = function.args
        self.build = ir.IRBuilder(function.append_basic_block("entry"))

    def pointer(self, argument: Value) -> Value:
        """Read an argument as an address."""
        return self.build.inttoptr(argument, POINTER)

    def at(self, base: Value, offset: Value | int) -> Value:
        """Return the address `offset` bytes after `base`."""
        distance = size(offset) if isinstance(offset, int) else offset
        return self.build.gep(base, [distance], source_etype=BYTE)

    def times(self, value: Value, factor: int) -> Value:
        """Multiply a size by a constant."""
        return self.build.mul(value, size(factor))

    def load(self, address: Value, kind: Value) -> Value:
        """Load one word, or a vector from a place that is aligned to its size."""
        return self.build.load(address, typ=kind, align=_alignment(kind))

    def store(self, value: Value, address: Value) -> None:
        """Store one word, or a vector at a place that is aligned to its size."""
        self.build.store(value, address, align=_alignment(value.type))

    def slot(self, kind: Value) -> Value:
        """Reserve a place on the stack."""
        with self.build.goto_entry_block():
            return self.build.alloca(kind)

    def room(self, kind: Value, count: int) -> Value:
        """Reserve an array on the stack, on a cache line, and return its address."""
        with self.build.goto_entry_block():
            place: Value = self.build.alloca(kind, ir.Constant(WORD, count))
        place.align = CACHE_LINE
        return place

    def get(self, slot: Value) -> Value:
        """Read a slot."""
        return self.build.load(slot, typ=slot.allocated_type)

    def put(self, value: Value, slot: Value) -> None:
        """Change a slot."""
        self.build.store(value, slot)

    def splat(self, word: Value, kind: Value) -> Value:
        """Return a vector full of one word."""
        undefined = ir.Constant(kind, ir.Undefined)
        single = self.build.insert_element(undefined, word, ir.Constant(WORD, 0))
        first = ir.Constant(ir.VectorType(WORD, kind.count), [0] * kind.count)
        return self.build.shuffle_vector(single, undefined, first)

    def rotate_left(self, vector: Value, bits: int) -> Value:
        """Turn every word of a vector left."""
        kind = vector.type
        turn = self.external(f"llvm.fshl.v{kind.count}i32", kind, [kind] * 3)
        return self.build.call(turn, [vector, vector, ir.Constant(kind, [bits] * kind.count)])

    def external(self, name: str, result: Value, arguments: Sequence[Value]) -> Value:
        """Declare one of LLVM's intrinsics."""
        if name in self.module.globals:
            return self.module.globals[name]
        return ir.Function(self.module, ir.FunctionType(result, arguments), name)

    @contextmanager
    def loop(self, count: Value | int) -> Generator[Value]:
        """Repeat what is written inside for 0, 1, … count − 1."""
        build = self.build
        index = self.slot(SIZE)
        self.put(size(0), index)
        head, body, end = (build.append_basic_block(part) for part in ("head", "body", "end"))
        build.branch(head)
        build.position_at_end(head)
        current = self.get(index)
        limit = size(count) if isinstance(count, int) else count
        build.cbranch(build.icmp_signed("<", current, limit), body, end)
        build.position_at_end(body)
        yield current
        self.put(build.add(current, size(1)), index)
        build.branch(head)
        build.position_at_end(end)


def _alignment(kind: Value) -> int:
    """Every vector in these kernels lies at a multiple of its size, up to a cache line."""
    return min(4 * getattr(kind, "count", 1), CACHE_LINE)
