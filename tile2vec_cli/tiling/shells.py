"""Draw tiles by their distance from others: uniformly from the shell between two radii.

Distances are of the shortest way on the WGS 84 ellipsoid, taken from earth-centred coordinates
(`grid.ecef`): right across UTM zones and the antimeridian and near the poles. No list of pairs is
ever held: memory is in proportion to the number of tiles, however many neighbours they have.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tile2vec_cli.geo.grid import FLATTENING, SEMI_MAJOR_M, Floats, Ints

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

MEAN_RADIUS_M = 6_371_008.8
_SEMI_MINOR_M = SEMI_MAJOR_M * (1 - FLATTENING)
_AXES_M = np.array([SEMI_MAJOR_M, SEMI_MAJOR_M, _SEMI_MINOR_M])
_MEAN_AXIS_M = (SEMI_MAJOR_M + _SEMI_MINOR_M) / 2
_FAR_M = 1e7  # from here on the sphere of reduced latitudes is nearer the truth than the chord

_TRIES = 64  # rejections of an anchor's proposals before its shell is searched through
_ANCHORS_AT_ONCE = 512  # in that search


def distance_m(a: Floats, b: Floats) -> Floats:
    """Metres on the ellipsoid between earth-centred places, (…, 3) and (…, 3) -> (…).

    From the chord and the Earth's mean radius; beyond 10,000 km from the angle between reduced
    latitudes. Within 15 µm of the geodesic up to 10 km, within 0.2 % anywhere.
    """
    between = a - b
    x, y, z = between[..., 0], between[..., 1], between[..., 2]
    chord = np.sqrt(x * x + y * y + z * z)
    near = 2 * MEAN_RADIUS_M * np.arcsin(np.minimum(chord / (2 * MEAN_RADIUS_M), 1))
    if not (near > _FAR_M).any():
        return np.asarray(near)
    angle = 2 * np.arcsin(np.minimum(np.linalg.norm(between / _AXES_M, axis=-1) / 2, 1))
    return np.asarray(np.where(near > _FAR_M, np.maximum(_MEAN_AXIS_M * angle, _FAR_M), near))


def nearest_m(places: Floats, scenes: NDArray[np.int32], rule: str, reach_m: float, workers: int) -> Floats:
    """(N,) metres from each tile to the nearest other that the rule on scenes lets be its neighbor.

    inf where there is none; under `other-scene` tiles beyond `reach_m` may go unseen.
    """
    if len(places) < 2:
        return np.full(len(places), np.inf)
    if rule == "other-scene":
        return _nearest_of_other_scenes(places, scenes, reach_m, workers)
    points = places
    if rule == "same-scene":  # a fourth dimension in which scenes lie farther apart than the Earth is wide
        points = np.column_stack([places, scenes * (4 * SEMI_MAJOR_M)])
    near = _tree(points).query(points, k=2, workers=workers)[1]
    # Where several tiles share one place, a tile is not always the first of its own nearest.
    other = np.where(near[:, 0] == np.arange(len(points)), near[:, 1], near[:, 0])
    nearest = distance_m(places, places[other])
    return np.where(scenes == scenes[other], nearest, np.inf) if rule == "same-scene" else nearest


def _nearest_of_other_scenes(
    places: Floats, scenes: NDArray[np.int32], reach_m: float, workers: int
) -> Floats:
    nearest = np.full(len(places), np.inf)
    tree = _tree(places)
    # Where dates lie on top of each other, a few of the nearest tiles tell.
    near = tree.query(places, k=min(8, len(places)), workers=workers)[1]
    others = scenes[near] != scenes[:, None]
    seen = others.any(axis=1)
    first = near[np.arange(len(places)), others.argmax(axis=1)]
    nearest[seen] = distance_m(places[seen], places[first[seen]])
    # Elsewhere, scene by scene, the tiles of others that are near it.
    unseen = np.flatnonzero(~seen)
    unseen = unseen[np.argsort(scenes[unseen], kind="stable")]
    for mine in np.split(unseen, np.flatnonzero(np.diff(scenes[unseen])) + 1):
        if not len(mine):
            continue
        centre = places[mine].mean(axis=0)
        radius = np.linalg.norm(places[mine] - centre, axis=1).max()
        local = np.array(tree.query_ball_point(centre, radius + reach_m), dtype=np.int64)
        rivals = local[scenes[local] != scenes[mine[0]]]
        if len(rivals):
            found = _tree(places[rivals]).query(places[mine], workers=workers)[1]
            nearest[mine] = distance_m(places[mine], places[rivals[found]])
    return nearest


def _tree(points: Floats) -> cKDTree:
    from scipy.spatial import cKDTree  # triplets are read more often than drawn

    return cKDTree(points, balanced_tree=False, compact_nodes=False)


@dataclass(frozen=True)
class Shell:
    """The tiles that lie more than `above_m` and at most `up_to_m` from an anchor.

    Under `same-scene` or `other-scene` only those whose scene is, or is not, the anchor's. A tile
    is never in its own shell.
    """

    places: Floats  # (N, 3) earth-centred, metres
    scenes: NDArray[np.int32]  # (N,)
    above_m: float = -1.0  # below 0: a tile at the anchor's very place counts
    up_to_m: float = np.inf
    rule: str = "any"

    def pick(self, rng: np.random.Generator, anchors: Ints) -> Ints:
        """(B,) for each of (B,) anchors a tile drawn uniformly from its shell; -1 where that is empty.

        Draws from a larger set and rejects; anchors that stay without are searched exactly.
        """
        found = np.full(len(anchors), -1, dtype=np.int64)
        left = np.arange(len(anchors))
        for _ in range(_TRIES):
            others = self._propose(rng, anchors[left])
            good = self.holds(anchors[left], others)
            found[left[good]] = others[good]
            left = left[~good]
            if not len(left):
                return found
        found[left] = self._search(rng, anchors[left])
        return found

    def holds(self, anchors: Ints, others: Ints) -> NDArray[np.bool_]:
        """(B,) whether each of (B,) tiles lies in its anchor's shell."""
        # numpy's take: four times as quick as indexing
        away = distance_m(self.places.take(anchors, axis=0), self.places.take(others, axis=0))
        good = (away > self.above_m) & (away <= self.up_to_m) & (anchors != others)
        if self.rule != "any":
            good &= (self.scenes[anchors] == self.scenes[others]) == (self.rule == "same-scene")
        return np.asarray(good)

    def _propose(self, rng: np.random.Generator, anchors: Ints) -> Ints:
        if np.isinf(self.up_to_m):
            return rng.integers(len(self.places), size=len(anchors))
        return self.cells.draw(rng, anchors)

    @cached_property
    def cells(self) -> Cells:
        groups = self.scenes if self.rule == "same-scene" else np.zeros_like(self.scenes)
        return Cells.of(self.places, groups, self.up_to_m)

    @cached_property
    def clusters(self) -> Clusters:
        return Clusters.of(self.places)

    def _search(self, rng: np.random.Generator, anchors: Ints) -> Ints:
        """As `pick`, by going through all tiles of the clusters that the shell may meet."""
        unique, which = np.unique(anchors, return_inverse=True)
        order = np.argsort(which, kind="stable")
        ends = np.cumsum(np.bincount(which))
        share = rng.random(len(anchors))
        found = np.full(len(anchors), -1, dtype=np.int64)
        for start in range(0, len(unique), _ANCHORS_AT_ONCE):
            chunk = unique[start : start + _ANCHORS_AT_ONCE]
            meets = self.clusters.may_meet(self.places[chunk], self.above_m, self.up_to_m)
            for row in np.flatnonzero(meets.any(axis=1)):
                others = self.clusters.members(meets[row])
                others = others[self.holds(np.full(len(others), chunk[row]), others)]
                if len(others):
                    end = ends[start + row]
                    draws = order[(ends[start + row - 1] if start + row else 0) : end]
                    found[draws] = others[(share[draws] * len(others)).astype(np.int64)]
        return found


@dataclass(frozen=True)
class Cells:
    """Tiles sorted into cubes, so that those near a tile are a few runs of one array."""

    order: Ints  # (N,) tiles, sorted by cube
    cube: Ints  # (N,) each tile's cube, numbered 0 … K - 1
    ends: Ints  # (9, K) tiles in the nine runs around a cube, up to and with each
    shift: Ints  # (9, K) from such a count to a place in `order`

    @classmethod
    def of(cls, places: Floats, groups: NDArray[np.int32], side_m: float) -> Cells:
        """Cubes of at least `side_m`, and apart for each group."""
        corner = places.min(axis=0)
        extent, most = places.max(axis=0) - corner, int(groups.max()) + 1
        side = max(side_m, 1e-3)
        while most * np.prod(np.floor(extent / side) + 3) >= 2.0**62:  # the number of a cube is an int64
            side *= 2
        count = np.floor(extent / side).astype(np.int64) + 3
        x, y, z = np.floor((places - corner) / side).astype(np.int64).T + 1
        number = ((groups * count[0] + x) * count[1] + y) * count[2] + z
        order = np.argsort(number, kind="stable")
        cubes, cube = np.unique(number, return_inverse=True)
        # Cubes that follow each other along z are one run: nine runs of three around each cube.
        step = np.array([-1, 0, 1])
        columns = ((step[:, None] * count[1] + step) * count[2]).ravel()
        middle = cubes + columns[:, None]
        start = np.searchsorted(number[order], middle - 1, side="left")
        stop = np.searchsorted(number[order], middle + 1, side="right")
        ends = np.cumsum(stop - start, axis=0)
        return cls(order, cube, ends, stop - ends)

    def draw(self, rng: np.random.Generator, tiles: Ints) -> Ints:
        """(B,) for each of (B,) tiles one drawn uniformly from its cube and the 26 around it."""
        cube = self.cube.take(tiles)
        rank = (rng.random(len(tiles)) * self.ends[-1].take(cube)).astype(np.int64)
        run = np.zeros(len(tiles), dtype=np.int64)
        for ends in self.ends[:-1]:
            run += rank >= ends.take(cube)
        place = rank + self.shift.take(run * self.ends.shape[1] + cube)
        return np.asarray(self.order.take(place))


@dataclass(frozen=True)
class Clusters:
    """Tiles in compact groups of a like size, each within a ball, for exact searches."""

    order: Ints  # (N,) tiles, group by group
    starts: Ints  # (M + 1,)
    centre: Floats  # (M, 3)
    radius_m: Floats  # (M,)

    @classmethod
    def of(cls, places: Floats) -> Clusters:
        order = _tree(places).indices  # leaf by leaf
        groups = int(np.ceil(np.sqrt(len(places))))
        starts = np.linspace(0, len(places), groups + 1).astype(np.int64)
        sizes = np.diff(starts)
        centre = np.add.reduceat(places[order], starts[:-1]) / sizes[:, None]
        away = np.linalg.norm(places[order] - np.repeat(centre, sizes, axis=0), axis=1)
        return cls(order, starts, centre, np.maximum.reduceat(away, starts[:-1]))

    def may_meet(self, places: Floats, above_m: float, up_to_m: float) -> NDArray[np.bool_]:
        """(B, M) False where no tile of a group can lie in the shell around a place."""
        chord = np.linalg.norm(places[:, None] - self.centre, axis=-1)
        # A chord is never longer than the way, and this one's way is never longer than `above_m`.
        inner = 2 * _SEMI_MINOR_M * np.sin(np.clip(above_m / (2 * _MEAN_AXIS_M), 0, np.pi / 2))
        slack = 1e-6 + (above_m < 0)
        reaches = chord + self.radius_m > inner - slack
        return np.asarray(reaches & (chord - self.radius_m <= up_to_m + slack))

    def members(self, chosen: NDArray[np.bool_]) -> Ints:
        """Tiles of the chosen (M,) groups."""
        runs = [self.order[self.starts[k] : self.starts[k + 1]] for k in np.flatnonzero(chosen)]
        return np.concatenate(runs).astype(np.int64)
