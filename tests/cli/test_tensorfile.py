"""Inputs from files: raw and .npy, held to the model, against numpy itself and hostile headers."""

import io
import tempfile
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pouw.cli.tensorfile import (
    InputRule,
    output_array,
    read_input,
    require_result_name,
    write_result,
)
from pouw.core.errors import UserError
from pouw.vm.types import Declaration, DType, Interval, TensorType

ORDERS: Final[tuple[Literal["C", "F"], ...]] = ("C", "F")
DTYPES = {DType.INT8: np.int8, DType.INT32: np.int32}


def rule(dtype: DType, *shape: int, lo: int = -64, hi: int = 63, most: int = 100) -> InputRule:
    return InputRule(Declaration(TensorType(dtype, shape), Interval(lo, hi)), most)


BYTES16 = rule(DType.INT8, 16)


def npy(array: NDArray[Any], version: tuple[int, int] | None = None) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version, allow_pickle=True)
    return buffer.getvalue()


def with_header(text: str, values: bytes = bytes(16), version: int = 1) -> bytes:
    """Build an .npy file by hand."""
    width = 2 if version == 1 else 4
    start = b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(width, "little")
    return start + text.encode("latin-1") + values


def refuse(tmp_path: Path, content: bytes, expected: InputRule = BYTES16) -> str:
    path = tmp_path / "input.npy"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_input(path, expected)
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message and message.isprintable()
    return message


@given(
    shape=st.lists(st.integers(1, 5), max_size=4),
    items=st.integers(1, 9),
    dtype=st.sampled_from(DType),
    order=st.sampled_from(ORDERS),
    big=st.booleans(),
    version=st.sampled_from([(1, 0), (2, 0), (3, 0)]),
    seed=st.integers(0, 2**32),
)
def test_npy_gives_what_numpy_reads(
    shape: list[int],
    items: int,
    dtype: DType,
    order: Literal["C", "F"],
    big: bool,
    version: tuple[int, int],
    seed: int,
) -> None:
    values = np.random.default_rng(seed).integers(-64, 64, (items, *shape), DTYPES[dtype])
    stored = np.asarray(values, order=order).astype(values.dtype.newbyteorder(">" if big else "<"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "input.npy"
        path.write_bytes(npy(np.asarray(stored, order=order), version))
        data = read_input(path, rule(dtype, *shape))
        assert data == values.astype(dtype.storage).tobytes()
        raw = Path(folder) / "input.raw"
        raw.write_bytes(data)
        assert read_input(raw, rule(dtype, *shape)) == data


@given(st.binary(max_size=300), st.booleans())
def test_no_file_gives_anything_but_a_value_or_one_line(content: bytes, magic: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "input.npy"
        path.write_bytes(b"\x93NUMPY\x01\x00" + content if magic else content)
        with pytest.raises(UserError):
            read_input(path, BYTES16)


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((2, 16), np.int32), "'<i4', the model takes int8"),
        (np.zeros((2, 16), np.uint8), "'|u1'"),
        (np.zeros((2, 16), np.int64), "'<i8'"),
        (np.zeros((2, 16), np.float32), "'<f4'"),
        (np.zeros((2, 16), np.bool_), "'|b1'"),
        (np.array([[{}] * 16]), "'|O'"),
        (np.zeros(2, [("a", "i1")]), "plain array"),
        (np.zeros(16, np.int8), "the shape is [16], the model takes [items, 16]"),
        (np.zeros((2, 15), np.int8), "the shape is [2, 15]"),
        (np.zeros((2, 4, 4), np.int8), "the shape is [2, 4, 4]"),
        (np.zeros((), np.int8), "the shape is []"),
        (np.zeros((0, 16), np.int8), "0 items"),
        (np.zeros((101, 16), np.int8), "101 items, the model takes 1 to 100"),
        (np.full((2, 16), 64, np.int8), "64"),
        (np.full((2, 16), -65, np.int8), "-65"),
    ],
)
def test_arrays_that_are_not_the_models_input(
    tmp_path: Path, array: NDArray[Any], reason: str
) -> None:
    assert reason in refuse(tmp_path, npy(array))


GOOD = "{'descr': '|i1', 'fortran_order': False, 'shape': (1, 16), }\n"


def test_the_hand_made_file_is_good(tmp_path: Path) -> None:
    for version in (1, 2, 3):
        path = tmp_path / "input.npy"
        path.write_bytes(with_header(GOOD, version=version))
        assert read_input(path, BYTES16) == bytes(16)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        with_header(GOOD)[:40],
        with_header(GOOD, version=4),
        with_header(GOOD, version=0),
        with_header(GOOD, bytes(15)),
        with_header(GOOD, bytes(32)),
        with_header(GOOD.replace("(1, 16)", "(1099511627776, 16)")),
        with_header(GOOD.replace("(1, 16)", "(-1, 16)")),
        with_header(GOOD.replace("(1, 16)", "(1 1, 16)")),
        with_header(GOOD.replace("(1, 16)", "(, 16)")),
        with_header(GOOD.replace("(1, 16)", "(1,, 16)")),
        with_header(GOOD.replace("(1, 16)", "(1, 16" + ", 1" * 50 + ")")),
        with_header(GOOD.replace("(1, 16)", "(" + "9" * 120 + ", 16)")),
        with_header(GOOD.replace("False", "0")),
        with_header(GOOD.replace("'|i1'", "__import__('os')")),
        with_header(GOOD.replace("|i1", "|i1,|i1")),
        with_header(GOOD.replace("|i1", "\x1b[31m")),
        with_header("(" * 3_000),
        with_header(GOOD + " " * 5_000),
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + GOOD.encode(),
        b"PK\x03\x04" + bytes(100),
    ],
)
def test_hostile_files_are_one_line(tmp_path: Path, content: bytes) -> None:
    refuse(tmp_path, content)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "input.npy"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UserError, match="is longer than"):
        read_input(path, BYTES16)
    with pytest.raises(UserError, match="there is no file"):
        read_input(tmp_path / "missing.npy", BYTES16)


@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=5),
    dtype=st.sampled_from(DType),
    seed=st.integers(0, 2**32),
)
def test_results_are_written_and_read_back(shape: list[int], dtype: DType, seed: int) -> None:
    values = np.random.default_rng(seed).integers(-64, 64, shape, DTYPES[dtype])
    output = values.astype(dtype.storage).tobytes()
    array = output_array(output, dtype.name.lower(), tuple(shape))
    with tempfile.TemporaryDirectory() as folder:
        npy_file, raw = Path(folder) / "a.npy", Path(folder) / "a.bin"
        write_result(npy_file, array)
        write_result(raw, array)
        loaded = np.load(npy_file, allow_pickle=False)
        assert loaded.dtype == values.dtype and np.array_equal(loaded, values)
        assert raw.read_bytes() == output


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [
        ("int8", (3,)),
        ("int32", (4,)),
        ("float32", (1,)),
        ("storage", (4,)),
        ("\x1b" * 99, (4,)),
        ("int8", ()),
        ("int8", (2**62, 4)),
        ("int8", (4, 0)),
        ("int8", (1, 1, 1, 1, 1, 4)),
    ],
)
def test_a_result_of_another_size_is_refused(dtype: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError) as caught:
        output_array(bytes(4), dtype, shape)
    assert str(caught.value).isprintable()


def test_only_known_names_are_written(tmp_path: Path) -> None:
    require_result_name(tmp_path / "a.npy")
    require_result_name(tmp_path / "a.bin")
    (tmp_path / "b.npy").touch()
    for name in ("a", "a.txt", "a.npz", "b.npy"):
        with pytest.raises(UserError):
            require_result_name(tmp_path / name)
