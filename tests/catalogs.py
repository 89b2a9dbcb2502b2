"""STAC items shaped as the catalogs' own, and a server for them and their files."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COG = "image/tiff; application=geotiff; profile=cloud-optimized"
WHEN = "2021-05-13T17:19:01.024000Z"
SIGNATURES = (
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIASECRET%2F20260101&X-Amz-Signature=5ec4e7",
    "st=2026-01-01&se=2026-01-02&sp=rl&sv=2024-05-04&sr=c&skoid=5ec4e7&sig=5ec4e7%3D",
)


def item(id: str, assets: dict[str, Any], *, version: str = "1.0.0", **more: Any) -> dict[str, Any]:
    properties = {"datetime": WHEN, **more.pop("properties", {})}
    found = {"type": "Feature", "stac_version": version, "id": id, "geometry": None, "assets": assets}
    return {**found, "links": [], "properties": properties, **more}


def earth_search(id: str, folder: str, **properties: Any) -> dict[str, Any]:
    """Sentinel-2 C1 L2A: an asset a band, a picture with bands of the same names, and JPEG 2000 beside."""
    said = {"nodata": 0, "data_type": "uint16", "scale": 0.0001, "offset": -0.1}

    def band(key: str, name: str, common: str, suffix: str = "tif") -> dict[str, Any]:
        of = {"name": name, "common_name": common}
        kind = COG if suffix == "tif" else "image/jp2"
        href = f"{folder}{name}.{suffix}"
        return {
            "href": href,
            "type": kind,
            "roles": ["data", "reflectance"],
            "eo:bands": [of],
            "raster:bands": [said],
        }

    names = [("red", "B04", "red"), ("nir", "B08", "nir"), ("rededge1", "B05", "rededge071")]
    assets = {key: band(key, name, common) for key, name, common in names}
    assets |= {f"{key}-jp2": band(key, name, common, "jp2") for key, name, common in names}
    colours = [{"name": name, "common_name": c} for name, c in (("B04", "red"), ("B03", "green"))]
    assets["visual"] = {"href": f"{folder}TCI.tif", "type": COG, "roles": ["visual"], "eo:bands": colours}
    assets["thumbnail"] = {"href": f"{folder}preview.jpg", "type": "image/jpeg", "roles": ["thumbnail"]}
    assets["granule_metadata"] = {"href": f"{folder}metadata.xml", "type": "application/xml"}
    return item(id, assets, collection="sentinel-2-c1-l2a", properties=properties)


def naip(id: str, href: str) -> dict[str, Any]:
    """NAIP of the Planetary Computer: one asset with four bands, and pictures."""
    bands = [{"name": n, "common_name": n.lower()} for n in ("Red", "Green", "Blue")]
    bands.append({"name": "NIR", "common_name": "nir", "description": "near-infrared"})
    assets = {
        "image": {"href": href, "type": COG, "roles": ["data"], "eo:bands": bands},
        "metadata": {"href": "m.txt", "type": "text/plain", "roles": ["metadata"]},
        "thumbnail": {"href": "m.200.jpg", "type": "image/jpeg", "roles": ["thumbnail"]},
        "rendered_preview": {"href": "m.png", "type": "image/png", "roles": ["overview"]},
    }
    return item(id, assets, collection="naip", properties={"gsd": 0.6})


def landsat(id: str, folder: str) -> dict[str, Any]:
    """Landsat C2 L2 of the USGS: keys of common names, scale and offset, quality beside."""
    said = {"scale": 2.75e-05, "offset": -0.2, "nodata": 0, "data_type": "uint16"}
    names = (("red", "OLI_B4", "SR_B4"), ("nir08", "OLI_B5", "SR_B5"))
    assets: dict[str, Any] = {
        key: {
            "href": f"{folder}{file}.TIF",
            "type": "image/vnd.stac.geotiff; cloud-optimized=true",
            "roles": ["data"],
            "eo:bands": [{"name": band, "common_name": key}],
            "raster:bands": [said],
        }
        for key, band, file in names
    }
    assets["qa_pixel"] = {"href": f"{folder}QA_PIXEL.TIF", "type": COG, "roles": ["cloud", "data"]}
    return item(id, assets, collection="landsat-c2l2-sr")


def newest(id: str, href: str) -> dict[str, Any]:
    """STAC 1.1: one list of bands, with names and numbers of all extensions."""
    bands = [
        {"name": "B1", "eo:common_name": "red", "raster:scale": 0.5, "raster:offset": 1.0},
        {"name": "B2", "eo:common_name": "nir", "nodata": 7, "raster:scale": 0.25},
    ]
    asset = {"href": href, "type": COG, "roles": ["data"], "nodata": 9, "bands": bands}
    times = {"datetime": None, "start_datetime": "2020-01-01T00:00:00+02:00"}
    return item(id, {"data": asset}, version="1.1.0", properties=times)


def collected(*items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(items), **more}


def catalog(id: str, *links: tuple[str, str], kind: str = "Catalog") -> dict[str, Any]:
    found = [{"rel": rel, "href": href} for rel, href in links]
    return {"type": kind, "stac_version": "1.0.0", "id": id, "description": id, "links": found}


def keep(path: Path, found: dict[str, Any]) -> Path:
    path.write_text(json.dumps(found))
    return path


@dataclass
class Shelf:
    """A folder behind a server. Without `needed` in an address it gives no file that ends in .tif."""

    folder: Path
    port: int = 0
    needed: str = ""
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def served(folder: Path) -> Iterator[Shelf]:
    shelf = Shelf(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def answer(self, *, with_body: bool) -> None:
            shelf.asked.append(self.path)
            name, _, query = self.path.partition("?")
            file = shelf.folder / name.lstrip("/")
            if name.endswith(".tif") and shelf.needed not in query:
                self.send_error(403)
                return
            if not file.is_file():
                self.send_error(404)
                return
            content = file.read_bytes()
            first, last = 0, len(content) - 1
            wanted = self.headers.get("Range", "").removeprefix("bytes=")
            if wanted:
                start, _, stop = wanted.partition("-")
                first, last = int(start), min(int(stop) if stop else last, last)
            self.send_response(206 if wanted else 200)
            self.send_header("Content-Length", str(last - first + 1))
            self.send_header("Last-Modified", self.date_time_string(int(file.stat().st_mtime)))
            self.send_header("Accept-Ranges", "bytes")
            if wanted:
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
            self.end_headers()
            if with_body:
                self.wfile.write(content[first : last + 1])

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        shelf.port = listening.server_address[1]
        thread = threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield shelf
        listening.shutdown()
