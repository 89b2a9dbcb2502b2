"""The picture of the cropland tutorial: a scene, the pixels that were labelled, the map, the truth.

    python benchmarks/weak_picture.py DEMO [--scene cedar_2021-05-18]

DEMO is the folder of `tile2vec demo`. Writes docs/pictures/sample_cropland.png.
"""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib
import numpy as np
import rasterio
from command import argument_parser
from matplotlib.colors import ListedColormap
from rasterio.warp import Resampling, reproject

from tile2vec_cli.api.demonstration import SAMPLE
from tile2vec_cli.config.weak import WeakConfig
from tile2vec_cli.figures import figure_file
from tile2vec_cli.segmentation import weak_draws, weak_labels
from tile2vec_cli.segmentation.weak_draws import Task
from tile2vec_cli.segmentation.weak_labels import UNKNOWN
from tile2vec_cli.tiling.tiles import TileSet

ROOT = Path(__file__).resolve().parents[1]
COLOURS = ListedColormap(["#deded6", "#0072b2"])
EDGES = ("#ffffff", "#0072b2")


def labelled(demo: Path, scene: str) -> list[tuple[int, int, int]]:
    """Row, column and state of the pixels of a scene that taught the demo's model."""
    report = json.loads((demo / "cropland" / "report.json").read_text())
    tiles = TileSet.open(demo / "tiles")
    names = WeakConfig.__dataclass_fields__.keys() & report["made_from"]["settings"].keys()
    settings = {name: report["made_from"]["settings"][name] for name in names - {"evaluate"}}
    fixed = {name: tuple(settings[name]) for name in ("supervision", "n_labels")}
    config = WeakConfig(**{**settings, **fixed})
    labels = weak_labels.read(str(SAMPLE / "labels.tif"), tiles, config)
    task = Task(tiles, labels, labels.pixels, config)
    drawn = weak_draws.sides(task, "pixel", 0)
    told = weak_draws.told(task, drawn, "pixel", config.n_labels[0], 0)
    index = tiles.table()
    found = []
    for tile, states in zip(told.ids, told.states, strict=True):
        if Path(index["scene"][int(tile)].as_py()).stem == scene:
            row, col = np.argwhere(states != UNKNOWN)[0]
            place = index["row"][int(tile)].as_py() + row, index["col"][int(tile)].as_py() + col
            found.append((*map(int, place), int(states[row, col])))
    return found


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("demo", type=Path)
    parser.add_argument("--scene", default="cedar_2021-05-18")
    options = parser.parse_args()
    with rasterio.open(SAMPLE / "scenes" / f"{options.scene}.tif") as source:
        image, grid = source.read((4, 1, 2)), (source.transform, source.crs)
    with rasterio.open(options.demo / "maps" / f"{options.scene}.tif") as source:
        mapped = source.read(1)
    truth = np.zeros(mapped.shape, np.uint8)
    with rasterio.open(SAMPLE / "labels.tif") as source:
        reproject(
            rasterio.band(source, 1),
            truth,
            dst_transform=grid[0],
            dst_crs=grid[1],
            resampling=Resampling.nearest,
        )
    low, high = np.percentile(image, (1, 99), axis=(1, 2))[:, :, None, None]
    shown = np.moveaxis(np.clip((image - low) / (high - low), 0, 1), 0, -1)
    crops = np.isin(truth, [*range(1, 61), *range(66, 78)])
    picture = ROOT / "docs" / "pictures" / "sample_cropland.png"
    with figure_file(picture, width=7.2, height=2.1) as figure:
        matplotlib.rcParams["savefig.dpi"] = 150  # the noise of the scene does not compress
        axes = figure.subplots(1, 4)
        for axis, title in zip(axes, ("image", "labelled pixels", "map", "truth"), strict=True):
            axis.set_title(title)
            axis.set_axis_off()
        axes[0].imshow(shown)
        axes[1].imshow(shown.mean(axis=2), cmap="gray", alpha=0.45, vmin=0, vmax=1)
        for row, col, state in labelled(options.demo, options.scene):
            axes[1].plot(col, row, "o", ms=4.5, mfc=EDGES[state], mec="black", mew=0.6)
        axes[2].imshow(mapped, cmap=COLOURS, vmin=0, vmax=1, interpolation="nearest")
        axes[3].imshow(crops, cmap=COLOURS, vmin=0, vmax=1, interpolation="nearest")


if __name__ == "__main__":
    main()
