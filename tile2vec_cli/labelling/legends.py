"""What the codes of label rasters mean: names of their own, or those of the Cropland Data Layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tile2vec_cli.errors import DataError
from tile2vec_cli.geo.grid import Ints
from tile2vec_cli.geo.raster_headers import Raster
from tile2vec_cli.labelling import cdl


@dataclass(frozen=True)
class Table:
    """What one raster says of its codes."""

    path: str
    names: Mapping[int, str]
    is_cdl: bool | None  # whether its palette is the Cropland Data Layer's; None: it has none

    @classmethod
    def of(cls, raster: Raster, band: int) -> Table:
        """Of the band (1-based) that holds the codes."""
        names = {code: name.strip() for code, name in _category_names(raster.path, band).items()}
        has_palette = band == 1 and any(map(any, raster.colours.values()))
        return cls(
            raster.path,
            {code: name for code, name in names.items() if name},
            cdl.is_cdl(raster.colours) if has_palette else None,
        )


@dataclass(frozen=True)
class Legend:
    """Code -> name. What it does not name is called by its code, or as the Cropland Data Layer has it."""

    names: Mapping[int, str]
    is_cdl: bool = False

    @classmethod
    def of(cls, tables: Sequence[Table]) -> Legend:
        """The one of several rasters: what one of them says of a code holds for those that say nothing.

        Raises DataError where two give one code different names, or where the palette of one is the
        Cropland Data Layer's and that of another is not.
        """
        names: dict[int, tuple[str, str]] = {}  # and the raster that says so
        palettes: dict[bool, str] = {}
        for table in tables:
            for code, name in table.names.items():
                first, path = names.setdefault(code, (name, table.path))
                if name.casefold() != first.casefold():
                    raise DataError(
                        f"{table.path}: calls class {code} {name!r}, {path} {first!r}; label rasters need "
                        "one legend. Give these classes one name, or read the rasters separately."
                    )
            if table.is_cdl is not None:
                palettes.setdefault(table.is_cdl, table.path)
        if len(palettes) == 2:
            raise DataError(
                f"{palettes[False]}: has a palette of its own, {palettes[True]} that of the Cropland Data "
                "Layer; label rasters need one legend. Read them separately."
            )
        return cls({code: name for code, (name, _) in names.items()}, True in palettes)

    def of_codes(self, codes: Sequence[int] | Ints) -> list[str]:
        """The names of these codes."""
        if not self.names and self.is_cdl:
            return [cdl.name(int(code)) for code in codes]
        return [self.names.get(int(code), "") or str(code) for code in codes]


def _category_names(path: str, number: int) -> dict[int, str]:
    """Code -> name of a band, from GDAL's sidecar `<raster>.aux.xml` or the VRT itself: categories, or an
    attribute table."""
    for file in (Path(f"{path}.aux.xml"), Path(path).with_suffix(".aux.xml"), Path(path)):
        if file.suffix.lower() in {".xml", ".vrt"} and file.is_file():
            try:
                root = ElementTree.parse(file).getroot()
            except (ElementTree.ParseError, OSError):
                continue  # names are a kindness: a broken sidecar does not stop the run
            bands = (b for b in root.iter() if "RasterBand" in b.tag)
            band = next((b for b in bands if b.get("band", "1") == str(number)), None)
            if band is not None:
                return _attribute_names(band) or _listed_names(band)
    return {}


def _listed_names(band: ElementTree.Element) -> dict[int, str]:
    listed = band.findall("CategoryNames/Category")
    return {code: name.text for code, name in enumerate(listed) if name.text}


def _attribute_names(band: ElementTree.Element) -> dict[int, str]:
    """From a raster attribute table, whose columns are known by their usage or, failing that, name."""
    table = band.find("GDALRasterAttributeTable")
    if table is None:
        return {}
    fields = table.findall("FieldDefn")
    usage = [field.findtext("Usage", "0") for field in fields]
    title = [field.findtext("Name", "").casefold() for field in fields]
    value = _position(usage, ("5", "3"), title, ("value", "code"))  # GFU_MinMax, GFU_Min
    name = _position(
        usage, ("2",), title, ("class_name", "class_names", "class", "name", "label")
    )  # GFU_Name
    if value is None or name is None:
        return {}
    rows = [[cell.text or "" for cell in row.findall("F")] for row in table.findall("Row")]
    with suppress(ValueError):
        return {int(float(row[value])): row[name] for row in rows if len(row) == len(fields)}
    return {}


def _position(usage: list[str], kinds: Sequence[str], title: list[str], names: Sequence[str]) -> int | None:
    found = [usage.index(kind) for kind in kinds if kind in usage]
    found += [title.index(name) for name in names if name in title]
    return found[0] if found else None
