"""`tile2vec compare` with labels in several rasters: the same scores as with one."""

from __future__ import annotations

from pathlib import Path

import embedded
import landscapes
import numpy as np
import pytest
import rasterio

from tile2vec_cli.tiling.tiles import TileSet

QUICK = ("--n-labels", "60", "--repeats", "2", "--block", "160", "--minutes", "0.0005")


@pytest.mark.parametrize("named", ["folder", "list", "paths"])
def test_labels_in_pieces_are_those_of_the_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    tiles = TileSet.open(landscapes.make(tmp_path, count=300)[0])
    rough = tiles.pixels(np.arange(len(tiles))).astype(float).std(axis=(1, 2, 3))
    index = tiles.table(["row", "col"]).to_pandas()
    codes = np.zeros((128, 128), np.uint8)
    for row, col, code in zip(index.row, index.col, 1 + (rough > np.median(rough)), strict=True):
        codes[row : row + landscapes.SIDE, col : col + landscapes.SIDE] = code
    with rasterio.open(tmp_path / "scenes" / "a.tif") as scene:
        grid = {"crs": scene.crs, "transform": scene.transform}
    pieces = {"whole.tif": 0, "pieces/left.tif": 0, "pieces/right.tif": 64}
    (tmp_path / "pieces").mkdir()
    for name, first in pieces.items():
        own = codes if name == "whole.tif" else codes[:, first : first + 64]
        transform = grid["transform"] * rasterio.Affine.translation(first, 0)
        shape = {"height": len(own), "width": own.shape[1], "count": 1, "dtype": "uint8", "nodata": 0}
        with rasterio.open(tmp_path / name, "w", **shape, **{**grid, "transform": transform}) as file:
            file.write(own, 1)
    (tmp_path / "list.txt").write_text("pieces/left.tif\npieces/right.tif\n")
    labels = {
        "folder": ("--labels", "pieces"),
        "list": ("--labels", "@list.txt"),
        "paths": ("--labels", "pieces/left.tif", "--labels", "pieces/right.tif"),
    }
    monkeypatch.chdir(tmp_path)

    def compared(out: str, *labels: str) -> dict[str, object]:
        fixed = (
            "tiles",
            "--triplets",
            "triplets.parquet",
            "--out",
            out,
            "--objectives",
            "maf",
            *QUICK,
            "--json",
        )
        run = embedded.call(capsys, monkeypatch, "compare", *fixed, *labels)
        assert run.code == 0, run.err
        return run.report

    report, whole = compared("c", *labels[named]), compared("w", "--labels", "whole.tif")
    assert report["label_rasters"] == {"rasters": 2, "without_tiles": 0, "tiles_disputed": 0}
    assert "label_rasters" not in whole

    def scores(found: dict[str, object]) -> list[object]:  # trainings for a time are never the same twice
        return [score for score in found["scores"] if score["features"] != "end-to-end"]  # type: ignore

    assert scores(report) == scores(whole)
    assert {score["features"] for score in scores(report)} >= {"maf", "stats", "rcf"}  # type: ignore
