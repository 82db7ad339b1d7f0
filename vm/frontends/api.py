"""`pouw.quantize`: one call from a trained model to what the network runs, and its files.

PyTorch and onnx are loaded when a model of theirs is passed in, not before.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...core.codec import encode
from ...core.errors import UserError
from .card import card_of
from .graph import Graph, GraphInput
from .quantise import Quantised, quantise
from .quantise.pipeline import Progress

if TYPE_CHECKING:
    from torch import Tensor, nn

Model: TypeAlias = "nn.Module | Graph | str | Path"
Calibration: TypeAlias = "Tensor | ArrayLike | Sequence[Tensor] | Mapping[str, ArrayLike]"

SUFFIXES: Final = (".program", ".weights", ".card")


def quantize(model: Model, calibration: Calibration, progress: Progress | None = None) -> Quantised:
    """Return a trained model as a program of the machine, with weights, codec and report.

    `model` is a PyTorch module in evaluation mode, the path of an ONNX file, or a float graph.
    `calibration` holds typical inputs (items, …), some dozens: a tensor or array; for several
    inputs a sequence in the order of `forward`'s arguments, or arrays by the names of the inputs.
    `progress` is told the share done and the step.

    Raises UserError where a part of the model has no counterpart, naming all of them and what to
    do, or where the data do not fit.
    """
    if isinstance(model, Graph):
        graph = model
    elif isinstance(model, (str, Path)):
        graph = graph_of_file(Path(model))
    else:
        graph = _graph_of_module(model, calibration)
    return quantise(graph, _arrays(graph, calibration), progress=progress)


def graph_of_file(
    file: Path,
    *,
    output: str | None = None,
    dimensions: Mapping[str, int] | None = None,
    maximum: Mapping[str, int] | None = None,
) -> Graph:
    """Return the float graph of an ONNX file; see `onnx_import.graph_of_onnx`. Raises UserError."""
    front_end = _front_end("onnx_import", "onnx", "models")
    return front_end.graph_of_onnx(file, output=output, dimensions=dimensions, maximum=maximum)


def save(
    quantised: Quantised,
    folder: str | Path,
    name: str,
    *,
    description: str = "",
    source: Mapping[str, str] | None = None,
    classes: Sequence[str] = (),
) -> tuple[Path, Path, Path]:
    """Write NAME.program, NAME.weights and NAME.card, as `pouw model register` takes them.

    Nothing is overwritten. Raises UserError where a file exists or cannot be written, or the card
    does not fit (see `card_of`).
    """
    card = card_of(quantised, description=description, source=source, classes=classes)
    contents = encode(quantised.program), quantised.weights, f"{card}\n".encode()
    program, weights, described = files_of(Path(folder), name)
    try:
        program.parent.mkdir(parents=True, exist_ok=True)
        for path, content in zip((program, weights, described), contents, strict=True):
            with path.open("xb") as file:
                file.write(content)
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}") from None
    return program, weights, described


def files_of(folder: Path, name: str) -> tuple[Path, Path, Path]:
    """Return the names of a model's three files. Raises UserError where one exists already."""
    program, weights, card = (folder / f"{name}{suffix}" for suffix in SUFFIXES)
    for path in (program, weights, card):
        if path.exists():
            raise UserError(f"{path} exists already and is never overwritten: name another")
    return program, weights, card


def _graph_of_module(module: Any, calibration: Calibration) -> Graph:
    front_end = _front_end("torch_import", "torch", "miner")
    torch = front_end.torch
    if not isinstance(module, torch.nn.Module):
        raise UserError(
            f"{type(module).__name__} is no model: pass a PyTorch module or the path of an ONNX "
            "file; never a pickle"
        )
    if isinstance(calibration, Mapping):
        raise UserError("give a module's inputs in the order of forward's arguments, not by name")
    return front_end.graph_of_module(module, [torch.as_tensor(p) for p in _parts(calibration)])


def _arrays(graph: Graph, calibration: Calibration) -> dict[str, NDArray[Any]]:
    """Return the calibration data by input. Raises UserError where they do not fit."""
    names = [entry.name for entry in graph.inputs]
    if isinstance(calibration, Mapping):
        data = {str(name): np.asarray(array) for name, array in calibration.items()}
    else:
        parts = [np.asarray(part) for part in _parts(calibration)]
        data = dict(zip(names, parts, strict=False)) if len(parts) == len(names) else {}
    if set(data) != set(names):
        raise UserError(
            f"the model has the inputs {', '.join(names)}: give calibration data for each"
        )
    for entry in graph.inputs:
        _check_items(entry, data[entry.name])
    if len({len(array) for array in data.values()}) > 1:
        raise UserError("the calibration data of the inputs have different numbers of items")
    return data


def _check_items(entry: GraphInput, array: NDArray[Any]) -> None:
    if array.ndim == 0 or not len(array) or array.shape[1:] != entry.shape:
        raise UserError(
            f"the calibration data of {entry.name} have shape {list(array.shape)}: give "
            f"(items, …) with items of {list(entry.shape)}"
        )
    wanted, kinds = ("numbers", "fiub") if entry.kind == "float" else ("integers", "iu")
    if array.dtype.kind not in kinds or not np.isfinite(array).all():
        raise UserError(f"the calibration data of {entry.name} must be finite {wanted}")
    if entry.kind == "index" and (array.min() < 0 or array.max() > entry.maximum):
        raise UserError(f"the entries of {entry.name} go from 0 to {entry.maximum}")


def _parts(calibration: Any) -> list[Any]:
    """Return what was given for each input."""
    return list(calibration) if isinstance(calibration, (list, tuple)) else [calibration]


def _front_end(module: str, package: str, extra: str) -> Any:
    """Load a reader of models. Raises UserError where what it needs is not installed."""
    try:
        return import_module(f".{module}", __package__)
    except ModuleNotFoundError as error:
        raise UserError(
            f"reading this model needs {package}: pip install 'pouw[{extra}]'"
        ) from error
