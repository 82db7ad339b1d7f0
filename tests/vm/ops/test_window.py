"""A window along one dimension: which taps meet which positions, counted one by one."""

from hypothesis import given
from hypothesis import strategies as st
from pouw.vm.ops.window import Track

lengths = st.integers(1, 12)


@given(
    lengths, lengths, st.integers(1, 6), st.integers(0, 12), st.integers(0, 12), st.integers(1, 4)
)
def test_overlaps_are_all_pairs_of_window_and_tap_inside(
    length: int, kernel: int, stride: int, before: int, after: int, dilation: int
) -> None:
    track = Track(length, kernel, stride, before, after, dilation)
    starts = range(-before, length + after - (kernel - 1) * dilation, stride)
    assert max(track.steps, 0) == len(starts)
    met = [
        (window, position)
        for to, source in track.overlaps()
        for window, position in zip(
            range(max(track.steps, 0))[to], range(length)[source], strict=True
        )
    ]
    expected = [
        (window, start + tap * dilation)
        for tap in range(kernel)
        for window, start in enumerate(starts)
        if 0 <= start + tap * dilation < length
    ]
    assert met == expected
