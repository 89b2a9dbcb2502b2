"""Triplets: distributions against brute force, and the file they lie in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from some_tiles import SomePart, SomeTiles, draw, grid, of_many_places, tile_set

from tile2vec_cli.config.pipeline import TripletConfig
from tile2vec_cli.errors import DataError, UsageError
from tile2vec_cli.tiling import triplets


@pytest.fixture
def tiles() -> SomeTiles:
    return of_many_places()


# --- what is drawn ---------------------------------------------------------------------------


@pytest.mark.parametrize("neighbors", ["any", "same-scene", "other-scene"])
def test_every_triplet_keeps_the_rule(tiles: SomeTiles, neighbors: str) -> None:
    found = draw(tiles, count=20_000, neighbors=neighbors)
    anchor, neighbor, distant = found.ids.T
    near, far = tiles.away_m(anchor, neighbor), tiles.away_m(anchor, distant)
    assert (near <= 60 + 1e-6).all()
    assert (far > 60 - 1e-6).all()
    assert (anchor != neighbor).all()
    assert (found.neighbor_m <= 60).all()
    assert (found.distant_m > 60).all()
    assert np.abs(found.neighbor_m - near).max() < 1e-3
    assert np.abs(found.distant_m / far - 1).max() < 0.003
    same = tiles.scene_codes[anchor] == tiles.scene_codes[neighbor]
    if neighbors == "any":
        assert same.any()
        assert (~same).any()
        assert (near == 0).any()  # two dates of one place
    else:
        assert (same == (neighbors == "same-scene")).all()


def brute(tiles: SomeTiles, near_m: float, far_m: float) -> tuple[np.ndarray, np.ndarray]:
    """(N, N) whether one is a neighbor, a distant of the other."""
    n = np.arange(len(tiles))
    away = tiles.away_m(np.repeat(n, len(n)), np.tile(n, len(n))).reshape(len(n), len(n))
    return (away <= near_m) & ~np.eye(len(n), dtype=bool), away > far_m


def test_the_distributions_are_those_of_the_contract() -> None:
    lonlat, part = grid(5, -1e-3, 0.2)
    lonlat = np.concatenate([lonlat, [[0.01, 0.2], [0.5, 0.2]]])  # two tiles without a neighbor
    tiles = SomeTiles(lonlat, (replace(part, count=27),))
    found = draw(tiles, count=400_000, neighborhood_m=45, distant_min_m=70)
    assert found.anchors_without_neighbor == 2
    near, far = brute(tiles, 45, 70)
    anchors = np.bincount(found.ids[:, 0], minlength=27)
    assert anchors[25:].sum() == 0
    assert chisquare(anchors[:25]).pvalue > 1e-4
    for anchor in range(25):
        of = found.ids[found.ids[:, 0] == anchor]
        for column, allowed in ((1, near), (2, far)):
            counts = np.bincount(of[:, column], minlength=27)
            assert counts[~allowed[anchor]].sum() == 0
            assert chisquare(counts[allowed[anchor]]).pvalue > 1e-5


@given(
    seed=st.integers(0, 10_000),
    near=st.floats(20, 500),
    beyond=st.floats(0, 1000),
    width=st.none() | st.floats(1, 1000),
)
@settings(max_examples=40, deadline=None)
def test_any_settings_keep_the_rule_or_say_why_not(
    seed: int, near: float, beyond: float, width: float | None
) -> None:
    rng = np.random.default_rng(seed)
    lonlat = np.array([179.999, 70]) + rng.normal(0, 0.004, (60, 2))
    tiles = SomeTiles(
        np.column_stack([(lonlat[:, 0] + 180) % 360 - 180, lonlat[:, 1]]), (SomePart("a", "", 60),)
    )
    most = None if width is None else beyond + width
    allowed_near, allowed_far = brute(tiles, near, beyond)
    if most is not None:
        allowed_far &= brute(tiles, most, 0)[0]
    can = allowed_near.any(axis=1) & allowed_far.any(axis=1)
    try:
        found = draw(
            tiles, count=300, neighborhood_m=near, distant_min_m=beyond, distant_max_m=most, seed=seed
        )
    except DataError:
        assert not can.any()
        return
    assert allowed_near[found.ids[:, 0], found.ids[:, 1]].all()
    assert allowed_far[found.ids[:, 0], found.ids[:, 2]].all()
    assert found.anchors_without_neighbor == (~allowed_near.any(axis=1)).sum()
    assert found.anchors_without_distant == (allowed_near.any(axis=1) & ~can).sum()


def test_the_seed_decides(tiles: SomeTiles) -> None:
    one, same = draw(tiles, count=100_000, seed=3), draw(tiles, count=100_000, seed=3)
    assert np.array_equal(one.ids, same.ids)
    assert not np.array_equal(one.ids, draw(tiles, count=100_000, seed=4).ids)
    more = triplets.draw(tiles, TripletConfig(count=100_000, seed=3), workers=4)  # type: ignore[arg-type]
    assert np.array_equal(one.ids, more.ids)


def test_defaults_follow_the_tiles(tiles: SomeTiles) -> None:
    assert draw(tiles, count=1).settings["neighborhood_m"] == 60
    assert draw(tiles, count=1).settings["distant_min_m"] == 60
    assert draw(tiles, count=1, neighborhood_m=40).settings["distant_min_m"] == 40
    with pytest.raises(UsageError, match="--distant-max 50"):
        draw(tiles, count=1, distant_max_m=50)


def test_distances_as_stored_still_keep_the_rule() -> None:
    # 0.1 has no float32: the nearest lies above it.
    lonlat = np.array([[0, 0], [0.1 / 111_319.49079327358, 0], [1, 0]])
    tiles = SomeTiles(lonlat, (SomePart("a", "", 3),))
    away = float(tiles.away_m(np.array([0]), np.array([1]))[0])
    found = draw(tiles, count=50, neighborhood_m=away + 1e-9, distant_min_m=away + 1e-9)
    assert (found.neighbor_m.astype(float) <= away + 1e-9).all()
    assert (found.distant_m.astype(float) > away + 1e-9).all()


# --- what cannot be drawn --------------------------------------------------------------------


def test_no_neighbor_is_said_with_the_nearest_distance(tiles: SomeTiles) -> None:
    lonlat = grid(4, 10, 50)[0]
    lone = SomeTiles(lonlat, (SomePart("a", "", 16),))
    with pytest.raises(
        DataError, match=r"tiles: no tile has another within 20 m \(the nearest two are 30\.0"
    ):
        draw(lone, neighborhood_m=20)
    with pytest.raises(DataError, match="holds one scene only"):
        draw(lone, neighbors="other-scene")
    with pytest.raises(DataError, match="another of another scene within 60 m"):
        draw(tile_set(grid(3, 10, 50), grid(3, 11, 50, name="b")), neighbors="other-scene")
    with pytest.raises(DataError, match="holds 2 tiles; a triplet needs three"):
        draw(SomeTiles(lonlat[:2], (SomePart("a", "", 2),)))


@pytest.mark.parametrize(
    "settings", [{"distant_min_m": 1e6}, {"distant_min_m": 1e9}, {"neighborhood_m": 5e7}]
)
def test_no_distant_is_said_with_the_farthest_distance(settings: dict[str, float]) -> None:
    tiles = tile_set(grid(40, 10, 50))
    with pytest.raises(DataError, match=r"the farthest lies about 16\d\d\.\d+ m away"):
        draw(tiles, count=1000, **settings)


def test_anchors_without_a_distant_are_left_out_and_counted() -> None:
    tiles = tile_set(grid(9, 10, 50))
    found = draw(tiles, count=5000, distant_min_m=200)
    able = brute(tiles, 60, 200)[1].any(axis=1)
    assert set(found.ids[:, 0]) == set(np.flatnonzero(able))
    assert found.anchors_without_distant == (~able).sum()
