"""The import law: which folder may import which, with one reason per edge, read from the source.

A folder may import only what stands above it; not every such edge is wanted, so each one that
exists is listed. An edge that nobody uses any more fails as well: the table is the architecture.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

EDGES: dict[tuple[str, str], str] = {
    ("genesis", "core"): "parameters hold addresses and amounts",
    ("vm", "core"): "programs are canonical values; refusals are rule violations",
    ("consensus", "core"): "rules judge transactions, blocks and proofs",
    ("consensus", "genesis"): "rules take their numbers from the parameters",
    ("consensus", "vm"): "results are judged by executing programs",
    ("kernels", "core"): "commitments and hashes of operands",
    ("kernels", "consensus"): "the ticket's constants, noise and seeds have one definition",
    ("chain", "core"): "stores blocks and transactions",
    ("chain", "genesis"): "opens one network's database",
    ("chain", "vm"): "takes the exact multiplier's protocol",
    ("chain", "consensus"): "follows the rules",
    ("p2p", "core"): "moves headers, bodies and transactions",
    ("wallet", "core"): "builds and signs transactions",
    ("wallet", "genesis"): "address prefix, chain id and fees of a network",
    ("sdk", "core"): "keys, amounts, the proofs in a receipt",
    ("sdk", "genesis"): "limits and least difficulty of a network",
    ("sdk", "vm"): "types and bounds of a model's input and output",
    ("sdk", "consensus"): "a receipt is judged by the rule of tickets and holds a job's record",
    ("sdk", "wallet"): "keystore, RPC client, sending of transactions",
    ("node", "core"): "decodes what clients send",
    ("node", "genesis"): "starts on a network",
    ("node", "vm"): "describes models to clients",
    ("node", "consensus"): "reads records and prices",
    ("node", "kernels"): "picks the exact multiplier",
    ("node", "chain"): "composes the chain",
    ("node", "p2p"): "composes the network",
    ("miner", "core"): "seals blocks, signs transactions",
    ("miner", "genesis"): "bonds and windows of a network",
    ("miner", "vm"): "executes programs",
    ("miner", "consensus"): "builds proofs, knows a job's life",
    ("miner", "kernels"): "multiplies",
    ("miner", "wallet"): "hot key and RPC client",
    ("cli", "core"): "errors and units",
    ("cli", "genesis"): "names of networks",
    ("cli", "vm"): "front ends of models",
    ("cli", "consensus"): "checks vectors, and models before their upload is paid for",
    ("cli", "wallet"): "wallet commands",
    ("cli", "node"): "node commands",
    ("cli", "miner"): "miner commands",
    ("cli", "devnet"): "devnet commands",
    ("devnet", "core"): "keys and amounts of the demo",
    ("devnet", "genesis"): "the faucet's key",
    ("devnet", "vm"): "quantises the demo's model",
    ("devnet", "wallet"): "the demo pays and submits as a user would",
}

PURE = ("core", "genesis", "vm", "consensus")
"""No I/O, no clock, no randomness: a full node and a light client must decide alike."""
PURE_EXCEPT = ("vm/frontends",)
IMPURE_MODULES = frozenset(
    [
        "asyncio",
        "aiohttp",
        "os",
        "pathlib",
        "random",
        "secrets",
        "socket",
        "subprocess",
        "threading",
        "time",
        "torch",
        "triton",
        "plyvel",
        "uuid",
        "datetime",
        "tempfile",
        "shutil",
        "logging",
        "structlog",
    ]
)
TORCH_ALLOWED = ("kernels", "miner", "benchmarks", "vm/frontends")
FOLDERS = sorted(
    path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name != "benchmarks"
)


def sources(folder: str) -> Iterator[Path]:
    return (ROOT / folder).rglob("*.py")


def imports_of(path: Path) -> Iterator[tuple[str, int]]:
    """Yield (dotted absolute module, line) for every import, relative ones resolved."""
    here = ["pouw", *path.relative_to(ROOT).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            if module == "pouw":
                for alias in node.names:
                    yield f"pouw.{alias.name}", node.lineno
            yield module, node.lineno


def edges() -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for folder in FOLDERS:
        for path in sources(folder):
            for module, line in imports_of(path):
                parts = module.split(".")
                if parts[0] == "pouw" and len(parts) > 1 and parts[1] in FOLDERS:
                    edge = (folder, parts[1])
                    found.setdefault(edge, f"{path.relative_to(ROOT)}:{line}")
    return {edge: where for edge, where in found.items() if edge[0] != edge[1]}


def test_every_edge_is_in_the_law() -> None:
    lawless = {edge: where for edge, where in edges().items() if edge not in EDGES}
    assert not lawless, f"imports without a reason: {lawless}"


def test_no_edge_of_the_law_is_unused() -> None:
    unused = set(EDGES) - set(edges())
    assert not unused, f"delete from the table: {sorted(unused)}"


@pytest.mark.parametrize("folder", PURE)
def test_pure_folders_do_no_io(folder: str) -> None:
    impure = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in sources(folder)
        if not str(path.relative_to(ROOT)).startswith(PURE_EXCEPT)
        for module, line in imports_of(path)
        if module.split(".")[0] in IMPURE_MODULES
    ]
    assert not impure


def test_torch_stays_where_it_is_optional() -> None:
    strays = [
        f"{path.relative_to(ROOT)}:{line}"
        for folder in FOLDERS
        for path in sources(folder)
        if not str(path.relative_to(ROOT)).startswith(TORCH_ALLOWED)
        for module, line in imports_of(path)
        if module.split(".")[0] in ("llvmlite", "onnx", "torch", "triton")
    ]
    assert not strays


def test_absolute_imports_of_ourselves_are_for_tests_only() -> None:
    absolute = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for folder in FOLDERS
        for path in sources(folder)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level == 0
        if (node.module or "").split(".")[0] == "pouw"
    ]
    assert not absolute
