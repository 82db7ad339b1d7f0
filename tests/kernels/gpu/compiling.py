# pyright: basic
# (triton's compiler is untyped.)
"""Compiles kernels for GPUs that are not there and reads the machine code they become."""

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

_TOOLS = Path(triton.__file__).parent / "backends/nvidia/bin"
_LABEL = re.compile(r"^(\.L_x_[0-9]+):", re.MULTILINE)
_BRANCH = re.compile(r"BRA `\((\.L_x_[0-9]+)\)")
_AMD_SIZES = re.compile(r"\.([a-z]+_spill_count|private_segment_fixed_size):\s+([0-9]+)")
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
    loop: list[str]
    """Those of the loop over slabs: the longest that multiplies; none outside of products."""
    ptx: str

    @property
    def counts(self) -> Counter[str]:
        return Counter(self.code)


def compiled(
    kernel: Any,
    types: dict[str, str],
    constants: dict[str, Any],
    capability: int,
    warps: int = 4,
    stages: int = 3,
) -> Compiled:
    """Compile with pointers and sizes aligned to 16, as the launchers pass them."""
    source = _source(kernel, types, constants)
    built = triton.compile(
        source,
        target=GPUTarget("cuda", capability, 32),
        options={"num_warps": warps, "num_stages": stages},
    )
    with NamedTemporaryFile(suffix=".cubin") as cubin:
        cubin.write(built.asm["cubin"])
        cubin.flush()
        text, usage = _tool("nvdisasm", cubin.name), _tool("cuobjdump", "-res-usage", cubin.name)
    found = re.search(r"REG:(\d+) STACK:(\d+)", usage)
    if found is None:
        raise ValueError(f"cuobjdump says nothing of registers: {usage}")
    return Compiled(
        registers=int(found[1]),
        stack=int(found[2]),
        shared=built.metadata.shared,
        code=_INSTRUCTION.findall(text),
        loop=max(_loops(text), key=len, default=[]),
        ptx=built.asm["ptx"],
    )


@dataclass(frozen=True)
class CompiledForAmd:
    """What a kernel became on gfx942."""

    spills: int
    scratch: int
    shared: int
    assembly: str


def compiled_for_amd(
    kernel: Any, types: dict[str, str], constants: dict[str, Any], warps: int, stages: int
) -> CompiledForAmd:
    built = triton.compile(
        _source(kernel, types, constants),
        target=GPUTarget("hip", "gfx942", 64),
        options={"num_warps": warps, "num_stages": stages},
    )
    assembly = built.asm["amdgcn"]
    sizes = {name: int(value) for name, value in _AMD_SIZES.findall(assembly)}
    return CompiledForAmd(
        spills=sizes["vgpr_spill_count"] + sizes["sgpr_spill_count"],
        scratch=sizes["private_segment_fixed_size"],
        shared=built.metadata.shared,
        assembly=assembly,
    )


def _source(kernel: Any, types: dict[str, str], constants: dict[str, Any]) -> ASTSource:
    names = list(kernel.arg_names)
    aligned = {
        (index,): [["tt.divisibility", 16]]
        for index, name in enumerate(names)
        if name in types and name not in ("first", "first_row", "rows", "columns", "tiles", "slabs")
    }
    return ASTSource(
        fn=kernel,
        signature={name: types.get(name, "constexpr") for name in names},
        constexprs={(names.index(name),): value for name, value in constants.items()},
        attrs=aligned,
    )


def _loops(text: str) -> Iterator[list[str]]:
    """Yield the instructions of every loop that multiplies: from a label to the branch back."""
    labels = {found[1]: found.start() for found in _LABEL.finditer(text)}
    for branch in _BRANCH.finditer(text):
        start = labels[branch[1]]
        body = _INSTRUCTION.findall(text[start : branch.end()])
        if start < branch.start() and not {"IMMA", "IGMMA"}.isdisjoint(body):
            yield body


def _tool(name: str, *arguments: str) -> str:
    done = subprocess.run([str(_TOOLS / name), *arguments], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout
