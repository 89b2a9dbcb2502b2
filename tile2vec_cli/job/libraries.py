"""The libraries that tile2vec stands on: which are here, and whether they work.

Any may be missing or broken, which is what this is to find out: each is imported in a `try`.
"""

from __future__ import annotations

import platform
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from importlib import import_module, metadata
from pathlib import Path

from tile2vec_cli import __version__
from tile2vec_cli.job.machine import Finding, suspects, tried

DISTRIBUTION = "tile2vec-cli"
FOR_DEVELOPERS = {"test", "docs"}  # extras

# A point of UTM zone 14 and its place; no grid or datum shift comes between.
POINT, PLACE = (600_000.0, 4_400_000.0), (-97.832848, 39.744040)

_ROOT = Path(__file__).resolve().parents[2]
_MODULES = {"scikit-learn": "sklearn", "pyyaml": "yaml"}  # what is not imported by its own name
_RASTERS = {"GTiff", "COG", "VRT"}
_VECTORS = {"GPKG", "GeoJSON", "ESRI Shapefile"}


def examine() -> Iterator[Finding]:
    yield Finding("tile2vec", f"{__version__}, {_ROOT / 'tile2vec_cli'}")
    yield Finding("python", f"{platform.python_version()}, {platform.platform()}")
    found = tried("libraries", _libraries)
    yield from found
    broken = {one.name for one in found if one.state == "broken"}
    for library, what, look in (
        ("rasterio", "GDAL", _rasterio),
        ("pyproj", "PROJ", _pyproj),
        ("pyogrio", "GDAL", _pyogrio),
    ):
        if library not in broken:
            yield from tried(f"{what} ({library})", look)


def requirements() -> dict[str, list[str]]:
    """What the package needs, as "", and each of its extras: {"": ["typer>=0.15", …], "dask": […]}."""
    project = _ROOT / "pyproject.toml"
    told = tomllib.loads(project.read_text())["project"] if project.is_file() else {}
    if told.get("name") == DISTRIBUTION:  # of a clone: newer than what was noted when it was installed
        return {"": told["dependencies"], **told["optional-dependencies"]}
    found = defaultdict(list)
    for line in metadata.requires(DISTRIBUTION) or []:
        need, _, condition = line.partition(";")
        extra = re.search(r"extra == [\"']([\w-]+)", condition)
        found[extra[1] if extra else ""].append(need.strip())
    return dict(found)


def _libraries() -> Iterator[Finding]:
    for extra, needs in requirements().items():
        if not extra:
            for need in needs:
                yield from tried(_name(need), partial(_library, need))
        elif extra not in FOR_DEVELOPERS:
            yield from _extra(extra, needs)


def _extra(extra: str, needs: list[str]) -> list[Finding]:
    found = [one for need in needs for one in tried(_name(need), partial(_library, need))]
    name = f"extra {extra}"
    absent = [one.name for one in found if one.found == "not installed"]
    if absent:
        advice = f"If it is wanted: pip install '{DISTRIBUTION}[{extra}]'."
        return [Finding(name, f"not installed: {', '.join(absent)}", "note", advice)]
    if broken := [one for one in found if one.state == "broken"]:
        return broken
    return [Finding(name, ", ".join(f"{one.name} {one.found}" for one in found))]


def _name(need: str) -> str:
    return re.split(r"[\[<>=!~; ]", need, maxsplit=1)[0]


def _library(need: str) -> list[Finding]:
    name = _name(need)
    module = _MODULES.get(name, name.replace("-", "_"))
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        return [Finding(name, "not installed", "broken", f"Install it: pip install '{need}'.")]
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:  # built by hand
        version = getattr(found, "__version__", "version unknown")
    least = need.partition(">=")[2].partition(",")[0]
    if _numbers(version) < _numbers(least):
        return [Finding(name, version, "broken", f"Install {least} or newer: pip install '{need}'.")]
    return [Finding(name, version)]


def _numbers(version: str) -> tuple[int, ...]:
    """To compare by; of "version unknown" the highest."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ((1 << 30,) if version else ())


# --- GDAL and PROJ, of which each library brings its own ------------------------------------------


def _rasterio() -> Iterator[Finding]:
    rasterio, env, warp = (import_module(name) for name in ("rasterio", "rasterio.env", "rasterio.warp"))
    with rasterio.Env() as opened:
        missing = _RASTERS - set(opened.drivers())
        jpeg = any(name.startswith("JP2") for name in opened.drivers())
        data = env.GDALDataFinder().find_file("gdalvrt.xsd")
    name, version = "GDAL (rasterio)", rasterio.__gdal_version__
    if missing:
        yield Finding(name, f"{version} without {', '.join(sorted(missing))}", "broken", suspects())
    elif not data:
        yield Finding(name, f"{version}; its data are not found", "note", suspects())
    elif not jpeg:
        yield Finding(name, f"{version} without JPEG 2000", "note", "Scenes in .jp2 cannot be read.")
    else:
        yield Finding(name, f"{version}, data in {Path(data).parent}")
    (x,), (y,) = warp.transform("EPSG:32614", "OGC:CRS84", *([value] for value in POINT))
    yield _transformed("PROJ (rasterio)", rasterio.__proj_version__, (x, y))


def _pyproj() -> Iterator[Finding]:
    pyproj = import_module("pyproj")
    found = pyproj.Transformer.from_crs("EPSG:32614", "OGC:CRS84", always_xy=True).transform(*POINT)
    data = import_module("pyproj.datadir").get_data_dir()
    yield _transformed("PROJ (pyproj)", f"{pyproj.proj_version_str}, data in {data}", found)


def _transformed(name: str, version: str, found: tuple[float, float]) -> Finding:
    if all(abs(here - there) < 1e-6 for here, there in zip(found, PLACE, strict=True)):
        return Finding(name, f"{version}, transforms correctly")
    return Finding(
        name, f"{version} puts {POINT} of EPSG:32614 at {found}, not {PLACE}", "broken", suspects()
    )


def _pyogrio() -> Iterator[Finding]:
    pyogrio = import_module("pyogrio")
    missing = _VECTORS - set(pyogrio.list_drivers())
    version = ".".join(map(str, pyogrio.__gdal_version__))
    if missing:
        yield Finding(
            "GDAL (pyogrio)", f"{version} without {', '.join(sorted(missing))}", "broken", suspects()
        )
    else:
        yield Finding("GDAL (pyogrio)", version)
