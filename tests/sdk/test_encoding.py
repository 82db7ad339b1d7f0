"""Cards that strangers wrote, and arrays on their way to integers and back."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.core.errors import UserError
from pouw.sdk.encoding import Affine, Encodings, Indices, Raw, decode_items, encode_items, read_card
from pouw.vm.types import Declaration, DType, Interval, TensorType

ITEM = Declaration(TensorType(DType.INT8, (2, 3)), Interval(-64, 63))
RESULT = TensorType(DType.INT32, (4,))
NONE = Encodings()


def card(**encoding: Any) -> str:
    return json.dumps({"description": "x", "encoding": encoding, "classes": ["a"]})


def read(text: str) -> Encodings:
    return read_card(text, ITEM.type, RESULT)


def test_a_card_tells_both_encodings() -> None:
    found = read(
        card(
            input={"kind": "affine", "scale": 0.5, "shift": 1, "note": "of a later version"},
            output={"kind": "affine", "scale": [1, 2, 3, 4.5], "shift": [0, 0, 0, 1]},
        )
    )
    assert found.input == Affine(0.5, 1.0)
    assert found.output == Affine((1.0, 2.0, 3.0, 4.5), (0.0, 0.0, 0.0, 1.0))
    assert not found.problem


def test_kinds_without_numbers() -> None:
    found = read(card(input={"kind": "indices"}))
    assert (found.input, found.output) == (Indices(), Raw())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        "[]",
        "{}",
        '{"encoding": null}',
        '{"encoding": 7}',
        "[" * 16_000,
        '{"a":' * 3_000 + "1" + "}" * 3_000,
        card(input={"kind": "pickle"}),
        card(input={"scale": 1.0}),
        card(input={"kind": "affine"}),
        card(input={"kind": "affine", "scale": 0}),
        card(input={"kind": "affine", "scale": 1e-200}),
        card(input={"kind": "affine", "scale": 1e200}),
        card(input={"kind": "affine", "scale": "1"}),
        card(input={"kind": "affine", "scale": 1, "shift": 10**400}),
        '{"encoding": {"input": {"kind": "affine", "scale": 1e999}}}',
        '{"encoding": {"input": {"kind": "affine", "scale": NaN}}}',
        card(input={"kind": "affine", "scale": [1.0, 2.0]}),
        card(input={"kind": "affine", "scale": []}),
        card(output={"kind": "affine", "scale": [1.0] * 5}),
        card(output={"kind": "affine", "scale": 1, "shift": [0.0]}),
    ],
)
def test_a_card_that_tells_nothing_usable_only_keeps_floats_out(text: str) -> None:
    found = read(text)
    assert (found.input, found.output) == (Raw(), Raw())
    assert found.problem
    with pytest.raises(UserError, match="encoding of floats is not known") as raised:
        encode_items(np.zeros((2, 3)), ITEM, found)
    assert found.problem in str(raised.value)
    items, _ = encode_items(np.ones((2, 3), np.int64), ITEM, found)
    assert items.tolist() == [[[1, 1, 1], [1, 1, 1]]]


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda b: b.decode("latin-1")))
def test_no_text_breaks_the_reader(text: str) -> None:
    assert read(text).input == Raw()


def test_one_item_and_a_batch() -> None:
    one = np.arange(6).reshape(2, 3)
    items, single = encode_items(one, ITEM, NONE)
    assert (items.shape, items.dtype, single) == ((1, 2, 3), np.int8, True)
    items, single = encode_items([one, one + 1], ITEM, NONE)
    assert (items.tolist(), single) == ([one.tolist(), (one + 1).tolist()], False)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((3, 2), int), "items of"),
        (np.zeros((1, 1, 2, 3), int), "items of"),
        (np.zeros(6, int), "items of"),
        (0, "items of"),
        (np.zeros((0, 2, 3), int), "no items"),
        (np.full((2, 3), 64), "span 64 to 64"),
        (np.full((2, 3), -65), "span -65"),
        (np.full((2, 3), 2**64 - 1, np.uint64), "span"),
        (np.full((2, 3), True), "bool"),
        (np.full((2, 3), 1j), "complex"),
        ([["a"] * 3] * 2, "integers or floats"),
        ([[1, 2, 3], [4]], "no array"),
        ([[None] * 3] * 2, "object"),
        (object(), "object"),
    ],
)
def test_what_does_not_fit_is_named(x: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        encode_items(x, ITEM, NONE)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_floats_must_be_finite(bad: float) -> None:
    with pytest.raises(UserError, match="not finite"):
        encode_items(np.full((2, 3), bad), ITEM, Encodings(Affine(1.0)))


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=6, max_size=6),
    st.floats(1e-3, 1e3).map(lambda scale: scale),
    st.floats(-1e3, 1e3),
)
def test_floats_become_the_nearest_integers_in_range(
    values: list[float], scale: float, shift: float
) -> None:
    x = np.array(values).reshape(2, 3)
    items, _ = encode_items(x, ITEM, Encodings(Affine(scale, shift)))
    for value, q in zip(values, items.ravel().tolist(), strict=True):
        nearest = round((value - shift) / scale)
        assert q == max(-64, min(63, nearest))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-64, 63), min_size=6, max_size=6), st.integers(-20, 20))
def test_what_was_decoded_encodes_to_itself(values: list[int], power: int) -> None:
    q = np.array(values, np.int8).reshape(1, 2, 3)
    affine = Affine((2.0**power, 1.0, -3.0), (0.0, 5.0, -1.0))
    both = Encodings(affine, affine)
    again, _ = encode_items(decode_items(q, both), ITEM, both)
    assert again.tolist() == q.tolist()


def test_integers_stay_integers_without_an_encoding() -> None:
    raw = np.arange(4, dtype=np.int32)[np.newaxis]
    assert decode_items(raw, NONE) is raw
    assert decode_items(raw, Encodings(output=Indices())) is raw


def part(**fields: Any) -> dict[str, Any]:
    plain = {"shape": [3, 2], "order": [1, 0], "kind": "float", "scale": [0.5], "offset": [1.0]}
    return {**plain, "name": "x", "lo": -64, "hi": 63, **fields}


def codec(*inputs: dict[str, Any], dtype: str = "int8", **decoder: Any) -> str:
    plain = {"shape": [4], "order": [0], "kind": "float", "scale": [2.0], "offset": [0.0]}
    return json.dumps(
        {
            "encoding": {
                "version": 1,
                "encoder": {"inputs": list(inputs) or [part()], "dtype": dtype},
                "decoder": {**plain, "dtype": "int32", "low": 0.0, "high": None, **decoder},
            }
        }
    )


def test_the_quantisers_codec_in_a_card() -> None:
    """Users see items of (3, 2), the machine takes (2, 3)."""
    found = read(codec())
    assert not found.problem
    x = np.arange(6).reshape(3, 2) / 2 + 1
    items, single = encode_items(x, ITEM, found)
    assert (items.tolist(), single) == ([np.arange(6).reshape(3, 2).T.tolist()], True)
    batch, single = encode_items({"x": np.stack([x, x])}, ITEM, found)
    assert (batch.tolist(), single) == (items.tolist() * 2, False)
    straight, _ = encode_items(np.ones((2, 3), int), ITEM, found)
    assert straight.tolist() == [[[1] * 3] * 2], "integers are the machine's"
    assert decode_items(np.array([[-1, 0, 1, 2]]), found).tolist() == [[0, 0, 2, 4]]
    with pytest.raises(UserError, match="items of"):
        encode_items(x.T, ITEM, found)
    with pytest.raises(UserError, match="inputs are x"):
        encode_items({"y": x}, ITEM, found)


def test_several_inputs_by_name() -> None:
    first = part(name="ids", shape=[2], order=[0], kind="index", scale=[1.0], offset=[0.0], lo=0)
    second = part(name="mask", shape=[2, 2], order=[0, 1])
    kind = TensorType(DType.INT8, (6,))
    found = read_card(codec(first, second), kind, RESULT)
    assert not found.problem
    item = Declaration(kind, Interval(-64, 63))
    inputs = {"ids": [7, 8], "mask": np.ones((2, 2))}
    items, single = encode_items(inputs, item, found)
    assert (items.tolist(), single) == ([[7, 8, 0, 0, 0, 0]], True)
    for wrong in ({"ids": [7, 8]}, {**inputs, "more": 1}, {**inputs, "ids": [[7, 8]]}):
        with pytest.raises(UserError):
            encode_items(wrong, item, found)
    with pytest.raises(UserError, match="not known"):
        encode_items(np.ones(6), item, found)


@pytest.mark.parametrize(
    "text",
    [
        codec(part(shape=[2, 3])),
        codec(part(order=[0, 0])),
        codec(part(order=[5, 6])),
        codec(part(scale=[0.0])),
        codec(part(scale=[1e300])),
        codec(part(scale=[1.0] * 7)),
        codec(part(shape=[2**20] * 8, order=list(range(8)))),
        codec(part(), part()),
        codec(dtype="int32"),
        codec(shape=[5]),
        codec(dtype="int8", kind="pickle"),
        codec(offset=[1e300]),
    ],
)
def test_a_codec_that_is_not_the_models_only_keeps_floats_out(text: str) -> None:
    found = read(text)
    assert found.codec is None
    assert "cannot be used" in found.problem
    with pytest.raises(UserError, match="not known"):
        encode_items(np.ones((2, 3)), ITEM, found)


def test_names_need_a_card() -> None:
    with pytest.raises(UserError, match="names no inputs"):
        encode_items({"x": np.ones((2, 3), int)}, ITEM, NONE)
