"""`pouw model import`: a trained ONNX model becomes program, weights and card."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
from numpy.typing import NDArray

from ..core.errors import UserError
from ..core.transaction import MAX_NAME_CHARS
from ..vm.frontends.api import files_of, graph_of_file, quantize, save
from ..vm.frontends.card import MAX_CLASSES
from ..vm.frontends.graph import Graph
from ..vm.frontends.quantise import Quantised
from ..wallet.private_file import read_bounded
from .common import json_option, print_fields, print_json, print_rows
from .progress import shown_progress
from .tensorfile import read_numbers

_MAX_CALIBRATION_BYTES: Final = 2**30
_MAX_CLASSES_BYTES: Final = 2**18
_DEFAULT_ITEMS: Final = 128
_PATH: Final = click.Path(dir_okay=False, path_type=Path)
_PICKLES: Final = (b"\x80", b"PK\x03\x04")
"""First bytes of Python's pickles, and of the archives that PyTorch packs them in."""
_PICKLE_NAMES: Final = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib")


@dataclass(frozen=True, slots=True)
class _Source:
    """The file that a model came from."""

    name: str
    sha256: str


@click.command(
    name="import",
    epilog="Example: pouw model import digits.onnx --calibrate images.npy --output digits/",
)
@click.argument("file", metavar="MODEL.onnx", type=_PATH)
@click.option(
    "--calibrate",
    "calibration",
    multiple=True,
    required=True,
    metavar="[INPUT=]FILE",
    help="An .npy array [items, …] of typical inputs; repeatable, by name, for several inputs.",
)
@click.option(
    "--output",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for the three files; made if need be.",
)
@click.option("--name", help="What the files are called.  [default: as MODEL.onnx is]")
@click.option("--description", default="", help="A sentence for the card.")
@click.option(
    "--classes", metavar="FILE|A,B,…", help="Names of the classes: one per line, or a list."
)
@click.option(
    "--items",
    type=click.IntRange(1, 10_000),
    default=_DEFAULT_ITEMS,
    show_default=True,
    help="Items to calibrate with at most, taken evenly from the file.",
)
@click.option("--choose", metavar="OUTPUT", help="Which output, where the model has several.")
@click.option(
    "--dimension",
    "dimensions",
    multiple=True,
    metavar="NAME=LENGTH",
    help="Fix a free dimension of the model; repeatable.",
)
@click.option(
    "--maximum",
    "maxima",
    multiple=True,
    metavar="INPUT=NUMBER",
    help="Largest entry of an integer input; repeatable.",
)
@json_option
def import_model(
    file: Path,
    calibration: tuple[str, ...],
    folder: Path,
    name: str | None,
    description: str,
    classes: str | None,
    items: int,
    choose: str | None,
    dimensions: tuple[str, ...],
    maxima: tuple[str, ...],
    as_json: bool,
) -> None:
    """Quantise MODEL.onnx and write NAME.program, NAME.weights and NAME.card.

    The report tells what that costs in accuracy, node by node. PyTorch models are quantised in
    Python, by pouw.quantize(module, calibration): pickles are never read.
    """
    called = _checked_name(file.stem if name is None else name)
    files_of(folder, called)
    names = [] if classes is None else read_classes(classes)
    _require_onnx(file)
    data = [_read_calibration(each, items) for each in calibration]
    graph = graph_of_file(
        file, output=choose, dimensions=_numbers(dimensions), maximum=_numbers(maxima)
    )
    source = _Source(file.name, _sha256(file))
    with shown_progress() as progress:
        quantised = quantize(
            graph,
            _by_input(graph, data),
            lambda share, _: progress("quantising", round(100 * share), 100),
        )
    paths = save(
        quantised,
        folder,
        called,
        description=description,
        source={"file": source.name, "sha256": source.sha256},
        classes=names,
    )
    if as_json:
        print_json(_facts(called, paths, source, quantised))
        return
    _print_report(quantised)
    _print_next(called, paths)


def read_classes(text: str) -> list[str]:
    """Return names from the file of this name, one per line, or from a list with commas.

    Raises UserError where there are none or too many.
    """
    if "," in text:
        names = text.split(",")
    else:
        try:
            names = read_bounded(Path(text), _MAX_CLASSES_BYTES).decode().splitlines()
        except UnicodeDecodeError:
            raise UserError(f"{text} is not UTF-8 text: write one class per line") from None
    names = [name.strip() for name in names]
    if not names or len(names) > MAX_CLASSES or not all(names):
        raise UserError(f"--classes takes 1 to {MAX_CLASSES} names, and none of them empty")
    return names


def _checked_name(name: str) -> str:
    if not name or len(name) > MAX_NAME_CHARS or "/" in name or not name.isprintable():
        raise UserError(
            f"files cannot be called so: give --name with 1 to {MAX_NAME_CHARS} characters and no /"
        )
    return name


def _require_onnx(file: Path) -> None:
    """Raise UserError for what is known to be something else, saying what to do instead."""
    try:
        with file.open("rb") as opened:
            start = opened.read(4)
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from None
    if file.suffix in _PICKLE_NAMES or start.startswith(_PICKLES):
        raise UserError(
            f"{file} looks like a pickle, which can run anything when it is read: load it in a "
            "program of yours and call pouw.quantize(module, calibration), or torch.onnx.export"
        )
    if file.suffix == ".safetensors":
        raise UserError(
            f"{file} holds weights without the model that they belong to: load them into it and "
            "call pouw.quantize(module, calibration), or export it to ONNX"
        )


def _read_calibration(text: str, items: int) -> tuple[str | None, NDArray[Any]]:
    """Read [INPUT=]FILE; return the input's name, if any, and some of the items."""
    name, separator, path = text.partition("=")
    if not separator or Path(text).is_file():
        name, path = "", text
    data = read_bounded(Path(path), _MAX_CALIBRATION_BYTES)
    try:
        array = read_numbers(data)
    except UserError as error:
        raise UserError(f"{path}: {error}; write it with numpy.save(file, array)") from None
    if array.ndim == 0 or not len(array):
        raise UserError(f"{path} holds no items: its first dimension counts them")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise UserError(f"{path} holds numbers that are not finite")
    picked = np.unique(np.linspace(0, len(array) - 1, items).astype(np.int64))
    return name or None, array[picked]


def _by_input(
    graph: Graph, data: Sequence[tuple[str | None, NDArray[Any]]]
) -> dict[str, NDArray[Any]]:
    """Return the calibration data by the names of the graph's inputs. Raises UserError."""
    names = [entry.name for entry in graph.inputs]
    given = [name for name, _ in data]
    if len(data) == len(names) == 1 and given[0] is None:
        given = list(names)
    if sorted(name or "" for name in given) != sorted(names):
        wanted = " ".join(f"--calibrate {name}=FILE" for name in names)
        raise UserError(f"the model's inputs are {', '.join(names)}: give {wanted}")
    return {name: array for name, (_, array) in zip(given, data, strict=True) if name is not None}


def _numbers(words: Sequence[str]) -> dict[str, int]:
    """Read each NAME=NUMBER. Raises UserError."""
    found: dict[str, int] = {}
    for word in words:
        name, _, number = word.rpartition("=")
        if not name or not number.isascii() or not number.isdigit() or len(number) > 9:
            raise UserError(f"'{word}' is not NAME=NUMBER, like sequence=128")
        found[name] = int(number)
    return found


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _facts(
    name: str, paths: Sequence[Path], source: _Source, quantised: Quantised
) -> dict[str, Any]:
    program, weights, card = map(str, paths)
    return {
        "name": name,
        "files": {"program": program, "weights": weights, "card": card},
        "source": {"file": source.name, "sha256": source.sha256},
        "report": quantised.report.as_json(),
    }


def _print_report(quantised: Quantised) -> None:
    report = quantised.report
    rows = [
        (
            node.op,
            node.source,
            f"{node.sqnr:.1f}",
            "" if node.own_sqnr is None else f"{node.own_sqnr:.1f}",
            node.mean_error,
            node.limbs,
        )
        for node in report.nodes
    ]
    columns = ("op", "node", "SQNR dB", "alone", "mean error", "limbs")
    print_rows(columns, rows, "the model has no nodes")
    click.echo()
    print_fields(
        {
            f"{report.metric}, on the calibration data": f"{report.score:.4f}",
            "multiply-accumulates per item": f"{report.macs:,}",
            "bytes touched per item": f"{report.item_bytes:,}",
            "bytes of weights": f"{report.weight_bytes:,}",
        }
    )


def _print_next(name: str, paths: Sequence[Path]) -> None:
    program, weights, card = paths
    click.echo(
        f"\npouw model register --program {program} --weights {weights} --card {card} "
        f"--name {name!r}"
    )
