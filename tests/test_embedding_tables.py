"""Embeddings in plain tables: numbered columns beside coordinates, as samples of AlphaEarth are exported."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
from embedded import decoded

from tile2vec_cli.embedding import embedding_readers, embedding_tables
from tile2vec_cli.embedding.embeddings import Embeddings
from tile2vec_cli.errors import DataError

VECTORS = np.random.default_rng(0).uniform(-1, 1, (7, 64)).astype(np.float32)
PLACES = np.random.default_rng(1).uniform(-60, 60, (7, 2))
NAMES = [f"A{number:02d}" for number in range(64)]


def sample() -> pd.DataFrame:
    frame = pd.DataFrame(VECTORS, columns=NAMES)[list(reversed(NAMES))]  # the order is that of the numbers
    return frame.assign(year=2024, crop_1=3, lon=PLACES[:, 0], lat=PLACES[:, 1])


def save(path: Path, frame: pd.DataFrame) -> Path:
    points = geopandas.points_from_xy(frame.lon, frame.lat, crs="OGC:CRS84")
    if path.name == "earth_engine.csv":
        frame = frame.drop(columns=["lon", "lat"]).assign(**{".geo": shapely.to_geojson(points.to_numpy())})
    if path.name == "geo.parquet":
        geopandas.GeoDataFrame(frame.drop(columns=["lon", "lat"]), geometry=points).to_parquet(path)
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("name", ["geo.parquet", "plain.parquet", "points.csv", "earth_engine.csv"])
def test_numbered_columns_are_vectors(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / name, sample())
    found = Embeddings.open(path)
    assert np.allclose(found.vectors, VECTORS, atol=1e-6)
    assert np.allclose(found.lonlat, PLACES, atol=1e-9)
    pieces = list(embedding_readers.pieces(path, 3, None))
    assert [len(piece.vectors) for piece in pieces] == [3, 3, 1]
    assert np.array_equal(np.concatenate([piece.vectors for piece in pieces]), found.vectors)
    assert len(found) == 7


def test_a_row_without_all_numbers_is_named(tmp_path: Path) -> None:
    frame = sample()
    frame.loc[4, "A07"] = np.nan
    for name in ("geo.parquet", "points.csv"):
        path = save(tmp_path / name, frame)
        with pytest.raises(DataError, match=r"1 of 7 vectors hold NaN or infinity, the first in row 4"):
            decoded(path)
        with pytest.raises(DataError, match=r"the first in row 4 \(of 0, 1"):
            list(embedding_readers.pieces(path, 3, None))


def test_rows_without_a_place_and_columns_of_text_are_refused(tmp_path: Path) -> None:
    frame = sample()
    frame.loc[2, "lon"] = np.nan
    with pytest.raises(DataError, match="not all rows have a place"):
        decoded(save(tmp_path / "points.csv", frame))
    path = save(tmp_path / "text.csv", sample().assign(A03="x"))
    with pytest.raises(DataError, match="its column A03 holds more than numbers"):
        decoded(path)


def test_which_columns_count(tmp_path: Path) -> None:
    def run(*names: str) -> int:
        return len(embedding_tables.numbered(tmp_path, names))

    assert run(*NAMES, "lon") == 64
    assert run(*map(str, range(1, 11))) == 10
    assert run("lon", *NAMES[1:]) == 63
    assert run(*NAMES[2:]) == 0  # begins at 2
    assert run(*NAMES[:20], *NAMES[21:]) == 0  # a gap
    assert run("pc1", "pc2", "pc3") == 0
    assert run(*NAMES, "year_2019", "year_2020", "c1", "c2") == 64
    with pytest.raises(DataError, match="A00 to A63 and B1 to B12; one vector per row"):
        run(*NAMES, *(f"B{number}" for number in range(1, 13)))
