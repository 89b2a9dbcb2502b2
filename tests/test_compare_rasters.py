"""`tile2vec compare` with labels in several rasters: the same scores as with one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import embedded
import landscapes
import numpy as np
import pytest
import rasterio

from tile2vec_cli.tiling.tiles import TileSet

QUICK = ("--n-labels", "60", "--repeats", "1", "--block", "160", "--minutes", "0.0005")


ALIKE = ("tiles", "--triplets", "triplets.parquet", "--objectives", "maf", *QUICK, "--json")
LABELS = {
    "folder": ("--labels", "pieces"),
    "list": ("--labels", "@list.txt"),
    "paths": ("--labels", "pieces/left.tif", "--labels", "pieces/right.tif"),
}


@pytest.fixture(scope="module")
def land(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiles, triplets, and the same labels (whether a tile is rough) as one raster and as two."""
    folder = tmp_path_factory.mktemp("pieces")
    tiles = TileSet.open(landscapes.make(folder, count=300)[0])
    rough = tiles.pixels(np.arange(len(tiles))).astype(float).std(axis=(1, 2, 3))
    index = tiles.table(["row", "col"]).to_pandas()
    codes = np.zeros((128, 128), np.uint8)
    for row, col, code in zip(index.row, index.col, 1 + (rough > np.median(rough)), strict=True):
        codes[row : row + landscapes.SIDE, col : col + landscapes.SIDE] = code
    with rasterio.open(folder / "scenes" / "a.tif") as scene:
        crs, corner = scene.crs, scene.transform
    (folder / "pieces").mkdir()
    for name, own, first in (
        ("whole.tif", codes, 0),
        ("pieces/left.tif", codes[:, :64], 0),
        ("pieces/right.tif", codes[:, 64:], 64),
    ):
        transform = corner * rasterio.Affine.translation(first, 0)
        shape = {"height": len(own), "width": own.shape[1], "count": 1, "dtype": "uint8", "nodata": 0}
        with rasterio.open(folder / name, "w", **shape, crs=crs, transform=transform) as file:
            file.write(own, 1)
    (folder / "list.txt").write_text("pieces/left.tif\npieces/right.tif\n")
    return folder


def test_labels_in_pieces_are_those_of_the_whole(
    land: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(land)

    def compared(out: str, *labels: str) -> dict[str, Any]:
        run = embedded.call(capsys, monkeypatch, "compare", *ALIKE, "--out", out, *labels)
        assert run.code == 0, run.err
        return run.report

    def scores(found: dict[str, Any]) -> list[Any]:  # trainings for a time are never the same twice
        return [score for score in found["scores"] if score["features"] != "end-to-end"]

    whole = compared("whole", "--labels", "whole.tif")
    assert "label_rasters" not in whole
    for name, labels in LABELS.items():
        report = compared(name, *labels)
        assert report["label_rasters"] == {"rasters": 2, "without_tiles": 0, "tiles_disputed": 0}
        assert scores(report) == scores(whole), name
        assert {score["features"] for score in scores(report)} >= {"maf", "stats", "rcf"}
