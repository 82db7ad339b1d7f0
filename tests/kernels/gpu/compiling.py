# pyright: basic
# (triton's compiler is untyped.)
"""Compiles kernels for GPUs that are not there and reads the machine code they become."""

import re
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

_TOOLS = Path(triton.__file__).parent / "backends/nvidia/bin"
_INSTRUCTION = re.compile(r"/\*[0-9a-f]+\*/\s+(?:@!?U?P[0-9T]+\s+)?([A-Z][A-Z0-9_]*)")


@dataclass(frozen=True)
class Compiled:
    """What a kernel became on one architecture."""

    registers: int
    stack: int
    shared: int
    """Bytes a block takes of a multiprocessor's shared memory."""
    code: list[str]
    """Names of the instructions, without modifiers, in order."""
    ptx: str

    @property
    def counts(self) -> Counter[str]:
        return Counter(self.code)


def compiled(
    kernel: Any,
    types: dict[str, str],
    constants: dict[str, int],
    capability: int,
    folder: Path,
    warps: int = 4,
    stages: int = 3,
) -> Compiled:
    """Compile with pointers and sizes aligned to 16, as the launchers pass them."""
    names = list(kernel.arg_names)
    aligned = {
        (index,): [["tt.divisibility", 16]]
        for index, name in enumerate(names)
        if name in types and name not in ("first", "first_row", "rows", "columns", "tiles", "slabs")
    }
    source = ASTSource(
        fn=kernel,
        signature={name: types.get(name, "constexpr") for name in names},
        constexprs={(names.index(name),): value for name, value in constants.items()},
        attrs=aligned,
    )
    built = triton.compile(
        source,
        target=GPUTarget("cuda", capability, 32),
        options={"num_warps": warps, "num_stages": stages},
    )
    cubin = folder / "kernel.cubin"
    cubin.write_bytes(built.asm["cubin"])
    usage = _tool("cuobjdump", "-res-usage", str(cubin))
    found = re.search(r"REG:(\d+) STACK:(\d+)", usage)
    if found is None:
        raise ValueError(f"cuobjdump says nothing of registers: {usage}")
    return Compiled(
        registers=int(found[1]),
        stack=int(found[2]),
        shared=built.metadata.shared,
        code=_INSTRUCTION.findall(_tool("nvdisasm", str(cubin))),
        ptx=built.asm["ptx"],
    )


def _tool(name: str, *arguments: str) -> str:
    done = subprocess.run([str(_TOOLS / name), *arguments], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout
