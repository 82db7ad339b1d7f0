"""Quantising a multilayer perceptron to seven bits: relu between layers, argmax at the end.

Affine activations, symmetric weights, after Jacob et al. (arXiv 1712.05877):

    x ≈ scale·q + shift        q in [−64, 63], one scale and shift per layer, from calibration data
    w ≈ s[c]·v                 v in [−63, 63], one s per output channel; one for all in the last
                               layer, where argmax compares channels

so W·x + b = scale·s·(V·q + bias) with the integer bias = round(b / (scale·s) + shift/scale·ΣV).
A hidden activation is a relu's, never negative: its zero is stored as −64, which the bias before it
also carries, and the clamp of the requantisation is the relu. No bit is lost to a sign.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...core.errors import RuleViolation, UserError
from ..check import check_program
from ..limits import MAX_SHIFT, MIN_SHIFT, OPERAND_MAX, OPERAND_MIN
from ..ops import Argmax, Bias, Matmul, Requantise
from ..program import Program
from ..types import Declaration, DType, TensorType
from .builder import ProgramBuilder, Ref

Floats: TypeAlias = NDArray[np.float64]
Layer: TypeAlias = tuple[ArrayLike, ArrayLike]
"""Weights (out, in) and bias (out)."""

_LEVELS: Final = OPERAND_MAX - OPERAND_MIN
_WEIGHT_MAX: Final = 63
_BIAS_LIMIT: Final = 2.0**28
"""Weight scales are kept so large that biases stay below this: products (k ≤ 2¹⁷) need the rest."""
_MULTIPLIER_MAX: Final = 2.0**31 - 1
_SMALLEST_SCALE: Final = 1e-30


@dataclass(frozen=True, slots=True)
class Encoder:
    """How a float x becomes the operand q: x ≈ scale·q + shift, q in [−64, 63]."""

    scale: float
    shift: float

    @classmethod
    def spanning(cls, low: float, high: float) -> "Encoder":
        """Return the encoder that puts `low` at −64 and `high` at 63."""
        scale = (high - low) / _LEVELS
        if scale < _SMALLEST_SCALE:  # a constant activation; any scale will do
            scale = 1.0
        return cls(scale, low - OPERAND_MIN * scale)

    def encode(self, x: ArrayLike) -> bytes:
        """Return the input blob of items (N, features); what lies out of range is clamped.

        Raises UserError where x has other dimensions or is not finite.
        """
        quantised = np.rint((_finite("input", x, 2) - self.shift) / self.scale)
        return np.clip(quantised, OPERAND_MIN, OPERAND_MAX).astype(np.int8).tobytes()


@dataclass(frozen=True, slots=True)
class QuantisedMlp:
    """What registering the model takes, and what its users need to write inputs."""

    program: Program
    weights: bytes
    encoder: Encoder


@dataclass(frozen=True, slots=True)
class _Affine:
    """A float layer."""

    weights: Floats
    bias: Floats

    def __call__(self, x: Floats) -> Floats:
        return x @ self.weights.T + self.bias


@dataclass(frozen=True, slots=True)
class _Activation:
    """A value of the program and what its operands stand for."""

    value: Ref
    encoder: Encoder
    mean: Floats
    """(features,), over the calibration data, in floats."""


def quantise_mlp(layers: Sequence[Layer], calibration: ArrayLike) -> QuantisedMlp:
    """Quantise a classifier: layers with relu between, the class with the largest logit.

    `calibration`, (N, features), should be typical inputs: the activation ranges are taken from
    it. The program maps items of `features` operands to one int32 class index each. Raises
    UserError where shapes do not match, numbers are not finite, or the model is too large.
    """
    x = _finite("calibration data", calibration, 2)
    network = _read_layers(layers, x.shape[1])
    encoder = Encoder.spanning(float(x.min()), float(x.max()))
    builder = ProgramBuilder(
        Declaration(TensorType(DType.INT8, (x.shape[1],)), DType.INT8.interval)
    )
    source = _Activation(builder.source(), encoder, x.mean(axis=0))
    for i, layer in enumerate(network[:-1]):
        x = _finite(f"activation of layer {i}", np.maximum(layer(x), 0.0), 2)
        target = Encoder.spanning(0.0, float(x.max()))
        value = _hidden_layer(builder, source, layer, target)
        source = _Activation(value, target, x.mean(axis=0))
    value = _last_layer(builder, source, network[-1])
    builder.op(Argmax, value)
    program, weights = builder.finish()
    try:
        check_program(program)
    except RuleViolation as error:
        raise UserError(f"the model does not fit the machine: {error}") from None
    return QuantisedMlp(program, weights, encoder)


def _hidden_layer(
    builder: ProgramBuilder, source: _Activation, layer: _Affine, target: Encoder
) -> Ref:
    """Add product, bias and requantisation from the source's encoding to the target's."""
    per_channel = np.abs(layer.weights).max(axis=1) / _WEIGHT_MAX
    moved = _Affine(layer.weights, layer.bias - target.shift)
    scales = _weight_scales(per_channel, moved, source.encoder)
    accumulator = _accumulate(builder, source, moved, scales)
    multipliers, shift = _fixed_point(source.encoder.scale * scales / target.scale)
    requantise = partial(_requantise, shift)
    return builder.op(requantise, accumulator, builder.constant(multipliers, DType.INT32))


def _last_layer(builder: ProgramBuilder, source: _Activation, layer: _Affine) -> Ref:
    """Add product and bias; one scale for all channels, so that accumulators compare."""
    whole_tensor = np.full(len(layer.bias), np.abs(layer.weights).max() / _WEIGHT_MAX)
    scales = _weight_scales(whole_tensor, layer, source.encoder)
    return _accumulate(builder, source, layer, np.full_like(scales, scales.max()))


def _accumulate(
    builder: ProgramBuilder, source: _Activation, layer: _Affine, scales: Floats
) -> Ref:
    """Add product and bias: the layer's result in units of source scale × weight scale.

    The bias also makes up for what rounding the weights does to the *mean* activation (bias
    correction, Nagel et al., arXiv 1906.04721, §4.2), which matters for inputs far from zero.
    """
    scale, shift = source.encoder.scale, source.encoder.shift
    integers = np.rint(layer.weights / scales[:, np.newaxis])
    lost = (layer.weights - integers * scales[:, np.newaxis]) @ source.mean
    bias = np.rint((layer.bias + lost) / (scale * scales) + shift / scale * integers.sum(axis=1))
    product = builder.op(
        Matmul, source.value, builder.constant(integers.astype(np.int64), DType.INT8)
    )
    return builder.op(Bias, product, builder.constant(bias.astype(np.int64), DType.INT32))


def _weight_scales(wanted: Floats, layer: _Affine, source: Encoder) -> Floats:
    """Return the wanted scales, raised where weights are so small that the bias would not fit."""
    total_bias = np.abs(layer.bias) + abs(source.shift) * np.abs(layer.weights).sum(axis=1)
    scales = np.maximum(wanted, total_bias / (source.scale * _BIAS_LIMIT))
    return np.where(scales > 0, scales, 1.0)


def _fixed_point(ratios: Floats) -> tuple[NDArray[np.int64], int]:
    """Write ratios as multiplier / 2^shift with one shift, as finely as 30 bits allow."""
    room = int(np.floor(np.log2(2.0**31 / float(ratios.max())))) - 1
    shift = min(max(room, MIN_SHIFT), MAX_SHIFT)
    multipliers = np.clip(np.rint(ratios * 2.0**shift), 1.0, _MULTIPLIER_MAX)
    return multipliers.astype(np.int64), shift


def _requantise(shift: int, x: int, multiplier: int) -> Requantise:
    return Requantise(x, multiplier, shift, OPERAND_MIN, OPERAND_MAX)


def _read_layers(layers: Sequence[Layer], features: int) -> list[_Affine]:
    if not layers:
        raise UserError("a perceptron needs at least one layer")
    network: list[_Affine] = []
    for i, (weights, bias) in enumerate(layers):
        layer = _Affine(
            _finite(f"weights of layer {i}", weights, 2), _finite(f"bias of layer {i}", bias, 1)
        )
        outputs = layer.weights.shape[0]
        if layer.weights.shape[1] != features or layer.bias.shape != (outputs,):
            raise UserError(
                f"layer {i} takes {features} numbers, but its weights are "
                f"{layer.weights.shape} and its bias {layer.bias.shape}: write W as (out, in)"
            )
        network.append(layer)
        features = outputs
    return network


def _finite(name: str, data: ArrayLike, dimensions: int) -> Floats:
    array = np.asarray(data, np.float64)
    if array.ndim != dimensions or array.size == 0:
        raise UserError(f"{name} must have {dimensions} dimensions and not be empty")
    if not np.isfinite(array).all():
        raise UserError(f"{name} holds numbers that are not finite")
    return array
