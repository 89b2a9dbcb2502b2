from __future__ import annotations

import numpy as np
import pyproj
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasterio.transform import Affine, xy

from tile2vec_cli.geo.grid import Grid, ecef, footprints, pixel_centres, snapped_start, spatial_blocks

sides = st.integers(2, 40)


@given(
    st.integers(1, 200), st.integers(1, 200), sides, st.integers(1, 60), st.integers(0, 9), st.integers(0, 9)
)
def test_windows_are_all_the_whole_ones(
    height: int, width: int, size: int, stride: int, row0: int, col0: int
) -> None:
    grid = Grid(height, width, size, stride, row0, col0)
    assert grid.rows.tolist() == [r for r in range(row0, height, stride) if r + size <= height]
    assert grid.cols.tolist() == [c for c in range(col0, width, stride) if c + size <= width]


@given(
    st.floats(-1e6, 1e6),
    st.floats(-1e7, 1e7),
    st.sampled_from([0.6, 1, 5, 10, 30]),
    st.sampled_from([2, 50, 64]),
)
def test_snapped_windows_start_at_multiples_of_the_side(x: float, y: float, pixel: float, size: int) -> None:
    row, col = snapped_start((pixel, 0, x, 0, -pixel, y), size)
    assert 0 <= row < size and 0 <= col < size
    side = pixel * size
    for start in (x + col * pixel, y - row * pixel):
        distance = abs(start / side - round(start / side)) * side
        assert distance <= pixel / 2 * (1 + 1e-6) + 1e-6


def test_scenes_with_shifted_corners_get_the_same_snapped_tiles() -> None:
    starts = set()
    for shift in range(7):
        x, y = 485_900.0 + 5 * shift, 5_209_247.0 - 5 * 3 * shift
        row, col = snapped_start((5, 0, x, 0, -5, y), 50)
        starts.add(((x + 5 * col) % 250, (y - 5 * row) % 250))
    assert len(starts) == 1


@pytest.mark.parametrize(
    "transform", [Affine(10, 0, 5e5, 0, -10, 4e6), Affine(8, 3, 5e5, 2, -7, 4e6), Affine(10, 0, 0, 0, 10, 0)]
)
def test_footprints_and_centres_agree_with_rasterio(transform: Affine) -> None:
    rows, cols, size = np.array([0, 30]), np.array([7, 20]), 5
    corners = footprints(tuple(transform)[:6], rows, cols, size)
    for (row, col), found in zip(np.stack([rows, cols], 1), corners, strict=True):
        order = [(row + 5, col), (row + 5, col + 5), (row, col + 5), (row, col)]
        expected = [xy(transform, r, c, offset="ul") for r, c in order]
        np.testing.assert_allclose(found, expected)
    inner = pixel_centres(tuple(transform)[:6], rows[1:], cols[1:], size)[0]
    np.testing.assert_allclose(inner[2, 4], xy(transform, 32, 24))


@given(st.floats(-180, 180), st.floats(-90, 90))
def test_ecef_agrees_with_proj(lon: float, lat: float) -> None:
    geocentric = pyproj.Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)
    expected = geocentric.transform(lon, lat, 0.0)
    np.testing.assert_allclose(ecef(np.array([[lon, lat]]))[0], expected, atol=1e-5)


@pytest.mark.parametrize("lat", [-75.0, -10.0, 0.0, 38.0, 65.0])
def test_blocks_measure_what_they_say(lat: float) -> None:
    rng = np.random.default_rng(0)
    lonlat = np.column_stack([rng.uniform(-180, 180, 4000), lat + rng.uniform(-0.2, 0.2, 4000)])
    lonlat[2000:] = lonlat[:2000] + rng.uniform(-1e-3, 1e-3, (2000, 2))
    blocks = spatial_blocks(lonlat, 5_000)
    there = pyproj.Geod(ellps="WGS84").inv(*lonlat[:2000].T, *lonlat[2000:].T)[2]
    same = blocks[:2000] == blocks[2000:]
    assert there[same].max() < 5_000 * np.sqrt(2) * 1.02
    assert same.mean() > 0.9
    assert len(np.unique(blocks)) > 1000


def test_a_place_has_the_same_block_in_every_set() -> None:
    lonlat = np.random.default_rng(1).uniform((-180, -89), (180, 89), (500, 2))
    assert (spatial_blocks(lonlat, 1000)[::7] == spatial_blocks(lonlat[::7], 1000)).all()
    assert (spatial_blocks(lonlat, 1000) == spatial_blocks(lonlat + np.array([360, 0]), 1000)).mean() > 0.99
