"""Draws by distance: against pyproj's geodesics and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod
from scipy.stats import chisquare

from tile2vec_cli.geo.grid import ecef
from tile2vec_cli.tiling.shells import Shell, distance_m, nearest_m

WGS84 = Geod(ellps="WGS84")


def geodesic_m(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(WGS84.inv(a[:, 0], a[:, 1], b[:, 0], b[:, 1])[2])


def on_sphere(rng: np.random.Generator, count: int) -> np.ndarray:
    lat = np.degrees(np.arcsin(rng.uniform(-1, 1, count)))
    return np.column_stack([rng.uniform(-180, 180, count), lat])


def moved(start: np.ndarray, azimuth: np.ndarray, away_m: np.ndarray) -> np.ndarray:
    lon, lat, _ = WGS84.fwd(start[:, 0], start[:, 1], azimuth, away_m)
    return np.column_stack([lon, lat])


# --- distances -------------------------------------------------------------------------------


@given(
    lon=st.floats(-180, 180),
    lat=st.floats(-90, 90),
    azimuth=st.floats(-180, 180),
    away=st.floats(0, 10_000),
)
@settings(max_examples=300)
def test_distances_agree_with_geodesics_to_a_millimetre(
    lon: float, lat: float, azimuth: float, away: float
) -> None:
    start = np.array([[lon, lat]])
    end = moved(start, np.array([azimuth]), np.array([away]))
    found = distance_m(ecef(start), ecef(end))[0]
    # Held to 20 µm; a float32 column adds half a millimetre at 10 km.
    assert found == pytest.approx(geodesic_m(start, end)[0], abs=2e-5)


def test_distances_agree_beyond_that_to_a_third_of_a_percent() -> None:
    rng = np.random.default_rng(0)
    start = on_sphere(rng, 100_000)
    away = 10 ** rng.uniform(4, 7.3, len(start))
    end = moved(start, rng.uniform(-180, 180, len(start)), away)
    opposite = np.column_stack([start[:, 0] + 180, -start[:, 1]]) + rng.normal(0, 1, start.shape)
    opposite = np.column_stack([opposite[:, 0], np.clip(opposite[:, 1], -90, 90)])
    for other in (end, on_sphere(rng, len(start)), opposite):
        true = geodesic_m(start, other)
        found = distance_m(ecef(start), ecef(other))
        assert np.abs(found / true - 1)[true > 0].max() < 0.002


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((-180, 10), (180, 10)),  # one place
        ((179.9999, -17), (-179.9999, -17)),  # across the antimeridian
        ((6 - 1e-4, 52), (6 + 1e-4, 52)),  # across UTM zones
        ((0, 90), (77, 90)),  # a pole
        ((10, 85), (11, 85)),
    ],
)
def test_distances_at_odd_places(a: tuple[float, float], b: tuple[float, float]) -> None:
    one, other = np.array([a], float), np.array([b], float)
    found = distance_m(ecef(one), ecef(other))[0]
    assert found == pytest.approx(geodesic_m(one, other)[0], abs=1e-3)


# --- nearest ---------------------------------------------------------------------------------


def brute_nearest(places: np.ndarray, scenes: np.ndarray, rule: str) -> np.ndarray:
    away = distance_m(places[:, None], places[None])
    np.fill_diagonal(away, np.inf)
    same = scenes[:, None] == scenes
    if rule != "any":
        away[same != (rule == "same-scene")] = np.inf
    return np.asarray(away.min(axis=1))


def clustered(seed: int, count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Places in a few clumps about the antimeridian, some of them twice, in scenes of many sizes."""
    rng = np.random.default_rng(seed)
    clumps = np.array([[179.99, 60], [-179.99, 60], [170, -85]])
    lonlat = clumps[rng.integers(3, size=count)] + rng.normal(0, 0.01, (count, 2))
    lonlat[: count // 5] = lonlat[count // 5 : 2 * (count // 5)]
    scenes = rng.integers(0, 5, count) ** 2 // 4
    return ecef(lonlat), scenes.astype(np.int32)


@pytest.mark.parametrize("rule", ["any", "same-scene", "other-scene"])
@pytest.mark.parametrize("seed", range(3))
def test_nearest_is_the_nearest(rule: str, seed: int) -> None:
    places, scenes = clustered(seed)
    expected = brute_nearest(places, scenes, rule)
    found = nearest_m(places, scenes, rule, 1e7, workers=1)
    assert np.array_equal(found, expected)


def test_nearest_of_other_scenes_where_they_lie_apart() -> None:
    lon = np.concatenate([np.arange(50) * 1e-4, 0.01 + np.arange(50) * 1e-4])
    places = ecef(np.column_stack([lon, np.zeros(100)]))
    scenes = np.repeat(np.array([0, 1], np.int32), 50)
    expected = brute_nearest(places, scenes, "other-scene")
    reach = 1000.0
    found = nearest_m(places, scenes, "other-scene", reach, workers=1)
    assert np.array_equal(found[expected <= reach], expected[expected <= reach])
    assert (found[expected > reach] > reach).all()


def test_no_other_tile_is_infinitely_far() -> None:
    places = ecef(np.array([[0.0, 0], [0, 1e-4]]))
    assert np.isinf(nearest_m(places, np.array([0, 1], np.int32), "same-scene", 1e3, 1)).all()
    assert np.isinf(nearest_m(places, np.zeros(2, np.int32), "other-scene", 1e3, 1)).all()
    assert np.isinf(nearest_m(places[:1], np.zeros(1, np.int32), "any", 1e3, 1)).all()


# --- picks -----------------------------------------------------------------------------------


def qualifying(shell: Shell, anchor: int) -> np.ndarray:
    away = distance_m(shell.places[[anchor]], shell.places)
    good = (away > shell.above_m) & (away <= shell.up_to_m)
    good[anchor] = False
    if shell.rule != "any":
        good &= (shell.scenes == shell.scenes[anchor]) == (shell.rule == "same-scene")
    return np.flatnonzero(good)


SHELLS = {
    "neighborhood": {"up_to_m": 900.0},
    "same scene": {"up_to_m": 900.0, "rule": "same-scene"},
    "other scene": {"up_to_m": 900.0, "rule": "other-scene"},
    "same place": {"up_to_m": 0.001},
    "wide": {"up_to_m": 1e6},
    "wider than the Earth": {"up_to_m": 1e9},
    "beyond": {"above_m": 2000.0},
    "ring": {"above_m": 2000.0, "up_to_m": 2200.0},
    "thin ring": {"above_m": 3000.0, "up_to_m": 3010.0},
    "far side": {"above_m": 1.5e7},
    "nearly nothing": {"above_m": 1.628e7},
}


@pytest.mark.parametrize("name", SHELLS)
def test_picks_are_uniform_over_the_shell(name: str) -> None:
    places, scenes = clustered(7)
    shell = Shell(places, scenes, **SHELLS[name])
    rng = np.random.default_rng(1)
    everyone = np.arange(len(places))
    found = shell.pick(rng, everyone)
    sizes = np.array([len(qualifying(shell, anchor)) for anchor in everyone])
    assert np.array_equal(found >= 0, sizes > 0)
    if not (sizes > 0).any():
        return
    p_values = []
    for anchor in np.flatnonzero(sizes > 0)[:: max(1, int((sizes > 0).sum()) // 12)]:
        drawn = shell.pick(rng, np.full(50 * sizes[anchor], anchor))
        expected = qualifying(shell, anchor)
        counts = np.bincount(drawn, minlength=len(places))
        assert counts.sum() == counts[expected].sum()
        p_values.append(chisquare(counts[expected]).pvalue if len(expected) > 1 else 1.0)
    assert min(p_values) > 1e-4


@given(seed=st.integers(0, 2**32 - 1), above=st.floats(0, 4000), width=st.floats(1e-3, 4000))
@settings(max_examples=30, deadline=None)
def test_every_pick_lies_in_its_shell(seed: int, above: float, width: float) -> None:
    places, scenes = clustered(seed, 120)
    shell = Shell(places, scenes, above_m=above, up_to_m=above + width)
    found = shell.pick(np.random.default_rng(seed), np.arange(120))
    for anchor, other in enumerate(found):
        expected = qualifying(shell, anchor)
        assert other in expected if len(expected) else other == -1
