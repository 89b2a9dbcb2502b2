"""What the tests of cutting compare."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import rasterio
import shapely
from rasterio.windows import Window

from tile2vec_cli.tiling.tiles import TileSet


def paths(*scenes: Path) -> list[str]:
    return [str(scene) for scene in scenes]


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def check_against_rasterio(tiles: TileSet, sources: dict[str, Path]) -> None:
    """Every tile's pixels and footprint, read again one window at a time."""
    index = geopandas.GeoDataFrame(
        tiles.table().drop(["geometry"]).to_pandas(),
        geometry=shapely.from_wkb(tiles.table()["geometry"].to_numpy()),
        crs="OGC:CRS84",
    )
    for scene, rows in index.groupby("scene"):
        with rasterio.open(sources[scene]) as source:
            shapes = rows.geometry.to_crs(source.crs.to_wkt())
            for number, shape in zip(rows.index, shapes, strict=True):
                row, col = int(rows.row[number]), int(rows.col[number])
                window = Window(col, row, tiles.size, tiles.size)
                expected = source.read(list(tiles.bands), window=window)
                assert rows.tile_id[number] == f"{scene}/{row}/{col}"
                whole = tiles.valid(np.array([number]))[0]
                assert (tiles.pixels(np.array([number]))[0][:, whole] == expected[:, whole]).all()
                box = shapely.box(*rasterio.windows.bounds(window, source.transform))
                assert shapely.hausdorff_distance(shape, box) < 1e-3 * abs(source.transform.a)
