"""Attention masks in the forms in which exporters write them, compared with onnxruntime."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from pouw.core.errors import UserError
from pouw.vm.frontends.onnx_import import graph_of_onnx

from .test_onnx_import_ops import F32, LISTS, judged, model_of


def _masked(*nodes: onnx.NodeProto) -> bytes:
    """Return scores of which a mask hides some, after a softmax."""
    every = [*nodes, helper.make_node("Softmax", ["hidden"], ["y"])]
    inputs = {"x": (TensorProto.FLOAT, ("n", 5)), "mask": (TensorProto.INT64, ("n", 5))}
    stored = {
        "zero": np.asarray(0, LISTS),
        "one": np.asarray(1, F32),
        "low": np.asarray(np.finfo(F32).min, F32),
        "nothing": np.asarray(0, F32),
    }
    return model_of(every, inputs, stored)


MASKS: dict[str, Callable[[], bytes]] = {
    "where": lambda: _masked(
        helper.make_node("Equal", ["mask", "zero"], ["out"]),
        helper.make_node("Where", ["out", "low", "x"], ["hidden"]),
    ),
    "added": lambda: _masked(
        helper.make_node("Cast", ["mask"], ["m"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["one", "m"], ["inverse"]),
        helper.make_node("Mul", ["inverse", "low"], ["bias"]),
        helper.make_node("Add", ["x", "bias"], ["hidden"]),
    ),
    "chosen": lambda: _masked(
        helper.make_node("Cast", ["mask"], ["m"], to=TensorProto.BOOL),
        helper.make_node("Greater", ["mask", "zero"], ["again"]),
        helper.make_node("And", ["m", "again"], ["both"]),
        helper.make_node("Not", ["both"], ["neither"]),
        helper.make_node("Not", ["neither"], ["seen"]),
        helper.make_node("Where", ["seen", "nothing", "low"], ["bias"]),
        helper.make_node("Add", ["x", "bias"], ["hidden"]),
    ),
    "kept": lambda: _masked(
        helper.make_node("Cast", ["mask"], ["m"], to=TensorProto.BOOL),
        helper.make_node("Less", ["zero", "mask"], ["again"]),
        helper.make_node("Or", ["m", "again"], ["seen"]),
        helper.make_node("Where", ["seen", "x", "low"], ["hidden"]),
    ),
}


@pytest.mark.parametrize("form", list(MASKS))
def test_masks(form: str) -> None:
    rng = np.random.default_rng(4)
    mask = rng.integers(0, 2, (6, 5))
    mask[:, 0] = 1
    feeds = {"x": rng.normal(size=(6, 5)).astype(F32), "mask": mask}
    judged(MASKS[form](), feeds, maximum={"mask": 1})


def test_masks_need_their_largest_entry() -> None:
    with pytest.raises(UserError, match=r"input mask is not known: give it in `maximum`"):
        graph_of_onnx(MASKS["where"]())
