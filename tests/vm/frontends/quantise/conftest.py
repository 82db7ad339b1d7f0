"""Running quantised models on the real machine, beside their graphs in floats."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pouw.vm.check import check_program
from pouw.vm.executor import execute
from pouw.vm.frontends import floats
from pouw.vm.frontends.graph import Graph
from pouw.vm.frontends.quantise import Quantised, read_codec
from pouw.vm.multiplier import ReferenceMultiplier
from pouw.vm.products import plain_products
from pouw.vm.program import decode_program, encode_program
from pouw.vm.weights import check_weights

Data = NDArray[Any] | Mapping[str, NDArray[Any]]


def _run(model: Quantised, data: Data) -> NDArray[Any]:
    checked = check_program(decode_program(encode_program(model.program)))
    check_weights(checked, model.weights)
    codec = read_codec(model.codec.as_json())
    blob = codec.encoder.encode(data)
    output = execute(checked, model.weights, blob, plain_products(ReferenceMultiplier())).output
    return codec.decoder.decode(output.tobytes())


def _loss(model: Quantised, graph: Graph, data: Data) -> float:
    named = data if isinstance(data, Mapping) else {graph.inputs[0].name: data}
    wanted = floats.output(graph, named).astype(np.float64)
    error = _run(model, data) - wanted
    assert error.shape == wanted.shape
    return float(10 * np.log10(np.square(wanted).sum() / max(np.square(error).sum(), 1e-30)))


@pytest.fixture(scope="session")
def run() -> Callable[[Quantised, Data], NDArray[Any]]:
    """The answers of a model, through bytes and back."""
    return _run


@pytest.fixture(scope="session")
def sqnr() -> Callable[[Quantised, Graph, Data], float]:
    """How exactly a model computes its graph on other data, in dB."""
    return _loss
