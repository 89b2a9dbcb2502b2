"""The commands that are put to the test, on inputs small enough for thousands of trials."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from harness import Case, Faults
from rasterio.transform import from_origin


def write_scenes(folder: Path, count: int = 3) -> None:
    """Scenes of two classes side by side, as textures, one of them with nodata, and their labels."""
    folder.mkdir(parents=True)
    profile = {"count": 2, "height": 96, "width": 96, "dtype": "uint8", "crs": "EPSG:32614"}
    for number in range(count):
        rng = np.random.default_rng(number)
        pixels = rng.integers(1, 250, (2, 96, 96), dtype=np.uint8)
        pixels[:, :, :48] = pixels[:, :, :48] // 8 + 100
        pixels[0, :5, :5] = 0
        place = from_origin(500_000 + 2_000 * number, 4_400_000, 10, 10)
        with rasterio.open(folder / f"s{number}.tif", "w", **profile, nodata=0, transform=place) as target:
            target.write(pixels)
    codes = np.full((1, 96, 96 + 200 * (count - 1)), 2, np.uint8)
    for number in range(count):
        codes[:, :, 200 * number : 200 * number + 48] = 1
    profile |= {"count": 1, "width": codes.shape[2], "transform": from_origin(500_000, 4_400_000, 10, 10)}
    with rasterio.open(folder.parent / "labels.tif", "w", **profile) as target:
        target.write(codes)


def write_large(path: Path) -> Path:
    """A scene whose map has overviews, but few pixels to be segmented: the rest is no data."""
    pixels = np.zeros((2, 40, 600), np.uint8)
    pixels[:, :, :40] = 100
    profile = {"count": 2, "height": 40, "width": 600, "dtype": "uint8", "crs": "EPSG:32614", "nodata": 0}
    with rasterio.open(path, "w", **profile, transform=from_origin(500_000, 4_400_000, 10, 10)) as target:
        target.write(pixels)
    return path


def cases(faults: Faults, folder: Path) -> list[Case]:
    """Each command's case; what it needs from the commands before it is made here."""
    write_scenes(folder / "scenes")
    tiles, triplets = folder / "in" / "tiles", folder / "in" / "triplets.parquet"
    model, vectors = folder / "in" / "model", folder / "in" / "vectors"
    cut = ("tile", f"{folder}/scenes", "--size", "8", "--min-valid", "0.5", "--quiet")
    draw = ("sample-triplets", str(tiles), "--count", "300", "--neighborhood", "200", "--quiet")
    train = ("train", str(triplets), "--tiles", str(tiles), "--encoder", "small", "--dim", "8")
    train += ("--epochs", "2", "--batch-size", "64", "--device", "cpu", "--quiet")
    embed = ("embed", str(tiles), "--model", str(model), "--device", "cpu", "--quiet")
    judge = ("probe", str(vectors), "--labels", f"{folder}/labels.tif", "--tiles", str(tiles))
    judge += ("--block", "100", "--n-labels", "20", "--repeats", "1", "--classifier", "logistic")
    judge += ("--baselines", "stats", "--quiet")
    segmenter = folder / "in" / "segmenter"
    weak = (
        "weak-segment",
        str(tiles),
        "--labels",
        f"{folder}/labels.tif",
        "--positive",
        "1",
        "--block",
        "100",
    )
    weak += ("--recipe", "paper", "--supervision", "image", "--epochs", "1")
    weak += ("--device", "cpu", "--precision", "fp32", "--quiet")
    made = ((cut, tiles), (draw, triplets), (train, model), (embed, vectors))
    for argv, out in (*made, ((*weak, "--n-labels", "20"), segmenter)):
        result = faults.run((*argv, "--out", str(out)), folder / "nowhere")
        assert result.code == 0, result.stderr
    maps = ("map", f"{folder}/scenes", "--model", str(segmenter), "--probability")
    maps += ("--device", "cpu", "--precision", "fp32", "--workers", "1", "--quiet")
    large = ("map", str(write_large(folder / "large.tif")), *maps[2:])
    study = (*weak, "--n-labels", "10,20", "--repeats", "2")
    out = folder / "out"
    trainings = ".model.training/last/image-*.json"
    return [
        Case("tile", (*cut, "--workers", "1", "--out", f"{out}/tiles"), out, "tiles/parts/*"),
        Case("sample-triplets", (*draw, "--out", f"{out}/triplets.parquet"), out, "*.parquet"),
        Case("train", (*train, "--out", f"{out}/model"), out, "model"),
        Case("embed", (*embed, "--out", f"{out}/vectors"), out, "vectors/*.parquet"),
        Case("embed-one-file", (*embed, "--out", f"{out}/vectors.parquet"), out, "*.parquet"),
        Case("probe", (*judge, "--out", f"{out}/probe"), out),
        Case("weak-segment", (*study, "--out", f"{out}/model"), out, "model", trainings),
        # A scene's probabilities are there before its map: where the map is, the scene is done.
        Case("map", (*maps, "--out", f"{out}/maps"), out, "maps/s?.tif"),
        Case("map-one-file", (*large, "--out", f"{out}/map.tif"), out, "map.tif"),
    ]
