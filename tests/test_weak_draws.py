"""Draws of split and labels: apart in space, nested in number, refused where nothing can be learned."""

from __future__ import annotations

from pathlib import Path

import fields
import numpy as np
import pytest
import shapely

from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.config.weak import WeakConfig
from tile2vec_cli.errors import DataError
from tile2vec_cli.segmentation import weak_draws, weak_labels
from tile2vec_cli.segmentation.weak_draws import Task
from tile2vec_cli.segmentation.weak_labels import UNKNOWN
from tile2vec_cli.tiling import cutting
from tile2vec_cli.tiling.tiles import TileSet


@pytest.fixture(scope="module")
def land(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("land")
    scene, *_ = fields.make(folder)
    cutting.cut([str(scene)], folder / "dense", TileConfig(size=fields.SIDE, stride=8))
    half = np.where(fields.truth(), 1, 2).astype(np.uint8)
    half[:, 120:] = 255  # no labels in the east
    fields.write(folder / "half.tif", half, 255)
    return folder


def task(land: Path, tiles: str = "tiles", labels: str = "labels.tif", **options: object) -> Task:
    config = WeakConfig(positive="1", **options)  # type: ignore[arg-type]
    found = TileSet.open(land / tiles)
    read = weak_labels.read(str(land / labels), found, config)
    return Task(found, read, read.pixels, config)


def test_the_sides_share_no_ground_even_where_tiles_overlap(land: Path) -> None:
    own = task(land, tiles="dense")
    drawn = weak_draws.sides(own, "pixel", 0)
    assert 0.15 < len(drawn.test) / len(own.tiles) < 0.45
    shapes = own.tiles.footprints()
    shrunk = shapely.union_all(shapely.buffer(shapes[drawn.test], -1e-6))
    assert not shapely.intersects(shapes[drawn.train], shapely.buffer(shrunk, -1e-6)).any()
    assert not shapely.intersects(shapes[drawn.others], shapely.buffer(shrunk, -1e-6)).any()
    assert not set(drawn.train) & set(drawn.others)
    assert not set(own.blocks[drawn.train]) & set(own.blocks[drawn.test])


def test_tiles_without_labels_are_looked_at_but_not_tested(land: Path) -> None:
    own = task(land, labels="half.tif")
    drawn = weak_draws.sides(own, "pixel", 0)
    col = own.tiles.table()["col"].to_numpy()
    assert (col[drawn.train] < 120).all() and (col[drawn.test] < 120).all()
    assert (col[drawn.others] >= 112).any()
    given = weak_draws.told(own, drawn, "pixel", 10, 0)
    assert len(given.ids) == 10 and (given.states != UNKNOWN).sum() == 10
    assert set(given.others) <= set(drawn.train[10:]) | set(drawn.others)


def test_fewer_labels_are_a_part_of_more(land: Path) -> None:
    own = task(land)
    drawn = weak_draws.sides(own, "pixel", 0)
    few, many = (weak_draws.told(own, drawn, "pixel", count, 0) for count in (8, 30))
    assert np.array_equal(few.ids, many.ids[:8])
    assert np.array_equal(few.states, many.states[:8])


def test_draws_differ_and_come_again(land: Path) -> None:
    own = task(land)
    one, again, other = (weak_draws.sides(own, "pixel", repeat) for repeat in (0, 0, 1))
    assert np.array_equal(one.train, again.train) and np.array_equal(one.test, again.test)
    assert set(one.test) != set(other.test)


def test_noise_is_in_the_training_labels_only(land: Path) -> None:
    clean, noisy = task(land), task(land, label_noise=0.25)
    given = [
        weak_draws.told(own, weak_draws.sides(own, "pixel", 0), "pixel", 40, 0) for own in (clean, noisy)
    ]
    assert np.array_equal(given[0].ids, given[1].ids)
    assert (given[0].states != given[1].states).sum() == 10
    assert np.array_equal(clean.truth, noisy.truth)


def test_what_cannot_be_drawn_is_said(land: Path) -> None:
    own = task(land)
    drawn = weak_draws.sides(own, "pixel", 0)
    with pytest.raises(DataError, match=f"than the {len(drawn.train)} of the training"):
        weak_draws.told(own, drawn, "pixel", 1000, 0)
    with pytest.raises(DataError, match="one spatial block"):
        weak_draws.sides(task(land, block_m=1e6), "pixel", 0)
    one_kind = next(
        count_state
        for count_state in ((weak_draws.sides(own, "pixel", repeat), repeat) for repeat in range(50))
        if len(set(weak_draws_states(own, *count_state))) == 1
    )
    with pytest.raises(DataError, match=r"none of the 2 labels drawn from 2 tiles is (positive|negative)"):
        weak_draws.told(own, one_kind[0], "pixel", 2, one_kind[1])


def weak_draws_states(own: Task, drawn: weak_draws.Sides, repeat: int) -> list[int]:
    """The states of the first two labels of a draw."""
    states = own.labels.drawn(drawn.train, "pixel", own.random(repeat, weak_draws._PIXELS))[:2]
    return [int(state) for state in states[states != UNKNOWN]]
