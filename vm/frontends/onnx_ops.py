"""What becomes of each ONNX op: one small function per op.

The table `OPS` is keyed by the op's name. `onnx_import` calls an entry only where an operand is
computed; what depends on constants alone has been folded.
"""

from collections.abc import Mapping
from functools import partial
from typing import Final

import numpy as np

from . import onnx_images as images
from . import onnx_layers as layers
from . import onnx_masks as masks
from . import onnx_shapes as shapes
from .onnx_call import Call, Handler
from .onnx_fold import dtype_of
from .torch_values import GraphWriter, Operand, Traced, Unsupported


def _same(w: GraphWriter, call: Call) -> Traced:
    return call.traced()


def _dropout(w: GraphWriter, call: Call) -> Traced:
    training = call.constant(2)
    if training is not None and training.any():
        raise Unsupported("export the model in evaluation mode")
    return call.traced()


def _cast(w: GraphWriter, call: Call) -> Operand:
    if call.op == "CastLike":
        raise Unsupported("export without CastLike")
    x, dtype = call.traced(), np.dtype(dtype_of(call.integer("to", 1)))
    if dtype.kind == "b":
        return w.truth(x)
    if dtype.kind == "f":
        return w.number(x)
    if x.kind == "float" and not x.truth:
        raise Unsupported("numbers cannot become integers inside a model; round outside of it")
    return x


def _arithmetic(op: str, w: GraphWriter, call: Call) -> Traced:
    x, y = call.operand(0), call.operand(1)
    if op == "div":
        if any(_whole(v) for v in (x, y)):
            raise Unsupported("integers are not divided; cast them to floats first")
        if not isinstance(y, Traced):
            if not np.all(y):
                raise Unsupported("it divides by zero")
            return w.elementwise("mul", x, 1 / y.astype(np.float64))
    return w.elementwise(op, x, y)


def _whole(x: Operand) -> bool:
    return x.kind == "index" if isinstance(x, Traced) else x.dtype.kind in "iu"


def _sum(w: GraphWriter, call: Call) -> Operand:
    total = call.operand(0)
    for i in range(1, len(call.operands)):
        x = call.operand(i)
        if isinstance(total, Traced) or isinstance(x, Traced):
            total = w.elementwise("add", total, x)
        else:
            total = total + x
    return total


def _of(w: GraphWriter, x: Traced, op: str, **attributes: float | str) -> Traced:
    """An op on each element by itself."""
    return w.traced(w.emit(op, w.number(x).name, **attributes), x.shape)


def _function(function: str, w: GraphWriter, call: Call) -> Traced:
    return _of(w, call.traced(), "unary", function=function)


def _relu(w: GraphWriter, call: Call) -> Traced:
    return _of(w, call.traced(), "relu")


def _gelu(w: GraphWriter, call: Call) -> Traced:
    exact = call.text("approximate", "none") == "none"
    return _of(w, call.traced(), "unary", function="gelu" if exact else "gelu_tanh")


def _elu(w: GraphWriter, call: Call) -> Traced:
    if call.number("alpha", 1.0) != 1:
        raise Unsupported("Elu with alpha=1 only")
    return _function("elu", w, call)


def _hard_sigmoid(w: GraphWriter, call: Call) -> Traced:
    slope = w.elementwise("mul", call.traced(), np.asarray(call.number("alpha", 0.2)))
    line = w.elementwise("add", slope, np.asarray(call.number("beta", 0.5)))
    return _of(w, line, "clamp", low=0.0, high=1.0)


def _leaky(w: GraphWriter, call: Call) -> Traced:
    """LeakyRelu and PRelu: slope·x + (1 − slope)·relu(x)."""
    x = call.traced()
    if call.op == "PRelu":
        slope = call.weights(1)
    else:
        slope = np.asarray(call.number("alpha", 0.01), np.float32)
    above = w.elementwise("mul", _of(w, x, "relu"), 1 - slope)
    return w.elementwise("add", above, w.elementwise("mul", x, slope))


def _negative(w: GraphWriter, call: Call) -> Traced:
    return w.elementwise("mul", call.traced(), np.asarray(-1.0))


def _power(w: GraphWriter, call: Call) -> Traced:
    x, exponent = call.traced(), call.array(1)
    power = float(exponent.item()) if exponent.size == 1 else None
    functions = {2.0: "square", 0.5: "sqrt", -1.0: "reciprocal"}
    if power in functions:
        return _of(w, x, "unary", function=functions[power])
    if power == 1:
        return x
    if power == 3:
        return w.elementwise("mul", _of(w, x, "unary", function="square"), x)
    if power == -0.5:
        return _of(w, _of(w, x, "unary", function="sqrt"), "unary", function="reciprocal")
    raise Unsupported("powers of 2, 3, 1/2, −1/2 and −1 only")


def _clip(w: GraphWriter, call: Call) -> Traced:
    low, high = (call.constant(i) for i in (1, 2))
    return _clamped(
        w,
        call.traced(),
        -np.inf if low is None else float(low.item()),
        np.inf if high is None else float(high.item()),
    )


def _clamped(w: GraphWriter, x: Traced, low: float, high: float) -> Traced:
    if (low, high) == (0, np.inf):
        return _of(w, x, "relu")
    return _of(w, x, "clamp", low=low, high=high)


def _extreme(w: GraphWriter, call: Call) -> Traced:
    """Min and Max of a value and a number."""
    operands = [call.operand(i) for i in range(len(call.operands))]
    computed = [x for x in operands if isinstance(x, Traced)]
    limits = [float(x.item()) for x in operands if not isinstance(x, Traced)]
    if len(computed) != 1 or not limits:
        raise Unsupported("compare one computed value with numbers only")
    if call.op == "Max":
        return _clamped(w, computed[0], max(limits), np.inf)
    return _clamped(w, computed[0], -np.inf, min(limits))


_FUNCTIONS: Final = {
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Erf": "erf",
    "Exp": "exp",
    "Sqrt": "sqrt",
    "Abs": "abs",
    "Reciprocal": "reciprocal",
    "Softplus": "softplus",
    "HardSwish": "hard_swish",
    "Mish": "mish",
}
_COMPARISONS: Final = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")

OPS: Final[Mapping[str, Handler]] = {
    **{op: partial(_function, function) for op, function in _FUNCTIONS.items()},
    **{op: partial(_arithmetic, op.lower()) for op in ("Add", "Sub", "Mul", "Div")},
    **dict.fromkeys(_COMPARISONS, masks.compare),
    **dict.fromkeys(("IsNaN", "IsInf"), masks.never),
    **dict.fromkeys(("Reshape", "Flatten"), shapes.reshape),
    **dict.fromkeys(("LeakyRelu", "PRelu"), _leaky),
    **dict.fromkeys(("Min", "Max"), _extreme),
    **dict.fromkeys(("Cast", "CastLike"), _cast),
    **dict.fromkeys(("Identity", "ZipMap"), _same),
    "Dropout": _dropout,
    "Sum": _sum,
    "Relu": _relu,
    "Gelu": _gelu,
    "Elu": _elu,
    "HardSigmoid": _hard_sigmoid,
    "Neg": _negative,
    "Pow": _power,
    "Clip": _clip,
    "Gemm": layers.gemm,
    "MatMul": layers.matmul,
    "Softmax": layers.softmax,
    "ArgMax": layers.argmax,
    "TopK": layers.topk,
    "LayerNormalization": layers.layer_norm,
    "BatchNormalization": layers.batch_norm,
    "ReduceMean": partial(layers.reduce, "mean"),
    "ReduceSum": partial(layers.reduce, "sum"),
    "ReduceL2": layers.euclidean,
    "Scaler": layers.scaler,
    "ArrayFeatureExtractor": layers.extract,
    "Conv": images.convolution,
    "MaxPool": partial(images.pool, "max_pool"),
    "AveragePool": partial(images.pool, "avg_pool"),
    "GlobalAveragePool": images.global_average,
    "GlobalMaxPool": images.global_maximum,
    "Squeeze": shapes.squeeze,
    "Unsqueeze": shapes.unsqueeze,
    "Transpose": shapes.transpose,
    "Slice": shapes.slice_,
    "Split": shapes.split,
    "Concat": shapes.concat,
    "Expand": shapes.expand,
    "Tile": shapes.tile,
    "Pad": shapes.pad,
    "Gather": shapes.gather,
    "GatherND": shapes.gather_nd,
    "Shape": shapes.shape,
    "Size": shapes.size,
    "Where": masks.where,
    "Not": masks.negate,
    "And": masks.both,
    "Or": masks.either,
}

_RECURRENT: Final = "use attention or convolutions instead of recurrent layers"
_BRANCHES: Final = "export without control flow: no branches or loops on values"
_INTEGERS: Final = "export the float model: quantisation happens here"

ADVICE: Final[Mapping[str, str]] = {
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _RECURRENT),
    **dict.fromkeys(("If", "Loop", "Scan"), _BRANCHES),
    **dict.fromkeys(
        ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger"), _INTEGERS
    ),
    **dict.fromkeys(("QLinearMatMul", "QLinearConv", "ConvInteger"), _INTEGERS),
    **dict.fromkeys(("Resize", "Upsample"), "resize images outside of the model"),
    "LogSoftmax": "end the model at its scores or with Softmax",
    "ReduceMax": "use GlobalMaxPool or MaxPool",
}
"""What to do about an op that has no counterpart."""
GENERAL_ADVICE: Final = (
    "replace it by ops that have one, or cut the model before it with onnx.utils.extract_model"
)
