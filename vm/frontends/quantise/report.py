"""What quantising cost, in accuracy and in work, node by node."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .weights import decibels


@dataclass(frozen=True, slots=True)
class NodeReport:
    """One node on the calibration data, integers against floats."""

    op: str
    source: str
    shape: tuple[int, ...]
    sqnr: float
    """Signal to quantisation noise in dB, of everything up to here; of an index, 99 or −99."""
    mean_error: float
    """Mean absolute error; of an index, the share of wrong ones."""
    own_sqnr: float | None
    """Of this node's rounding alone, in dB, where it is a product or a table."""
    limbs: int
    """Operands per number of its input: 1, or 2 for thirteen bits."""


@dataclass(frozen=True, slots=True)
class Report:
    """The whole model."""

    nodes: tuple[NodeReport, ...]
    metric: str
    """"mean cosine" of outputs, or "agreement" of choices, on the calibration data."""
    score: float
    macs: int
    """Multiply-accumulates per item."""
    weight_bytes: int
    item_bytes: int
    """Metered bytes per item."""
    trace_bytes: int
    """Bytes of all results of one item together."""

    def as_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    def table(self) -> str:
        """Return a text for people, a line per node."""
        width = max((len(n.source) for n in self.nodes), default=4)
        lines = [f"{'op':<11} {'node':<{width}} {'SQNR':>7} {'own':>7} {'error':>9}  limbs"]
        for node in self.nodes:
            own = "" if node.own_sqnr is None else f"{node.own_sqnr:.1f}"
            lines.append(
                f"{node.op:<11} {node.source:<{width}} {node.sqnr:>7.1f} {own:>7} "
                f"{node.mean_error:>9.2g}  {node.limbs if own else ''}".rstrip()
            )
        lines += [
            "",
            f"{self.metric} {self.score:.4f} on the calibration data",
            f"{self.macs:,} MACs and {self.item_bytes:,} metered bytes per item, "
            f"{self.weight_bytes:,} bytes of weights",
        ]
        return "\n".join(lines)


def errors_of(reference: NDArray[Any], found: NDArray[Any], *, index: bool) -> tuple[float, float]:
    """Return (SQNR in dB, mean absolute error) of a value; masked numbers do not count."""
    found = np.broadcast_to(found, reference.shape)
    if index:
        wrong = float(np.mean(reference != found))
        return (-99.0 if wrong else 99.0), wrong
    wide = reference.astype(np.float64)
    counted = wide > _MASKED
    if not counted.any():
        return 99.0, 0.0
    error = found[counted] - wide[counted]
    return decibels(wide[counted], error), float(np.abs(error).mean())


_MASKED = -1000.0
"""Scores below this are those of a mask, and as good as any so low."""


def score_of(reference: NDArray[Any], found: NDArray[Any], *, index: bool) -> tuple[str, float]:
    """Return the name and value of the model's metric over items."""
    if index:
        return "agreement", float(np.mean(reference == found))
    ours, theirs = (x.reshape(len(x), -1).astype(np.float64) for x in (found, reference))
    sizes = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    cosines = (ours * theirs).sum(axis=1) / np.maximum(sizes, 1e-30)
    return "mean cosine", float(cosines.mean())
