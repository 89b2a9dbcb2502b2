"""Labels of every kind, tiles, and embeddings that know the labels, for the tests of `probe`."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import rasterio
import shapely
from rasterio.transform import from_origin

from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.labelling import cdl
from tile2vec_cli.tiling import cutting
from tile2vec_cli.tiling.tiles import TileSet

SIDE = 24  # tiles


def make(folder: Path) -> Path:
    """A folder with labels (raster, polygons, points, table), pixels, and embeddings that know the labels."""
    random = np.random.default_rng(0)
    classes = random.choice([1, 5, 176], (SIDE, SIDE))
    classes[0, :2] = 24  # too few
    transform = from_origin(500_000, 4_400_000, 10, 10)
    profile = {"driver": "GTiff", "crs": "EPSG:32614", "transform": transform, "dtype": "uint8"}
    profile |= {"height": SIDE * 8, "width": SIDE * 8}
    codes = np.kron(classes, np.ones((8, 8))).astype(np.uint8)
    codes[: 8 * 8, :4] = 0  # half of some tiles is background
    with rasterio.open(folder / "labels.tif", "w", count=1, **profile) as file:
        file.write(codes, 1)
        file.write_colormap(1, {code: (*cdl.colour(code), 255) for code in (1, 5, 24, 111, 176)})
    (folder / "scenes").mkdir()
    with rasterio.open(folder / "scenes" / "s.tif", "w", count=2, **profile) as file:
        file.write(random.integers(0, 255, (2, *codes.shape)).astype(np.uint8))
    cutting.cut([str(folder / "scenes" / "s.tif")], folder / "tiles", TileConfig(size=8))
    tiles = TileSet.open(folder / "tiles")
    truth = classes.ravel()
    vectors = np.eye(12)[truth % 11] * 3 + random.normal(size=(SIDE**2, 12))
    index = tiles.table()
    geometry = shapely.from_wkb(index["geometry"].to_numpy())
    frame = geopandas.GeoDataFrame(
        {"crop": [cdl.name(code) for code in truth]}, geometry=geometry, crs="OGC:CRS84"
    )
    frame["tile_id"] = index["tile_id"].to_pylist()
    theirs = frame[["geometry"]].assign(embedding=list(vectors))
    theirs.to_crs("EPSG:32614").to_parquet(folder / "theirs.parquet")
    theirs.assign(geometry=shapely.centroid(geometry)).to_parquet(folder / "points.parquet")
    frame[["crop", "geometry"]].to_crs("EPSG:5070").to_file(folder / "labels.gpkg")
    frame[["crop", "geometry"]].assign(geometry=shapely.centroid(geometry)).to_file(folder / "points.geojson")
    frame[["tile_id", "crop"]].to_csv(folder / "labels.csv", index=False)
    states = np.where(np.arange(SIDE**2) % SIDE < SIDE // 2, "Kansas", "Nebraska")
    frame[["tile_id", "crop"]].assign(state=states).to_csv(folder / "states.csv", index=False)
    frame[["tile_id", "geometry"]].assign(embedding=list(vectors)).to_parquet(folder / "ours.parquet")
    return folder
