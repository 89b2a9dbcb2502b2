"""Legends of several label rasters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from conftest import SceneWriter

from tile2vec_cli.errors import DataError
from tile2vec_cli.geo import rasters
from tile2vec_cli.labelling import cdl
from tile2vec_cli.labelling.legends import Legend, Table

AUX = "<PAMDataset><PAMRasterBand band='{band}'>{names}</PAMRasterBand></PAMDataset>"
CDL = {code: cdl.colour(code) for code in (1, 5, 24, 64, 111)}
OTHER = {1: (1, 2, 3), 5: (4, 5, 6), 24: (7, 8, 9)}


Maker = Callable[..., Table]


@pytest.fixture
def table(write_scene: SceneWriter) -> Maker:
    """table("a", names, palette) of a raster with these."""

    def make(
        name: str, names: str = "", palette: dict[int, tuple[int, ...]] | None = None, band: int = 1
    ) -> Table:
        path = write_scene(f"{name}.tif", np.ones((1, 2, 2), np.uint8))
        if palette:
            with rasterio.open(path, "r+") as target:
                target.write_colormap(1, palette)
        if names:
            listed = "".join(f"<Category>{one}</Category>" for one in names.split(","))
            listed = f"<CategoryNames>{listed}</CategoryNames>"
            Path(f"{path}.aux.xml").write_text(AUX.format(band=band, names=listed))
        return Table.of(rasters.describe(str(path)), 1)

    return make


def test_names_of_one_raster_hold_for_those_without(table: Maker) -> None:
    legend = Legend.of([table("a"), table("b", "none,wood"), table("c", "none,Wood,,lake")])
    assert legend.of_codes([0, 1, 2, 3]) == ["none", "wood", "2", "lake"]


def test_names_of_another_band_are_not_these(table: Maker) -> None:
    assert Legend.of([table("a", "none,wood", band=2)]).of_codes([1]) == ["1"]


def test_one_code_of_two_names_is_refused(table: Maker) -> None:
    with pytest.raises(DataError, match=r"b\.tif: calls class 1 'water', .*a\.tif 'wood'; .*one legend"):
        Legend.of([table("a", "none,wood"), table("b", "none,water")])


def test_the_cropland_data_layer_beside_rasters_without_a_palette(table: Maker) -> None:
    legend = Legend.of([table("a"), table("b", palette=CDL)])
    assert legend.is_cdl
    assert legend.of_codes([1, 64, 152]) == ["Corn", "Shrubland", "Shrubland"]
    with pytest.raises(DataError, match=r"c\.tif: has a palette of its own, .*b\.tif that of the Cropland"):
        Legend.of([table("b", palette=CDL), table("c", palette=OTHER)])
