"""The ops of the tensor machine, a family per file, all in the rhythm of `base.Operation`.

A new op takes a file here, the next free tag, a price in `metering.py` and a place in `Op`. Tags
are never reused: they are part of every registered program.
"""

from typing import TypeAlias

from .argmax import Argmax
from .bias import Bias
from .lookup import Lookup
from .matmul import Matmul
from .relu import Relu
from .requantise import Requantise

Op: TypeAlias = Matmul | Bias | Requantise | Relu | Lookup | Argmax

__all__ = ["Op", "Matmul", "Bias", "Requantise", "Relu", "Lookup", "Argmax"]
