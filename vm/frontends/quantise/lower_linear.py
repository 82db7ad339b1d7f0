"""Products with registered weights: linear layers and convolutions."""

from functools import partial
from math import prod

import numpy as np

from ...ops import BatchMatmul, Matmul, Patches, Transpose
from ...types import DType
from ..floats import EVALUATE
from ..graph import Node
from .encodings import best_encoding
from .lowering import Lowering, Product, bound_of, last_axis_rows
from .rescale import Operand8, combined, ordered, reshaped, to_operand, two_limbs
from .tape import Floats, Slot, Tape
from .weights import Weights, choose_encoding, decibels, quantise_weights
from .wire import Wire

_IMAGE = (1, 2, 0)
"""The machine's images are (h, w, c), the graph's (c, h, w)."""
_CHECKED_ITEMS = 8


def linear(state: Lowering, node: Node) -> Wire:
    """x·wᵀ + b: per-channel accumulators, whose bias waits for whoever needs it."""
    operand = state.linear_operand(node)
    w = state.constant(node.inputs[1])
    bias = state.constant(node.inputs[2]) if len(node.inputs) > 2 else np.zeros(len(w))
    weights = quantise_weights(w * operand.scale, _moments(operand.limbs))
    constant = state.tape.constant(weights.integers, DType.INT8)
    slot = _sum(state.tape, [state.tape.op(Matmul, x, constant) for x in operand.limbs])
    offset = bias + (w * operand.offset).sum(axis=1)
    return state.matched(Wire(slot, operand.order, weights.scale, offset))


def _moments(limbs: tuple[Slot, ...]) -> Floats:
    """Return the mean squares (k,) of whole operands."""
    q = sum(limb.data.astype(np.float32) * 64**i for i, limb in enumerate(limbs))
    rows = np.asarray(q).reshape(-1, limbs[0].shape[-1])
    return np.square(rows).mean(axis=0)


def _sum(tape: Tape, parts: list[Slot]) -> Slot:
    return parts[0] if len(parts) == 1 else combined(tape, *parts)


def conv(state: Lowering, node: Node) -> Wire:
    """A convolution: windows cut out, then a product; one product per group where there are."""
    w = state.constant(node.inputs[1])
    operand = _conv_operand(state, node, w)
    n, channels, kh, kw = w.shape
    groups = node.integer("groups")
    scale = np.broadcast_to(operand.scale, (channels * groups,)).reshape(groups, channels)
    offset = np.broadcast_to(operand.offset, (channels * groups,)).reshape(groups, channels)
    taps = w.transpose(0, 2, 3, 1).reshape(groups, n // groups, kh * kw, channels)
    scaled = (taps * scale[:, None, None]).reshape(groups, n // groups, -1)
    constant_part = (taps * offset[:, None, None]).reshape(n, -1).sum(axis=1)
    windows = [_windows(state.tape, node, operand, i, (kh, kw)) for i in range(len(operand.limbs))]
    if groups == 1:
        weights = quantise_weights(scaled[0], _moments(tuple(windows)))
        constant = state.tape.constant(weights.integers, DType.INT8)
        parts = [state.tape.op(Matmul, x, constant) for x in windows]
    else:
        weights = quantise_weights(scaled.reshape(n, -1))
        parts = [_grouped(state.tape, x, weights, groups, kh * kw) for x in windows]
    _record(state, node, operand, weights, scaled.shape)
    bias = state.constant(node.inputs[2]) if len(node.inputs) > 2 else np.zeros(n)
    slot = _sum(state.tape, parts)
    return state.matched(Wire(slot, _IMAGE, weights.scale, bias + constant_part))


def _conv_operand(state: Lowering, node: Node, w: Floats) -> Operand8:
    name, double = node.inputs[0], node.output in state.uses.two_limbed
    if (name, double) not in state.operands:
        wire = ordered(state.tape, state.wire(name), _IMAGE)
        state.operands[name, double] = _encoded_image(state.tape, wire, node, w, double=double)
    return state.operands[name, double]


def _encoded_image(tape: Tape, wire: Wire, node: Node, w: Floats, *, double: bool) -> Operand8:
    """Encode an image so that its zero is one integer for all channels, for padding."""
    rows = last_axis_rows(wire)
    if double:
        low, high, scale = two_limbs(tape, wire, bound_of(rows))
        return Operand8((low, high), np.full(1, scale), np.zeros(1), _IMAGE)
    if wire.narrow and not wire.clipped and _has_zero(wire):
        return Operand8((wire.slot,), wire.scale, wire.offset, _IMAGE)
    if node.integer("groups") == 1:
        choice = choose_encoding(rows, w.transpose(0, 2, 3, 1).reshape(-1, w.shape[1]), shared=True)
        scale, offset = choice.scale, choice.offset
    else:
        size = np.abs(rows).max(axis=0)
        size = np.maximum(size, 1e-3 * size.max() + 1e-12)
        encoding = best_encoding(rows / size)
        scale = size * encoding.scale
        offset = -scale * encoding.zero
    return Operand8((to_operand(tape, wire, scale, offset),), scale, offset, _IMAGE)


def _has_zero(wire: Wire) -> bool:
    """Whether one operand stands for 0 in all channels."""
    zero = -wire.offset / wire.scale
    return bool(np.ptp(zero) < 1e-9 and abs(zero[0] - np.rint(zero[0])) < 1e-9)


def _windows(tape: Tape, node: Node, operand: Operand8, limb: int, kernel: tuple[int, int]) -> Slot:
    """Return (oh, ow, kh·kw·c)."""
    stride, padding = node.integers("stride"), node.integers("padding")
    if kernel == (1, 1) and stride == (1, 1) and not any(padding):
        return operand.limbs[limb]
    build = partial(
        Patches,
        kernel=kernel,
        stride=(stride[0], stride[1]),
        padding=(padding[0], padding[1], padding[2], padding[3]),
        dilation=(node.integers("dilation")[0], node.integers("dilation")[1]),
        fill=operand.zeros[limb],
    )
    return tape.op(build, operand.limbs[limb])


def _grouped(tape: Tape, windows: Slot, weights: Weights, groups: int, taps: int) -> Slot:
    """Return (oh, ow, n) from windows (oh, ow, taps·c): a batched product, a matrix per group."""
    oh, ow, width = windows.shape
    channels, n = width // taps // groups, len(weights.integers)
    split = reshaped(tape, windows, (oh * ow, taps, groups, channels))
    turned = tape.op(partial(Transpose, perm=(2, 0, 1, 3)), split)
    a = reshaped(tape, turned, (groups, oh * ow, taps * channels))
    b = tape.constant(weights.integers.reshape(groups, n // groups, -1), DType.INT8)
    result = tape.op(BatchMatmul, a, b)
    back = tape.op(partial(Transpose, perm=(1, 0, 2)), result)
    return reshaped(tape, back, (oh, ow, n))


def _record(
    state: Lowering, node: Node, operand: Operand8, weights: Weights, shape: tuple[int, ...]
) -> None:
    """Note what this convolution loses by itself, on some items."""
    x = np.asarray(state.wire(node.inputs[0]).real()[:_CHECKED_ITEMS], np.float32)
    found = operand.real()[:_CHECKED_ITEMS].transpose(0, 3, 1, 2).astype(np.float32)
    w = state.constant(node.inputs[1]).astype(np.float32)
    n, channels, kh, kw = w.shape
    scale = np.broadcast_to(operand.scale, (channels * node.integer("groups"),))
    rounded = (weights.integers * weights.scale[:, None]).reshape(n, kh, kw, channels)
    by_channel = scale.reshape(-1, channels).repeat(n // node.integer("groups"), axis=0)
    w_found = (rounded / by_channel[:, None, None]).transpose(0, 3, 1, 2).astype(np.float32)
    result = state.graph.shapes[node.output]
    wanted = EVALUATE["conv"](node, (x, w), result)
    error = EVALUATE["conv"](node, (found, w_found), result) - wanted
    centre = (0, 2, 3)
    sqnr = decibels(
        wanted - wanted.mean(axis=centre, keepdims=True),
        error - error.mean(axis=centre, keepdims=True),
    )
    state.products[node.output] = Product(sqnr, w.size * prod(result[1:]), len(operand.limbs))
