"""Windows over a scene: their cores tile it, their margins hold, and strides fall alike everywhere."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tile2vec_cli.segmentation.windows import Layout

sizes = st.integers(1, 90)


@given(
    sizes, sizes, st.integers(1, 60), st.integers(0, 9), st.sampled_from([1, 2, 4, 8]), st.integers(-99, 99)
)
def test_every_pixel_lies_in_one_core(
    height: int, width: int, side: int, margin: int, stride: int, shift: int
) -> None:
    transform = (30.0, 0.0, 30.0 * shift, 0.0, -30.0, -60.0 * shift)
    layout = Layout.over(height, width, transform, side=side, margin=margin, stride=stride)
    seen = np.zeros((height, width), int)
    shapes = set()
    for rows, cols in layout:
        seen[rows.core_start : rows.core_stop, cols.core_start : cols.core_stop] += 1
        shapes.add((rows.stop - rows.start, cols.stop - cols.start))
        for span in (rows, cols):
            assert span.core_start - span.start >= margin
            assert span.stop - span.core_stop >= margin
        # On the map, windows begin at multiples of the stride.
        assert (cols.start + shift) % stride == 0
        assert (rows.start + 2 * shift) % stride == 0
    assert (seen == 1).all()
    assert len(shapes) == 1
    assert all(length % stride == 0 for length in shapes.pop())


def test_windows_are_no_larger_than_the_scene_needs() -> None:
    layout = Layout.over(100, 100, (30.0, 0, 0, 0, -30.0, 0), side=512, margin=56, stride=8)
    (rows, _) = next(iter(layout))
    assert rows.stop - rows.start == 104 + 2 * 56
    assert len(list(layout)) == 1


def test_half_a_pixel_off_the_grid_is_the_same_phase_in_a_crop() -> None:
    phases = [
        (Layout.over(9, 9, (30.0, 0, 30 * k + 15.0, 0, -30.0, 0), side=9, margin=0, stride=4).col_phase - k)
        % 4
        for k in range(9)
    ]
    assert len(set(phases)) == 1
