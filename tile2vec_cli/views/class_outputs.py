"""Classes of tiles as files: tables, polygons of neighbouring tiles, maps of a pixel a tile, a picture."""

from __future__ import annotations

import colorsys
import json
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np
import pyarrow as pa
import shapely

from tile2vec_cli.errors import DataError
from tile2vec_cli.geo import feature_files
from tile2vec_cli.outputs.cogs import Layer
from tile2vec_cli.views import value_maps
from tile2vec_cli.views.classes import Classified
from tile2vec_cli.views.mosaics import Mosaic
from tile2vec_cli.views.value_maps import Maps

FORMAT = "tile2vec-classes/1"
# Okabe and Ito (2008), the strong ones first; further classes go around the colour circle.
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#f0e442", "#999999")
_DIGITS = 9  # of a degree: footprints of neighbours have corners in common but for rounding

Colour = tuple[int, int, int]


def colours(count: int) -> list[Colour]:
    """So many that can be told apart, as far as they can."""
    found = [(int(text[1:3], 16), int(text[3:5], 16), int(text[5:], 16)) for text in _COLOURS[:count]]
    for number in range(count - len(found)):
        hue, light = number * 0.618034 % 1, (0.35, 0.5, 0.7)[number % 3]
        red, green, blue = colorsys.hls_to_rgb(hue, light, 0.55)
        found.append((round(255 * red), round(255 * green), round(255 * blue)))
    return found


# --- tables --------------------------------------------------------------------------------------


def table(found: Classified, path: Path) -> None:
    """A row a tile; CSV has no footprints."""
    feature_files.write(path, found.batches())


def dissolved(found: Classified, path: Path) -> None:
    """A row for each polygon of neighbouring tiles of one class, the largest of a class first."""
    feature_files.write(path, [_dissolve(found)])


def _dissolve(found: Classified) -> feature_files.Batch:
    footprints = found.embeddings.geometry
    if not (shapely.area(footprints) > 0).all():
        raise DataError(
            f"{found.embeddings.name}: its places are points; --dissolve needs footprints. Leave it out."
        )
    footprints = shapely.transform(footprints, lambda xy: xy.round(_DIGITS))
    inside, probability = shapely.point_on_surface(footprints), found.probability()
    rows: list[tuple[str, int, float]] = []
    shapes: list[shapely.Geometry] = []
    for number, name in enumerate(found.names):
        own = np.flatnonzero(found.classes == number)
        pieces = shapely.get_parts(shapely.union_all(footprints[own]))
        tile, piece = shapely.STRtree(pieces).query(inside[own], predicate="within")
        count = np.bincount(piece, minlength=len(pieces))
        mean = np.bincount(piece, probability[own][tile], minlength=len(pieces)) / np.maximum(count, 1)
        # The part of a footprint beyond the antimeridian holds no tile by itself.
        for one in np.argsort(-count, kind="stable").tolist():
            rows.append((name, int(count[one]), float(mean[one])))
            shapes.append(shapely.orient_polygons(pieces[one]))
    names, counts, means = zip(*rows, strict=True)
    columns = {"class": pa.array(names), "tiles": pa.array(counts), "probability": pa.array(means)}
    return pa.table(columns), np.array(shapes, dtype=object)


# --- maps ----------------------------------------------------------------------------------------


def pixel_values(names: Sequence[str]) -> tuple[list[int], int]:
    """The number that stands for each class on a map, and that of no data.

    Classes that are codes keep them; others count from 1.
    """
    if all(name.isdecimal() and str(int(name)) == name for name in names):
        codes = [int(name) for name in names]
        if 0 not in codes and max(codes) <= np.iinfo(np.uint16).max:
            return codes, 0
        if max(codes) < 255:
            return codes, 255
    return [*range(1, len(names) + 1)], 0


def class_map(found: Classified, one: Mosaic, path: Path) -> None:
    values, nodata = pixel_values(found.names)
    dtype = np.uint8 if max(values) <= 255 else np.uint16
    palette = dict(zip(values, ((*colour, 255) for colour in colours(len(values))), strict=True))
    legend = dict(zip(map(str, values), found.names, strict=True))
    tags = {"TILE2VEC_FORMAT": FORMAT, "TILE2VEC_CLASSES": json.dumps(legend, ensure_ascii=False)}
    layer = Layer(np.dtype(dtype).name, nodata, "mode", tags, {nodata: (0, 0, 0, 0), **palette})
    value_maps.write(one, layer, np.array(values, dtype)[found.classes], path)


def probability_maps(found: Classified, name: str) -> Maps:
    tags = {"TILE2VEC_FORMAT": FORMAT, "TILE2VEC_CLASS": name}
    return Maps(found.mosaics, found.probabilities[:, found.names.index(name)], tags)


def legend_file(names: Sequence[str], path: Path) -> None:
    """What GDAL, QGIS and `probe` read beside a map: the names of its classes (MAP.tif.aux.xml)."""
    values, _ = pixel_values(names)
    root = Element("PAMDataset")
    band = SubElement(root, "PAMRasterBand", band="1")
    if max(values) <= 255:
        listed = SubElement(band, "CategoryNames")
        called = dict(zip(values, names, strict=True))
        for value in range(max(values) + 1):
            SubElement(listed, "Category").text = called.get(value, "")
    attributes = SubElement(band, "GDALRasterAttributeTable", tableType="thematic")
    # Name, type (0: integer, 2: text) and usage, as GDAL numbers them.
    fields = (("Value", 0, 5), ("Class", 2, 2), ("Red", 0, 6), ("Green", 0, 7), ("Blue", 0, 8))
    for number, (name, kind, usage) in enumerate(fields):
        told = SubElement(attributes, "FieldDefn", index=str(number))
        for key, text in (("Name", name), ("Type", str(kind)), ("Usage", str(usage))):
            SubElement(told, key).text = text
    for number, row in enumerate(zip(values, names, colours(len(values)), strict=True)):
        cells = SubElement(attributes, "Row", index=str(number))
        for cell in (row[0], row[1], *row[2]):
            SubElement(cells, "F").text = str(cell)
    path.write_bytes(tostring(root))


def picture(found: Classified, path: Path) -> None:
    from tile2vec_cli.views import preview_figures  # and with it matplotlib, which maps need not

    own = colours(len(found.names))
    total = len(found.classes)
    legend = [
        (f"{name}   {100 * count / total:.1f} %", "#{:02x}{:02x}{:02x}".format(*colour))
        for (name, count), colour in zip(found.counts.items(), own, strict=True)
    ]
    drawn = np.array(own, np.uint8)[found.classes]
    preview_figures.write(path, found.mosaics, drawn, f"{total:,} tiles", legend)
