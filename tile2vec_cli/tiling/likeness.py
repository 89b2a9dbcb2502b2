"""What the scenes of a tile set have to have alike, and what is said where they differ."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.errors import DataError, Remark
from tile2vec_cli.geo import fills, scene_facts
from tile2vec_cli.geo.scene_facts import AS_STORED
from tile2vec_cli.geo.scenes import Scene
from tile2vec_cli.tiling.tile_files import Scaling, scaling_of


def described(scene: Scene, config: TileConfig) -> dict[str, Any]:
    """What the manifest says of the first scene's pixels; names and scaling only where there are any."""
    found: dict[str, Any] = {"bands": list(scene.bands), "dtype": scene.dtype.name}
    if any(scene.names) and not config.any_names:
        found["band_names"] = list(scene.names)
    if any(pair != AS_STORED for pair in scene.scaling) and not config.scaled:
        found["scaling"] = [list(pair) for pair in scene.scaling]
    return found


class Likeness:
    """Compares the scenes that are to be cut with the tile set's first one."""

    def __init__(self, manifest: dict[str, Any], config: TileConfig) -> None:
        self._config = config
        self._count, self._dtype = len(manifest["bands"]), manifest["dtype"]
        # Where the first scene has none, those of the first one of this run that has.
        self._names: scene_facts.Names = tuple(manifest.get("band_names", ()))
        self._scaling: Scaling = scaling_of(manifest)
        self._foreign: list[str] = []  # what is to be said, a scene each
        self._otherwise: list[str] = []

    def require(self, scene: Scene) -> None:
        """Raise DataError where a scene's bands are others than the tile set's; note what is to be said."""
        if not self._config.any_names:
            self._require_names(scene)
        if len(scene.bands) != self._count or scene.dtype.name != self._dtype:
            raise DataError(
                f"{scene.path}: has {len(scene.bands)} bands of {scene.dtype.name}; this tile set has "
                f"{self._count} of {self._dtype}. Choose --bands or another --out."
            )
        self._names = self._names or (scene.names if any(scene.names) else ())
        if scene.foreign_nodata is not None:
            self._foreign.append(f"{scene.foreign_nodata:g} in {scene.path}")
        if not self._config.scaled:
            self._otherwise += note_scaling(scene.scaling, self._scaling, scene.path)

    def remark(self) -> None:
        """Say what was noted, once for all scenes."""
        fills.remark(self._foreign)
        remark_scaling(self._otherwise, self._scaling, "the tile set's first")

    def _require_names(self, scene: Scene) -> None:
        if scene_facts.bands_agree(scene.names, self._names):
            return
        numbers = scene_facts.band_numbers(scene.raster.descriptions, self._names)
        choice = f" with --bands {','.join(map(str, numbers))}" if numbers else ""
        raise DataError(
            f"{scene.path}: its bands are {scene_facts.band_list(scene.names)}; this tile set has "
            f"{scene_facts.band_list(self._names)}. Cut it into another --out{choice}, or insist with "
            "--any-names that they mean the same."
        )


def note_scaling(scaling: Scaling, wanted: Scaling, path: str) -> list[str]:
    """What is to be said of a scene whose scale or offset is another; nothing where it is the same."""
    alike = _in_full(scaling, len(wanted)) == _in_full(wanted, len(scaling))
    return [] if alike else [f"{_pairs(scaling)} in {path}"]


def remark_scaling(found: Sequence[str], wanted: Scaling, whose: str) -> None:
    """Say, once, where scale and offset differ from `whose`."""
    if found:
        warnings.warn(
            f"Scenes with another scale or offset than {whose}: {len(found):,} ({found[0]}, "
            f"{_pairs(wanted)} there). The same number means different things in them; --scaled of `tile` "
            "applies both.",
            Remark,
            stacklevel=2,
        )


def _in_full(scaling: Scaling, count: int) -> Scaling:
    return scaling or (AS_STORED,) * count


def _pairs(scaling: Scaling) -> str:
    """Each scale and offset that occurs."""
    pairs = dict.fromkeys(scaling or (AS_STORED,))
    return ", ".join(f"scale {scale:g} offset {offset:g}" for scale, offset in pairs)
