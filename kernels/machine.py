"""What this processor can do, and code made for it at run time by LLVM.

Particular instructions decide how fast int8 is multiplied and folded, and no library offers the two
together; so these kernels are written in LLVM's intermediate representation and compiled when first
used, in a fraction of a second. They obey `ONEDNN_MAX_CPU_ISA`, by which torch's own products are
limited, so that one setting shows how both would run on a smaller machine.
"""

import ctypes
import math
import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numpy.typing import DTypeLike, NDArray

NativeFunction = Callable[..., None]
"""A compiled function; arrays are passed as addresses (`array.ctypes.data`), sizes as integers."""

CACHE_LINE: Final = 64
_AVX2: Final = ("avx512", "avx10", "amx", "avxvnni", "avxifma", "avxneconvert")
_BEYOND: Final = {
    "AVX2": _AVX2,
    "AVX2_VNNI": ("avx512", "avx10", "amx"),
    "AVX512_CORE": ("avx512vnni", "avx512bf16", "avx512fp16", "avxvnni", "amx"),
    "AVX512_CORE_VNNI": ("avx512bf16", "avx512fp16", "amx"),
    "AVX512_CORE_BF16": ("avx512fp16", "amx"),
    "AVX512_CORE_FP16": ("amx",),
}
"""Values of ONEDNN_MAX_CPU_ISA, and how the features that each excludes begin."""


@cache
def features() -> frozenset[str]:
    """Return LLVM's names of what this processor has and may use, as "avx2"."""
    return frozenset(name for name, usable in _host_features().items() if usable)


def native(module: ir.Module, name: str, arguments: int) -> NativeFunction:
    """Compile a module for this processor and return its function `name` of that many addresses
    and sizes, all 64 bits wide, which returns nothing."""
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    machine = _target_machine()
    tuning = llvm.create_pipeline_tuning_options(speed_level=2)
    builder = llvm.create_pass_builder(machine, tuning)
    builder.getModulePassManager().run(parsed, builder)
    engine = llvm.create_mcjit_compiler(parsed, machine)
    engine.finalize_object()
    _engines.append(engine)
    signature = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * arguments)
    return signature(engine.get_function_address(name))


def aligned(shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
    """Return an uninitialised array that begins on a cache line."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    raw = np.empty(size + CACHE_LINE, np.uint8)
    start = -raw.ctypes.data % CACHE_LINE
    return raw[start : start + size].view(dtype).reshape(shape)


def _host_features() -> dict[str, bool]:
    beyond = _BEYOND.get(os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper(), ())
    found: dict[str, bool] = llvm.get_host_cpu_features()
    return {
        name: usable and not any(name.startswith(start) for start in beyond)
        for name, usable in found.items()
    }


def _target_machine() -> llvm.TargetMachine:
    switches = [("+" if usable else "-") + name for name, usable in _host_features().items()]
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=",".join(switches), opt=3
    )


_engines: Final[list[llvm.ExecutionEngine]] = []
"""Compiled code lives as long as its engine."""

llvm.initialize_native_target()
llvm.initialize_native_asmprinter()
llvm.initialize_native_asmparser()
