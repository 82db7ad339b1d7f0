"""The quantiser: from a float graph to a program of the tensor machine.

`quantise` walks the graph once or twice. Each node's lowering adds ops to a `Tape`, which runs them
on the calibration data at once; values travel as `Wire`s, integers with what they stand for. A
float evaluation walks along, so that every node's error is known.
"""

from .codec import Codec, Decoder, Encoder, read_codec
from .pipeline import Quantised, quantise
from .report import NodeReport, Report

__all__ = [
    "Codec", "Decoder", "Encoder", "NodeReport", "Quantised", "Report", "quantise", "read_codec",
]  # fmt: skip
