"""Classes of tiles: from a label raster, polygons, points, or a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from glob import glob, has_magic
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.errors import DataError, InputError, UsageError
from tile2vec_cli.geo import (
    locations,
    raster_files,
    rasters,
    scene_lists,
    signed_urls,
    stac_catalogs,
    vectors,
)
from tile2vec_cli.geo.grid import Bounds, Geometry
from tile2vec_cli.geo.stac_catalogs import Document
from tile2vec_cli.geo.stac_items import Found
from tile2vec_cli.labelling import label_kinds
from tile2vec_cli.labelling.label_rasters import LabelRasters
from tile2vec_cli.labelling.votes import UNLABELLED, Votes


@dataclass(frozen=True)
class Labels:
    """The class of each of N tiles."""

    codes: NDArray[np.int32]  # (N,) positions in `classes`; UNLABELLED (-1) where a tile has none
    classes: tuple[str, ...]
    kind: str  # "raster", "polygons", "points", "polygons and points" or "table"
    left_out: dict[str, int] = dataclass_field(default_factory=dict)
    """Tiles without a label, and features or rows that label none, by reason."""
    rasters: dict[str, int] = dataclass_field(default_factory=dict)  # see LabelRasters.found
    source: str = "--labels"  # what errors call them

    @property
    def labelled(self) -> NDArray[np.int64]:
        """Row numbers of the tiles that have a class."""
        return np.flatnonzero(self.codes != UNLABELLED)


def named(
    given: Sequence[str],
    band: int | None = None,
    nodata: Sequence[float] = (),
    layer: str | None = None,
    crs: str | None = None,
) -> LabelSource:
    """Labels as a command line names them: a file of any kind, or label rasters as SCENES are named.

    A pattern such as "labels/*.tif" means the files it matches, sorted by name. A STAC item, or all items of
    a collection or catalog, means its only raster with data, "item.json#KEY" that asset. Raises
    InputError where a pattern matches none, where a folder holds no rasters, and where a list cannot be
    read; DataError and InputError where an item has no such asset.
    """
    given = [signed_urls.admit(name) for name in given]
    files = list(given)
    items = [_item(name) for name in given]
    if len(given) > 1 or any(items) or any(map(_is_several, given)):
        named_files = [_matches(name, item) for name, item in zip(given, items, strict=True)]
        files = scene_lists.expand([path for own in named_files for path in own])
    return LabelSource(tuple(given), tuple(files), band, tuple(nodata), layer, crs)


def optional(
    given: Sequence[str] | None,
    band: int | None = None,
    nodata: Sequence[float] = (),
    layer: str | None = None,
    crs: str | None = None,
) -> LabelSource | None:
    """The same where labels need not be given. Raises UsageError for what only labels have."""
    if given:
        return named(given, band, nodata, layer, crs)
    if band is not None or nodata:
        raise UsageError("--label-band and --label-nodata: describe --labels. Give it as well.")
    if layer is not None or crs is not None:
        raise UsageError("--layer and --crs: describe --labels. Give it as well.")
    return None


def _is_several(name: str) -> bool:
    """Whether it may stand for many files; a geodatabase is a folder, but one file."""
    if locations.is_remote(name):
        return False
    is_folder = Path(name).is_dir() and not vectors.is_vector(name)
    return is_folder or name == "-" or name.startswith("@") or _is_pattern(name)


def _is_pattern(name: str) -> bool:
    return has_magic(name) and not locations.is_remote(name) and not Path(name).exists()


def _item(name: str) -> tuple[Document, tuple[str] | None] | None:
    """A STAC document and the asset that is named in it, if any; None of other files."""
    path, mark, key = name.rpartition("#")
    if mark and key and stac_catalogs.is_document(path) and not Path(name).exists():
        return Document(path), (key,)
    found = stac_catalogs.document(name)
    return None if found is None else (found, None)


def _require_whole(scene: Found) -> None:
    band = scene.facts.picks[0][1]
    if band is not None:
        raise DataError(
            f"{scene.path}: has classes in band {band} of several; an asset is named by its key. "
            f"Name it so, with --label-band {band}."
        )


def _matches(name: str, item: tuple[Document, tuple[str] | None] | None) -> list[str]:
    if item is not None:
        document, asset = item
        if not locations.is_remote(document.address):
            document = Document(str(Path(document.address).absolute()))
        scenes = stac_catalogs.scenes(document, asset).found
        for scene in scenes:
            scene.facts.require()
            _require_whole(scene)
        return [scene.path for scene in scenes]
    if not _is_pattern(name):
        return [name]
    found = sorted(glob(name))  # noqa: PTH207 - Path.glob takes no absolute pattern
    if not found:
        raise InputError(f"{name}: matches no file; labels are needed. Check the pattern.")
    return found


def is_raster(labels: LabelSource) -> bool:
    """Whether these are label rasters.

    Raises InputError for a file that does not exist, DataError for a file of none of the kinds that
    are read and for several that are not all rasters, UsageError for what rasters do not have.
    """
    others = [name for name in labels.files if label_kinds.is_read(name)]
    for path in labels.files if len(labels.files) == 1 else others:  # rasters are opened one by one
        if not raster_files.is_there(path):
            raise InputError(f"{path}: no such file; labels are needed. Check the path.")
    if others and len(labels.files) > 1:
        raise DataError(f"{others[0]}: is not a raster; of several label files all must be. Give it alone.")
    if others:
        return False
    for option, value in labels.vector_settings().items():
        raise UsageError(f"--{option} {value}: {labels} is a raster, which needs none. Leave it out.")
    for name in labels.files:
        _require_raster(name)
    return True


def _require_raster(path: str) -> None:
    """Raise DataError where a file's name does not say that it is a raster, and it is not one."""
    if locations.is_remote(path) or path.lower().endswith(rasters.SUFFIXES):
        return
    try:
        rasters.describe(path)
    except DataError as error:
        found = str(error).removesuffix(". Check the file.")
        *most, last = ("rasters", *(kind.said for kind in label_kinds.KINDS))
        raise DataError(
            f"{found}; labels are read from {', '.join(most)} and {last}. Save them as one of these."
        ) from error


def read(
    labels: str | Path | LabelSource,
    geometry: Geometry,
    tile_id: NDArray[np.object_] | None = None,
    *,
    field: str | None = None,
    min_purity: float = 0.8,
) -> Labels:
    """Label N tiles by what a file holds, or several rasters.

    geometry: (N,) footprints (or points) in lon/lat; tile_id: (N,) names, for tables.
    field: where vector files and tables hold the class. A file in which it is the only field needs none.
    min_purity: a raster's majority class must cover this share of a tile's valid pixels. Points and
    rows of a table decide by simple majority, whatever its share; a tie labels nothing.
    Raises InputError or DataError where the file cannot be read, UsageError where `field` is needed,
    DataError where the labels meet no tile.
    """
    source = LabelSource.of(labels)
    if is_raster(source):
        sheets = LabelRasters(source)
        votes = sheets.votes(geometry)
        found = _labels(str(source), votes, "raster", sheets.bounds, geometry, min_purity)
        return replace(found, rasters=sheets.found())
    require_no_raster_options(source)
    votes, kind, bounds = label_kinds.votes(source, geometry, tile_id, field)
    return _labels(str(source), votes, kind, None if bounds is None else lambda: bounds, geometry, 0.0)


def of_classes(values: Sequence[object] | NDArray[Any], count: int) -> Labels:
    """Labels of N tiles out of their N classes; None, NaN and "" are no label. Raises DataError."""
    import pandas as pd

    if len(values) != count:
        raise DataError(f"labels: {len(values):,} classes for {count:,} vectors; one for each is needed.")
    votes = Votes.of(np.arange(count), pd.Series(values), "labels")
    return _labels("labels", votes, "array", None, np.empty(count, object), 0.0)


def require_no_raster_options(labels: LabelSource) -> None:
    for name in labels.raster_settings():
        raise UsageError(f"--{name.replace('_', '-')}: {labels} is not a raster. Leave it out.")


def _labels(
    source: str,
    votes: Votes,
    kind: str,
    bounds: Callable[[], Bounds] | None,
    geometry: Geometry,
    least_share: float,
) -> Labels:
    total = votes.total(len(geometry))
    if bounds is not None and not total.any():
        raise apart(source, bounds(), geometry)
    codes = votes.majority(len(geometry), least_share)
    left_out = votes.left_out | {
        "no label there": int((total == 0).sum()),
        "no clear majority": int(((total > 0) & (codes == UNLABELLED)).sum()),
    }
    left_out = {reason: n for reason, n in left_out.items() if n}
    return Labels(codes, votes.classes, kind, left_out, source=source)


def apart(source: str, bounds: Bounds, geometry: Geometry) -> DataError:
    """The error that names both boxes: no label of `source`, which spans `bounds`, lies in a tile."""
    west, south, east, north = map(float, shapely.total_bounds(geometry))
    apart = bounds[2] < west or bounds[0] > east or bounds[3] < south or bounds[1] > north
    return DataError(
        f"{source}: labels span {_box(bounds)} (west south east north, degrees), the tiles "
        f"{_box((west, south, east, north))}: "
        + ("they do not overlap" if apart else "no valid label lies in a tile")
        + "; labels of the tiles' place are needed. Check both files' CRS."
    )


def _box(bounds: Bounds) -> str:
    return " ".join(f"{value:.5f}" for value in bounds)
