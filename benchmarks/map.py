"""`tile2vec map` against the network alone on the same windows, and its peak memory.

    python benchmarks/map.py FOLDER [--side 4000] [--windows 512] [--runs 3] [--memory-only]

Makes a deflated scene of side × side × 4 uint8 in FOLDER (once), and an untrained network of the
default recipe: the arithmetic is that of a trained one. Alternates the command's core with the bare
forward pass over the windows it uses, in one process, and prints the median ratio; then runs the
command and prints the peak memory of its process.
"""

from __future__ import annotations

import shutil
import statistics
import time
from pathlib import Path

import rasterio
import torch
from command import argument_parser, measured
from tile import make_scene

from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.config.weak import MapConfig
from tile2vec_cli.neural.batches import Standardise
from tile2vec_cli.neural.device import choose
from tile2vec_cli.neural.models import Description
from tile2vec_cli.segmentation import mapping, segmenters, weak_recipes
from tile2vec_cli.segmentation.unet import Segmenter
from tile2vec_cli.segmentation.windows import Layout


def make_model(folder: Path) -> Path:
    path = folder / "model"
    if not path.exists():
        path.mkdir()
        network = weak_recipes.untrained("assisted", 4, 0)
        segmenter = Segmenter(Standardise([130.0] * 4, [40.0] * 4), [network]).eval()
        architecture = {"network": "unet", "bands": 4, "members": [network.shape]}
        settings = TileConfig().settings() | {"bands": [1, 2, 3, 4]}
        provenance = {"resolution_m": 1.0, "tile_settings": settings, "class": "field"}
        model = Description(segmenters.KIND, architecture, (1, 2, 3, 4), "uint8", 50, {}, {}, provenance)
        segmenters.write(path, model, segmenter, [])
    return path


def alone(scene: Path, model: Path, window: int) -> float:
    """Seconds of the forward pass over all windows of the scene, their pixels in memory."""
    runtime = choose("auto", "auto")
    segmenter, _ = segmenters.load(model, runtime.device)
    with rasterio.open(scene) as source:
        layout = Layout.over(
            source.height,
            source.width,
            tuple(source.transform)[:6],
            side=window,
            margin=segmenter.reach,
            stride=segmenter.stride,
        )
        first = next(iter(layout))
        height, width = (span.stop - span.start for span in first)
        pixels = torch.from_numpy(source.read(window=((0, height), (0, width)), boundless=True)[None])
    pixels, valid = pixels.float().to(runtime.device), torch.ones(1, height, width, dtype=torch.bool)
    valid = valid.to(runtime.device)
    with torch.inference_mode(), runtime.autocast():
        segmenter(pixels, valid)
        started = time.perf_counter()
        for _ in layout:
            segmenter(pixels, valid).sum().item()
    return time.perf_counter() - started


def mapped(scene: Path, model: Path, window: int, out: Path) -> float:
    shutil.rmtree(out, ignore_errors=True)
    started = time.perf_counter()
    report = mapping.run([str(scene)], model, out, MapConfig(window=window))
    assert report.made == 1, report.failed
    return time.perf_counter() - started


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--side", type=int, default=4_000)
    parser.add_argument("--windows", default=str(MapConfig().window))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--memory-only", action="store_true")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    scene, out = options.folder / f"scene-{options.side}.tif", options.folder / "maps"
    if not scene.exists():
        make_scene(scene, options.side)
    model = make_model(options.folder)
    if not options.memory_only:
        print("| window | network alone, s | map, s | network / map | Mpx/s |\n|---|---|---|---|---|")
        for window in map(int, options.windows.split(",")):
            pairs = [
                (alone(scene, model, window), mapped(scene, model, window, out)) for _ in range(options.runs)
            ]
            bare, whole = (statistics.median(column) for column in zip(*pairs, strict=True))
            share = statistics.median(bare / whole for bare, whole in pairs)
            speed = options.side**2 / whole / 1e6
            print(f"| {window} | {bare:.1f} | {whole:.1f} | {share:.2f} | {speed:.2f} |", flush=True)
    shutil.rmtree(out, ignore_errors=True)
    _, seconds, peak = measured("map", scene, "--model", model, "--out", out, "--quiet")
    print(f"\n{options.side:,}²: {seconds:.0f} s, peak memory {peak:,} MB")
    shutil.rmtree(out, ignore_errors=True)


if __name__ == "__main__":
    main()
