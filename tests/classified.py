"""Labels of every kind and the embeddings of two places, for the tests of `classify`."""

from __future__ import annotations

from pathlib import Path

import geopandas
import landscapes
import numpy as np
import pandas as pd
import rasterio
import shapely
from embedded import write
from rasterio.transform import from_origin

from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.tiling import cutting
from tile2vec_cli.tiling.tiles import TileSet

NAMES = ("crop", "water", "wood")


SCENES = {
    "east_20100701": ((500_000, 5_400_000), "EPSG:32633"),
    "far_20100701": ((600_000, 5_400_000), "EPSG:32632"),
}


def make(folder: Path) -> Path:
    """Two places in two UTM zones, of 144 tiles of 80 m each, in squares of 16 of one of three classes."""
    scenes = [
        landscapes.scene(folder / "scenes" / f"{name}.tif", side=96, corner=corner, crs=crs)
        for name, (corner, crs) in SCENES.items()
    ]
    cutting.cut([*map(str, scenes)], folder / "tiles", TileConfig(size=8))
    random, frames = np.random.default_rng(0), []
    for part in TileSet.open(folder / "tiles").parts:
        index = part.index().to_pandas()
        code = ((index["row"] // 32 + index["col"] // 32) % 3).to_numpy()
        vectors = np.hstack([3 * np.eye(3)[code], np.zeros((len(code), 2))])
        vectors += 0.8 * random.normal(size=vectors.shape)
        write(folder / "all" / f"{part.name}.parquet", part, vectors, sizes={"texture": 3, "place": 2})
        if "east" in part.name:
            write(folder / "few" / f"{part.name}.parquet", part, vectors)
        place = shapely.from_wkb(index["geometry"])
        frames.append(geopandas.GeoDataFrame({"tile_id": index["tile_id"], "code": code}, geometry=place))
    known = pd.concat(frames, ignore_index=True).set_crs("OGC:CRS84")
    known["cover"] = [NAMES[code] for code in known["code"]]
    known.drop(columns="geometry").to_csv(folder / "truth.csv", index=False)
    some = known.sample(100, random_state=1).sort_index()
    some[["tile_id", "cover"]].to_csv(folder / "labels.csv", index=False)
    some[["cover", "geometry"]].to_file(folder / "areas.geojson")
    some.set_geometry(some.geometry.representative_point())[["cover", "geometry"]].to_file(
        folder / "points.gpkg"
    )
    codes = np.kron([[7, 9, 40], [9, 40, 7], [40, 7, 9]], np.ones((32, 32))).astype(np.uint8)
    grid = {"width": 96, "height": 96, "count": 1, "dtype": "uint8", "crs": "EPSG:32633"}
    with rasterio.open(
        folder / "codes.tif", "w", driver="GTiff", transform=from_origin(500_000, 5_400_000, 10, 10), **grid
    ) as file:
        file.write(codes, 1)
    (folder / "one_class.csv").write_text(some[some["cover"] == "wood"][["tile_id", "cover"]].to_csv())
    (folder / "lone.csv").write_text(
        "tile_id,cover\n" + "\n".join(f"{name},wood" for name in some["tile_id"][:9]) + "\n"
        f"{known['tile_id'].iloc[-1]},lake\n"
    )
    (folder / "strange.csv").write_text("tile_id,cover\nx/0/0,wood\ny/0/0,crop\n")
    rows = geopandas.GeoDataFrame(
        {"embedding": [[float(n), 1.0] for n in range(40)]},
        geometry=shapely.box(*random.uniform(0, 1, (2, 40)), *(random.uniform(1, 2, (2, 40)))),
        crs="OGC:CRS84",
    )
    rows.to_parquet(folder / "scattered.parquet")
    return folder
