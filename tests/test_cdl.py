"""The legend of the Cropland Data Layer."""

from __future__ import annotations

import pytest
import rasterio
from conftest import real

from tile2vec_cli.labelling import cdl


@pytest.mark.parametrize(
    ("code", "name"), [(1, "Corn"), (5, "Soybeans"), (176, "Grassland/Pasture"), (9, "9")]
)
def test_names(code: int, name: str) -> None:
    assert cdl.name(code) == name


def test_its_palette_is_known_by_its_colours() -> None:
    palette = {code: cdl.colour(code) for code in (1, 5, 24, 111, 176)}
    assert cdl.is_cdl(palette)
    assert cdl.is_cdl({**palette, 9: (0, 0, 0), 250: (0, 0, 0)})  # unused codes are black
    assert cdl.is_cdl({code: (red, green ^ 3, blue) for code, (red, green, blue) in palette.items()})


def test_other_palettes_are_not() -> None:
    assert not cdl.is_cdl({})
    assert not cdl.is_cdl({code: (code, code, code) for code in range(256)})
    assert not cdl.is_cdl({1: cdl.colour(1)})


def test_the_published_palette_agrees() -> None:
    with rasterio.open(real("cdl_kansas", "2021_30m_cdls.tif")) as source:
        palette = {code: colour[:3] for code, colour in source.colormap(1).items()}
    assert cdl.is_cdl(palette)
    assert all(palette[code] == cdl.colour(code) for code in cdl.LEGEND)
