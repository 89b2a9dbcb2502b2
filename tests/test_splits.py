"""Splits by place: whole blocks, nothing shared between the sides."""

from __future__ import annotations

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from tile2vec_cli.evaluation.splits import block_split, label_order, overlapping, random_split
from tile2vec_cli.geo import outlines
from tile2vec_cli.geo.grid import spatial_blocks

NO_OVERLAPS = np.empty((0, 2), np.int64)


@settings(max_examples=50)
@given(
    blocks=st.lists(st.integers(0, 20), min_size=20, max_size=200).filter(lambda b: len(set(b)) > 1),
    fraction=st.sampled_from([0.1, 0.3, 0.5]),
    seed=st.integers(0, 100),
)
def test_no_block_is_divided(blocks: list[int], fraction: float, seed: int) -> None:
    block = np.array(blocks)
    classes = (block % 3).astype(np.int32)
    split = block_split(block, classes, NO_OVERLAPS, fraction, np.random.default_rng(seed))
    assert not set(block[split.train]) & set(block[split.test])
    assert sorted([*split.train, *split.test]) == list(range(len(block)))
    assert len(split.train)
    assert len(split.test)


def test_the_fraction_is_met_and_classes_are_on_both_sides() -> None:
    random = np.random.default_rng(0)
    block = np.repeat(np.arange(60), random.integers(5, 15, 60))
    classes = random.integers(0, 3, len(block)).astype(np.int32)
    classes[block >= 56] = 3  # a class in four blocks of sixty
    for seed in range(10):
        split = block_split(block, classes, NO_OVERLAPS, 0.3, np.random.default_rng(seed))
        assert len(split.test) / len(block) == pytest.approx(0.3, abs=0.05)
        assert set(classes[split.train]) == set(classes[split.test]) == {0, 1, 2, 3}


def test_splits_differ_from_draw_to_draw_and_repeat_by_seed() -> None:
    block = np.arange(200) // 5
    classes = (np.arange(200) % 2).astype(np.int32)

    def test_side(seed: int) -> tuple[int, ...]:
        return tuple(block_split(block, classes, NO_OVERLAPS, 0.3, np.random.default_rng(seed)).test)

    assert len({test_side(seed) for seed in range(5)}) == 5
    assert test_side(3) == test_side(3)


def two_dates(stride: float, shift: float) -> np.ndarray:
    """Footprints of 100 m on a grid with this stride, and again shifted, in lon/lat."""
    boxes = []
    for date_shift in (0.0, shift):
        for row in range(12):
            for col in range(12):
                x, y = 500_000 + col * stride + date_shift, 4_400_000 - row * stride + date_shift
                boxes.append(shapely.box(x, y - 100, x + 100, y))
    return np.asarray(geopandas.GeoSeries(boxes, crs="EPSG:32614").to_crs("OGC:CRS84").to_numpy())


@pytest.mark.parametrize(("stride", "shift"), [(100, 0), (100, 3), (50, 0), (50, 20)])
def test_no_ground_is_on_both_sides(stride: float, shift: float) -> None:
    geometry = two_dates(stride, shift)
    blocks = spatial_blocks(outlines.centres(geometry), 300)
    overlaps = overlapping(geometry, blocks)
    classes = np.zeros(len(geometry), np.int32)
    metres = np.asarray(geopandas.GeoSeries(geometry, crs="OGC:CRS84").to_crs("EPSG:32614").to_numpy())
    for seed in range(3):
        split = block_split(blocks, classes, overlaps, 0.3, np.random.default_rng(seed))
        shared = shapely.area(shapely.intersection(metres[split.train][:, None], metres[split.test]))
        assert shared.max() < 20  # m²: of neighbours that touch within rounding
        kept = len(split.train) + len(split.test)
        assert (kept == len(geometry)) == (len(overlaps) == 0)
    assert (len(overlaps) > 0) == (stride < 100 or shift > 0)


def test_overlaps_across_blocks_by_brute_force() -> None:
    geometry = two_dates(70, 13)
    blocks = spatial_blocks(outlines.centres(geometry), 200)
    expected = {
        (i, j)
        for i in range(len(geometry))
        for j in range(i + 1, len(geometry))
        if blocks[i] != blocks[j] and geometry[i].intersection(geometry[j]).area > 1e-3 * geometry[i].area
    }
    assert set(map(tuple, overlapping(geometry, blocks).tolist())) == expected


def test_points_overlap_nothing() -> None:
    points = shapely.points(np.zeros((5, 2)))
    assert overlapping(points, np.arange(5)).shape == (0, 2)


def test_random_split() -> None:
    split = random_split(100, 0.3, np.random.default_rng(0))
    assert len(split.test) == 30
    assert sorted([*split.train, *split.test]) == list(range(100))
    assert len(random_split(2, 0.01, np.random.default_rng(0)).test) == 1
    assert len(random_split(2, 0.99, np.random.default_rng(0)).train) == 1


def test_labels_come_in_random_order_two_classes_first() -> None:
    train = np.arange(10, 60)
    classes = np.zeros(60, np.int32)
    classes[33] = 1
    for seed in range(20):
        order = label_order(train, classes, np.random.default_rng(seed))
        assert sorted(order) == train.tolist()
        assert set(classes[order[:2]]) == {0, 1}
    assert len({label_order(train, classes, np.random.default_rng(seed))[0] for seed in range(20)}) > 5
