"""`tile` on STAC items behind a server on this machine: how long it takes to find, cut and look at them.

    python benchmarks/stac.py FOLDER [--items 1000]

Makes the items (once), each of two small files, and a catalog of them in FOLDER; a process of its own
serves them. Prints the seconds in which the catalog becomes a list of scenes, those in which every scene
is looked at before the first is cut, those of `tile`, and those of `tile` once more, which has nothing
to do.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import rasterio
from command import argument_parser, measured
from rasterio.transform import from_origin

from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.geo.scene_lists import choose
from tile2vec_cli.tiling.planning import planned
from tile2vec_cli.tiling.tile_files import read_manifest

BANDS = ("red", "nir")


def make(folder: Path, count: int) -> None:
    pixels = np.random.default_rng(0).integers(1, 9999, (1, 64, 64)).astype(np.uint16)
    links = []
    for number in range(count):
        own = folder / f"{number:05d}"
        own.mkdir(parents=True)
        profile = {"driver": "GTiff", "count": 1, "height": 64, "width": 64, "dtype": "uint16"}
        profile |= {"crs": "EPSG:32614", "transform": from_origin(500_000 + 640 * number, 4_400_000, 10, 10)}
        for band in BANDS:
            with rasterio.open(own / f"{band}.tif", "w", **profile) as target:
                target.write(pixels)
        assets = {band: {"href": f"./{band}.tif", "type": "image/tiff"} for band in BANDS}
        item = {"type": "Feature", "stac_version": "1.0.0", "id": f"scene-{number:05d}", "assets": assets}
        item["properties"] = {"datetime": "2021-05-13T17:19:01Z"}
        (own / "item.json").write_text(json.dumps(item))
        links.append({"rel": "item", "href": f"./{own.name}/item.json"})
    catalog = {"type": "Catalog", "stac_version": "1.0.0", "id": "all", "links": links}
    (folder / "catalog.json").write_text(json.dumps(catalog))


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--items", type=int, default=1000)
    options = parser.parse_args()
    served, out = options.folder / f"items-{options.items}", options.folder / "tiles"
    if not (served / "catalog.json").exists():
        make(served, options.items)
    shutil.rmtree(out, ignore_errors=True)
    server = [sys.executable, "-um", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(served)]
    with subprocess.Popen(server, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().split("port ")[1].split()[0]
            catalog = f"http://127.0.0.1:{port}/catalog.json"
            began = time.perf_counter()
            found = choose([catalog], assets=BANDS)
            print(f"{len(found.scenes):,} items listed in {time.perf_counter() - began:.1f} s")
            call = ["tile", catalog, "--assets", ",".join(BANDS), "--size", 32, "--out", out]
            for name in ("cut", "up to date"):
                report, seconds, megabytes = measured(*call)
                print(f"{name}: {report['made']:,} made in {seconds:.1f} s, {megabytes:,} MB")
            none = options.folder / "none"
            none.mkdir(exist_ok=True)
            config, manifest = TileConfig(size=32, assets=BANDS), read_manifest(out)
            began = time.perf_counter()
            planning = planned(found.scenes, none, config, manifest, True, found.names, found.facts)
            plans = sum(len(now.missing) for now in planning)
            print(f"{plans:,} parts planned in {time.perf_counter() - began:.1f} s")
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
