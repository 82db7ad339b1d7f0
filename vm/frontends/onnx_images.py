"""Convolutions and pooling of an ONNX model. Signals with one spatial dimension get a height of 1.

(Meanings: ONNX operator reference, opsets 13 to 21.)
"""

from dataclasses import dataclass

from .graph_ops import Attribute, Shape
from .onnx_call import Call
from .onnx_layers import reduced
from .torch_values import GraphWriter, Traced, Unsupported


@dataclass(frozen=True, slots=True)
class _Windows:
    """How a kernel moves over an image; every tuple is (along h, along w)."""

    kernel: Shape
    stride: Shape
    dilation: Shape
    padding: Shape
    """(top, bottom, left, right)"""
    result: Shape
    """(oh, ow)"""

    def attributes(self) -> dict[str, Attribute]:
        """Return what conv and the pools share."""
        return {"stride": self.stride, "padding": self.padding}


def _image(x: Traced) -> Shape:
    """Return (c, h, w) of a batch of one image or signal."""
    if len(x.shape) not in (3, 4) or x.shape[0] != 1:
        raise Unsupported("one image (channels, height, width) or signal per item only")
    return x.shape[1:] if len(x.shape) == 4 else (x.shape[1], 1, x.shape[2])


def _pair(values: tuple[int, ...], fill: int, spatial: int) -> Shape:
    if len(values) != spatial:
        raise Unsupported(f"{values[:8]} should be {spatial} numbers")
    return values if spatial == 2 else (fill, *values)


def _windows(call: Call, x: Traced, kernel: tuple[int, ...]) -> _Windows:
    spatial = len(x.shape) - 2
    kernel = _pair(kernel, 1, spatial)
    stride = _pair(call.integers("strides", (1,) * spatial), 1, spatial)
    dilation = _pair(call.integers("dilations", (1,) * spatial), 1, spatial)
    if min(*kernel, *stride, *dilation) < 1:
        raise Unsupported("kernel, strides and dilations must be positive")
    extent = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    padding = _padding(call, _image(x)[1:], extent, stride)
    result: list[int] = []
    for i, length in enumerate(_image(x)[1:]):
        room = length + sum(padding[2 * i : 2 * i + 2]) - extent[i]
        if call.integer("ceil_mode", 0) and room % stride[i]:
            raise Unsupported("pool without ceil_mode")
        result.append(room // stride[i] + 1)
    return _Windows(kernel, stride, dilation, padding, tuple(result))


def _padding(call: Call, image: Shape, extent: Shape, stride: Shape) -> Shape:
    """Return (top, bottom, left, right), from the attributes pads or auto_pad."""
    mode = call.text("auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        both: list[int] = []
        for length, window, step in zip(image, extent, stride, strict=True):
            total = max((-(-length // step) - 1) * step + window - length, 0)
            small, large = total // 2, total - total // 2
            both += [small, large] if mode == "SAME_UPPER" else [large, small]
        return tuple(both)
    pads = call.integers("pads", ()) if mode == "NOTSET" else ()
    if not pads:
        return (0, 0, 0, 0)
    if len(pads) == 2:
        return (0, 0, *pads)
    if len(pads) != 4:
        raise Unsupported(f"pads {pads[:8]} do not fit an image")
    top, left, bottom, right = pads
    return (top, bottom, left, right)


def convolution(w: GraphWriter, call: Call) -> Traced:
    x, weights = w.number(call.traced()), call.weights(1)
    if weights.ndim != len(x.shape):
        raise Unsupported(f"weights {weights.shape} do not fit {x.shape}")
    windows = _windows(call, x, weights.shape[2:])
    names = [w.constant(weights.reshape(*weights.shape[:2], *windows.kernel))]
    if call.optional(2) is not None:
        names.append(w.constant(call.weights(2)))
    name = w.emit(
        "conv",
        w.held(x, _image(x)),
        *names,
        **windows.attributes(),
        dilation=windows.dilation,
        groups=call.integer("group", 1),
    )
    return _shaped(w, name, len(weights), windows, len(x.shape))


def _shaped(w: GraphWriter, name: str, channels: int, windows: _Windows, dims: int) -> Traced:
    spatial = windows.result if dims == 4 else windows.result[1:]
    return w.traced(name, (1, channels, *spatial))


def pool(op: str, w: GraphWriter, call: Call) -> Traced:
    x = w.number(call.traced())
    windows = _windows(call, x, call.integers("kernel_shape", ()))
    if windows.dilation != (1, 1):
        raise Unsupported("pool without dilation")
    own: dict[str, Attribute] = {"kernel": windows.kernel}
    if op == "avg_pool":
        own["count_padding"] = bool(call.integer("count_include_pad", 0))
    name = w.emit(op, w.held(x, _image(x)), **own, **windows.attributes())
    return _shaped(w, name, x.shape[1], windows, len(x.shape))


def global_average(w: GraphWriter, call: Call) -> Traced:
    x = w.number(call.traced())
    return reduced("mean", w, x, tuple(range(2, len(x.shape))), keep=True)


def global_maximum(w: GraphWriter, call: Call) -> Traced:
    x = w.number(call.traced())
    image = _image(x)
    name = w.emit(
        "max_pool", w.held(x, image), kernel=image[1:], stride=(1, 1), padding=(0, 0, 0, 0)
    )
    return w.traced(name, (*x.shape[:2], *(1 for _ in x.shape[2:])))
