"""Overlays against plain dicts: reads through, real changes only, nesting that can be dropped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pouw.consensus.state_view import Overlay

KEYS = st.sampled_from([b"a", b"b", b"c", b"d"])
WRITES = st.lists(st.tuples(KEYS, st.none() | st.binary(max_size=1)), max_size=12)


def write(overlay: Overlay, key: bytes, value: bytes | None) -> None:
    if value is None:
        overlay.delete(key)
    else:
        overlay.put(key, value)


@given(st.dictionaries(KEYS, st.binary(max_size=1)), st.lists(st.tuples(WRITES, st.booleans())))
def test_nested_overlays_behave_like_dicts(
    base: dict[bytes, bytes], transactions: list[tuple[list[tuple[bytes, bytes | None]], bool]]
) -> None:
    untouched = dict(base)
    block = Overlay(base)
    model: dict[bytes, bytes] = dict(base)
    for writes, valid in transactions:
        inner = Overlay(block)
        trial = dict(model)
        for key, value in writes:
            write(inner, key, value)
            trial.pop(key, None)
            if value is not None:
                trial[key] = value
            assert inner.get(key) == value
        if valid:
            inner.commit_into_parent()
            assert inner.diff() == {}
            model = trial
        assert all(block.get(key) == model.get(key) for key in (b"a", b"b", b"c", b"d"))
    diff = block.diff()
    assert base == untouched
    assert list(diff) == sorted(diff)
    changed = {key for key in base.keys() | model.keys() if base.get(key) != model.get(key)}
    assert diff == {key: model.get(key) for key in changed}


def test_empty_value_is_not_a_deletion() -> None:
    overlay = Overlay({b"k": b"v"})
    overlay.put(b"k", b"")
    assert overlay.get(b"k") == b""
    assert overlay.diff() == {b"k": b""}
    overlay.delete(b"k")
    assert overlay.get(b"k") is None
    assert overlay.diff() == {b"k": None}


def test_only_a_nested_overlay_can_be_committed() -> None:
    overlay = Overlay({})
    overlay.put(b"k", b"v")
    with pytest.raises(TypeError, match="parent"):
        overlay.commit_into_parent()
    assert overlay.diff() == {b"k": b"v"}
