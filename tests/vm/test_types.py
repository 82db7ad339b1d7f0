"""Intervals hold what they claim, and types count their bytes."""

from hypothesis import given
from hypothesis import strategies as st
from pouw.vm.types import DType, Interval, TensorType

numbers = st.integers(-(2**31), 2**31 - 1)
members = st.tuples(numbers, numbers, numbers).map(sorted)
"""lo, a member, hi."""


@given(members, members)
def test_products_and_sums_of_members_stay_inside(a: list[int], b: list[int]) -> None:
    one, other = Interval(a[0], a[2]), Interval(b[0], b[2])
    for combined, value in [
        (one.times(other), a[1] * b[1]),
        (one.plus(other), a[1] + b[1]),
        (one.sum_of(5), a[0] + a[0] + a[1] + a[2] + a[1]),
    ]:
        assert combined.lo <= value <= combined.hi


@given(members, members)
def test_the_bounds_of_a_product_are_reached(a: list[int], b: list[int]) -> None:
    product = Interval(a[0], a[2]).times(Interval(b[0], b[2]))
    corners = {x * y for x in (a[0], a[2]) for y in (b[0], b[2])}
    assert {product.lo, product.hi} <= corners


def test_within_includes_the_ends() -> None:
    assert Interval(-64, 63).within(Interval(-64, 63))
    assert not Interval(-65, 63).within(Interval(-64, 63))
    assert not Interval(-64, 64).within(Interval(-64, 63))


def test_clamp_returns_the_nearest() -> None:
    assert [Interval(-2, 3).clamp(v) for v in (-9, -2, 1, 3, 9)] == [-2, -2, 1, 3, 3]


def test_types_count_elements_rows_and_bytes() -> None:
    kind = TensorType(DType.INT32, (2, 3, 5))
    assert (kind.elements, kind.rows, kind.bytes) == (30, 6, 120)
    scalar = TensorType(DType.INT8, ())
    assert (scalar.elements, scalar.rows, scalar.bytes) == (1, 1, 1)
    assert str(kind) == "int32[2, 3, 5]"


def test_storage_is_little_endian_and_as_wide_as_stated() -> None:
    for dtype in DType:
        assert dtype.storage.itemsize == dtype.size
    assert TensorType(DType.INT32, (1,)).dtype.storage.str == "<i4"
