"""Codecs read back as written, encode within bounds, and refuse everything else."""

import json
from typing import Any

import numpy as np
import pytest
from pouw.core.errors import UserError
from pouw.vm.frontends.quantise.codec import (
    MAX_CODEC_BYTES,
    Codec,
    Decoder,
    Encoder,
    InputPart,
    read_codec,
)

IMAGE = InputPart((3, 2, 2), (1, 2, 0), "float", (0.5,), (1.0,), name="image", lo=-64, hi=63)
IDS = InputPart((4,), (0,), "index", (1.0,), (0.0,), name="ids", lo=0, hi=9)
OUTPUT = Decoder((2, 3), (1, 0), "float", (0.5, 2.0), (0.0, 1.0), dtype="int32", low=0.0, high=None)
CODEC = Codec(1, Encoder((IMAGE,), "int8"), OUTPUT)


def test_reads_back_what_it_wrote() -> None:
    assert read_codec(CODEC.as_json()) == CODEC


def test_images_are_turned_and_clipped() -> None:
    x = np.arange(12, dtype=np.float32).reshape(1, 3, 2, 2)
    x[0, 0, 0, 0] = 1e6
    blob = np.frombuffer(CODEC.encoder.encode(x), np.int8).reshape(2, 2, 3)
    assert blob[0, 0].tolist() == [63, 6, 14]
    assert blob[1, 1].tolist() == [4, 12, 20]


def test_several_inputs_lie_one_after_the_other() -> None:
    encoder = Encoder((IDS, IMAGE), "int32")
    data = {"ids": np.array([[1, 2, 3, 9]]), "image": np.ones((1, 3, 2, 2))}
    flat = np.frombuffer(encoder.encode(data), "<i4")
    assert flat.tolist() == [1, 2, 3, 9, *[0] * 12]


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (np.zeros((2, 3, 2)), "items of"),
        (np.full((1, 3, 2, 2), np.nan), "finite"),
        (np.zeros((0, 3, 2, 2)), "items of"),
        ({"picture": np.zeros((1, 3, 2, 2))}, "inputs are image"),
    ],
)
def test_refuses_inputs_that_do_not_fit(data: Any, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        CODEC.encoder.encode(data)


@pytest.mark.parametrize("ids", [[0, 1, 2, 10], [-1, 0, 0, 0], [0.0, 1.0, 2.0, 3.0]])
def test_refuses_indices_out_of_range(ids: list[float]) -> None:
    with pytest.raises(UserError, match="integers from 0 to 9"):
        Encoder((IDS,), "int32").encode(np.array([ids]))


def test_items_must_agree_in_number() -> None:
    data = {"ids": np.zeros((2, 4), int), "image": np.zeros((1, 3, 2, 2))}
    with pytest.raises(UserError, match="different numbers"):
        Encoder((IDS, IMAGE), "int32").encode(data)


def test_outputs_are_scaled_per_channel_and_clipped() -> None:
    data = np.array([[1, 2], [-3, 4], [5, -6]], "<i4")
    found = OUTPUT.decode(data.tobytes())
    assert found.shape == (1, 2, 3) and found.dtype == np.float32
    assert found[0].tolist() == [[0.5, 0.0, 2.5], [5.0, 9.0, 0.0]]


@pytest.mark.parametrize("size", [0, 23, 25])
def test_refuses_parts_of_an_output(size: int) -> None:
    with pytest.raises(UserError, match="whole number"):
        OUTPUT.decode(bytes(size))


def hostile(**changes: Any) -> bytes:
    plain = json.loads(CODEC.as_json())
    for path, value in changes.items():
        target = plain
        *folders, name = path.split("__")
        for folder in folders:
            target = target[int(folder) if folder.isdigit() else folder]
        target[name] = value
    return json.dumps(plain).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        bytes(MAX_CODEC_BYTES + 1),
        hostile(version=2),
        hostile(extra=1),
        hostile(encoder__inputs=[]),
        hostile(encoder__dtype="float64"),
        hostile(encoder__inputs__0__scale=[0.0]),
        hostile(encoder__inputs__0__scale=[-1.0]),
        hostile(encoder__inputs__0__scale=[1.0, 1.0]),
        hostile(encoder__inputs__0__order=[0, 1, 1]),
        hostile(encoder__inputs__0__shape=[3, 2, 0]),
        hostile(encoder__inputs__0__shape=[2**21, 2, 2]),
        hostile(encoder__inputs__0__shape=[1] * 9),
        hostile(encoder__inputs__0__lo=70),
        hostile(encoder__inputs__0__hi=2**31),
        hostile(encoder__inputs__0__name="x" * 257),
        hostile(decoder__order=[0]),
        hostile(decoder__scale=[]),
        hostile(decoder__scale=[float("inf")]),
        CODEC.as_json().replace(b"0.5", b"1e999"),
    ],
)
def test_refuses_files_it_did_not_write(data: bytes) -> None:
    with pytest.raises(UserError):
        read_codec(data)
