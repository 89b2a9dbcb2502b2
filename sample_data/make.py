"""Make the sample landscape: three places on two dates, and a land-cover raster of them.

    python sample_data/make.py

Everything is synthetic and drawn from one seed. The land is made so that colour says little and
texture says much, as in scenes of many places and dates:

- parcels of about 150 m carry one of seven classes, coded as in the USDA Cropland Data Layer;
- a class is a texture of mean 0 and deviation 1 (rows 3 or 7 m apart, tree grids, houses along
  streets, ripples, crowns), so that every class has the same contrast;
- the colour of a spot is drawn from fields that vary over some 40 m and differ from date to date
  (moisture, haze, light) and that know nothing of the classes, on top of a cast for each scene.

A class shifts the colour by a few grey levels, much less than the light does. The mean and
deviation of a tile's bands therefore tell little about its class; what stands in the tile, and in
the tiles around it on both dates, tells much.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin
from scipy.ndimage import gaussian_filter

HERE = Path(__file__).resolve().parent
SEED = 20200214
SIDE = 600  # pixels of 1 m a side of a scene
PARCELS = 4  # a side of a scene
CELL = 10  # metres a side of a cell of the label raster
EAST, NORTH, APART = 601_200.0, 4_402_800.0, 1_500  # upper left corner of the first place, EPSG:32614
PLACES = ("ashland", "birch", "cedar")
DATES = ("2021-05-18", "2021-08-27")

# code: (name, colour in pictures), both as in the Cropland Data Layer
CLASSES = {
    1: ("Corn", (255, 211, 0)),
    5: ("Soybeans", (38, 112, 0)),
    74: ("Pecans", (181, 112, 92)),
    111: ("Open Water", (75, 112, 163)),
    122: ("Developed/Low Intensity", (155, 155, 155)),
    141: ("Deciduous Forest", (147, 204, 147)),
    176: ("Grassland/Pasture", (232, 255, 191)),
}

# What little colour tells: grey levels added in red, green, blue, near-infrared.
CASTS = {
    1: (1, 3, -2, 6),
    5: (-1, 4, -2, 8),
    74: (2, 0, 0, 2),
    111: (-7, -3, 4, -18),
    122: (7, 4, 5, -7),
    141: (-5, 0, -3, 6),
    176: (4, 5, -3, 0),
}

# What grows in the 4 x 4 parcels of each place, north at the top: like lies beside like.
LAND = {
    "ashland": [[1, 1, 5, 5], [1, 1, 5, 141], [176, 176, 141, 141], [74, 74, 111, 111]],
    "birch": [[122, 122, 74, 74], [122, 176, 74, 1], [111, 176, 5, 1], [111, 141, 5, 5]],
    "cedar": [[141, 141, 111, 111], [176, 141, 5, 111], [176, 122, 122, 1], [74, 74, 122, 1]],
}

Field = NDArray[np.float64]


def standardised(field: Field) -> Field:
    return (field - field.mean()) / field.std()


def smooth_noise(rng: np.random.Generator, sigma: float) -> Field:
    """(SIDE, SIDE) Gaussian noise of deviation 1 that varies over about 2 sigma pixels."""
    return standardised(gaussian_filter(rng.standard_normal((SIDE, SIDE)), sigma, mode="wrap"))


def turned(angle: float) -> tuple[Field, Field]:
    """Row and column of every pixel in axes turned by `angle`."""
    row, col = np.mgrid[0:SIDE, 0:SIDE].astype(np.float64)
    return row * np.cos(angle) + col * np.sin(angle), col * np.cos(angle) - row * np.sin(angle)


def rows(spacing: float, place: np.random.Generator, day: np.random.Generator) -> Field:
    across, along = turned(place.uniform(0, np.pi))
    wobble = 0.5 * smooth_noise(day, 12)
    wave = np.sin(2 * np.pi * across / spacing + wobble)
    gaps = 1 + 0.35 * np.sin(along / 9 + 3 * smooth_noise(day, 15))
    return wave * gaps + 0.45 * smooth_noise(day, 0.7)


def grid_of_trees(place: np.random.Generator, day: np.random.Generator) -> Field:
    spacing = place.uniform(9, 11)
    across, along = turned(place.uniform(0, np.pi))
    crowns = np.cos(2 * np.pi * across / spacing) + np.cos(2 * np.pi * along / spacing)
    return np.maximum(crowns, -0.3) * (1 + 0.15 * smooth_noise(day, 6)) + 0.25 * smooth_noise(day, 0.7)


def houses(place: np.random.Generator, day: np.random.Generator) -> Field:
    across, along = turned(place.uniform(0, np.pi))
    street = (across % 44 < 7) | (along % 88 < 7)
    lot_row, lot_col = (across % 44 - 7) % 18.5, along % 16
    number = (np.floor(across / 18.5) * 7919 + np.floor(along / 16)).astype(np.int64)
    roof = (lot_row > 4) & (lot_row < 14) & (lot_col > 3) & (lot_col < 13) & ~street
    light = np.where(lot_row < 9, 1.0, 0.2) * (1 + 0.3 * np.sin(number))
    return 1.6 * roof * light + 0.9 * street + 0.3 * smooth_noise(day, 2) + 0.15 * smooth_noise(day, 0.7)


def ripples(place: np.random.Generator, day: np.random.Generator) -> Field:
    across, _ = turned(day.uniform(0, np.pi))
    bend = 2.5 * smooth_noise(day, 20)
    return np.sin(2 * np.pi * across / 22 + bend) + 0.6 * smooth_noise(day, 6)


def crowns(place: np.random.Generator, day: np.random.Generator) -> Field:
    trees = smooth_noise(place, 2.6)
    lit = np.roll(trees, 1, 0) - np.roll(trees, -1, 1)  # the sun stands in the north-west or so
    return standardised(np.maximum(trees, -0.5)) + 1.2 * lit + 0.25 * smooth_noise(day, 0.7)


def pasture(place: np.random.Generator, day: np.random.Generator) -> Field:
    return 0.6 * smooth_noise(day, 1.0) + 0.5 * smooth_noise(place, 9) + 0.4 * smooth_noise(day, 4)


def texture(code: int, place: np.random.Generator, day: np.random.Generator) -> Field:
    """(SIDE, SIDE) of mean 0 and deviation 1: `place` draws what stays, `day` what changes."""
    if code in (1, 5):
        return standardised(rows({1: 7.0, 5: 3.2}[code], place, day))
    draw = {74: grid_of_trees, 111: ripples, 122: houses, 141: crowns, 176: pasture}[code]
    return standardised(draw(place, day))


def parcels(rng: np.random.Generator) -> NDArray[np.int64]:
    """(SIDE, SIDE) number of the parcel at each pixel: a grid with bent edges."""
    row, col = np.mgrid[0:SIDE, 0:SIDE]
    bent_row = row + 7 * smooth_noise(rng, 40)
    bent_col = col + 7 * smooth_noise(rng, 40)
    cell_row, cell_col = (np.clip(bent * PARCELS // SIDE, 0, PARCELS - 1) for bent in (bent_row, bent_col))
    return (cell_row * PARCELS + cell_col).astype(np.int64)


def scene(name: str, date: str, parcel: NDArray[np.int64], seed: int) -> NDArray[np.uint8]:
    """(4, SIDE, SIDE) red, green, blue, near-infrared."""
    day = np.random.default_rng([seed, DATES.index(date)])
    detail = np.zeros((SIDE, SIDE))
    for number, code in enumerate(np.ravel(LAND[name])):
        inside = parcel == number
        place = np.random.default_rng([seed, 100 + number])  # the same on every date
        pattern = texture(int(code), place, day)
        spread = pattern[inside].std()
        # Bright rows on dark soil on one day, dark rows on bright stubble on another.
        sign = day.choice((-1.0, 1.0))
        detail[inside] = sign * (pattern[inside] - pattern[inside].mean()) / spread
    contrast = 11 * np.exp(0.35 * smooth_noise(day, 18))
    light = 14 * smooth_noise(day, 18)
    cast = day.uniform((75, 80, 65, 95), (125, 125, 105, 150))
    gains = day.uniform(0.75, 1.25, 4)
    bands = []
    own = np.array([CASTS[int(code)] for code in np.ravel(LAND[name])])[parcel]  # (SIDE, SIDE, 4)
    for band, (level, gain) in enumerate(zip(cast, gains, strict=True)):
        tint = own[..., band] + 6 * smooth_noise(day, 18)
        grain = 1.5 * day.standard_normal((SIDE, SIDE))
        values = level + light + tint + gain * contrast * detail + grain
        # Steps of 4 grey levels: half the bytes, and no less to see.
        bands.append(np.clip(4 * np.round(values / 4), 1, 255))
    return np.stack(bands).astype(np.uint8)


def write_scene(path: Path, pixels: NDArray[np.uint8], west: float, date: str) -> None:
    profile = {
        "driver": "GTiff",
        "dtype": "uint8",
        "count": 4,
        "width": SIDE,
        "height": SIDE,
        "crs": "EPSG:32614",
        "transform": from_origin(west, NORTH, 1, 1),
        "nodata": 0,
        "tiled": True,
        "interleave": "band",
        "compress": "deflate",
        "zlevel": 9,
        "predictor": 1,
        "photometric": "RGB",
        "alpha": "unspecified",
    }
    with rasterio.open(path, "w", **profile) as target:
        target.write(pixels)
        target.update_tags(TIFFTAG_DATETIME=date.replace("-", ":") + " 17:30:00")
        for band, name in enumerate(("red", "green", "blue", "near-infrared"), start=1):
            target.set_band_description(band, name)


def write_labels(path: Path, codes: NDArray[np.uint8]) -> None:
    profile = {
        "driver": "GTiff",
        "dtype": "uint8",
        "count": 1,
        "width": codes.shape[1],
        "height": codes.shape[0],
        "crs": "EPSG:32614",
        "transform": from_origin(EAST, NORTH, CELL, CELL),
        "nodata": 0,
        "compress": "deflate",
    }
    colours = {code: (*colour, 255) for code, (_, colour) in CLASSES.items()}
    with rasterio.open(path, "w", **profile) as target:
        target.write(codes, 1)
        target.write_colormap(1, {0: (0, 0, 0, 255), **colours})


def coarse(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The code in the middle of each cell."""
    return codes[CELL // 2 :: CELL, CELL // 2 :: CELL]


def draw_preview(
    path: Path, scenes: dict[str, list[NDArray[np.uint8]]], codes: list[NDArray[np.uint8]]
) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.patches import Patch

    figure, axes = plt.subplots(2, 5, figsize=(11, 5.3), layout="constrained")
    part = slice(0, 400)
    for row, name in enumerate(PLACES[:2]):
        for col, date in enumerate(DATES):
            pixels = scenes[name][col][:3, part, part].transpose(1, 2, 0)
            axes[row, 2 * col].imshow(pixels)
            axes[row, 2 * col].set_title(f"{name}, {date}", fontsize=9)
            near = scenes[name][col][[3, 0, 1], part, part].transpose(1, 2, 0)
            axes[row, 2 * col + 1].imshow(near)
            axes[row, 2 * col + 1].set_title("near-infrared", fontsize=9)
        picture = np.zeros((*codes[row].shape, 3), np.uint8)
        for code, (_, colour) in CLASSES.items():
            picture[codes[row] == code] = colour
        axes[row, 4].imshow(picture[: 400 // CELL, : 400 // CELL], interpolation="nearest")
        axes[row, 4].set_title("labels", fontsize=9)
    for axis in axes.flat:
        axis.set_axis_off()
    patches = [Patch(facecolor=np.array(c) / 255, edgecolor="grey", label=n) for n, c in CLASSES.values()]
    figure.legend(handles=patches, loc="outside lower center", ncols=len(patches), fontsize=8, frameon=False)
    figure.savefig(path, dpi=72, metadata={"Software": None})
    plt.close(figure)


def build() -> tuple[dict[str, list[NDArray[np.uint8]]], list[NDArray[np.uint8]], NDArray[np.uint8]]:
    """Scenes by place, label cells by place, and the raster over all places (0 between them)."""
    step = APART // CELL
    labels = np.zeros((SIDE // CELL, (len(PLACES) - 1) * step + SIDE // CELL), np.uint8)
    scenes, cells = {}, []
    for index, name in enumerate(PLACES):
        seed = SEED + index
        parcel = parcels(np.random.default_rng(seed))
        codes = np.ravel(LAND[name])[parcel].astype(np.uint8)
        scenes[name] = [scene(name, date, parcel, seed) for date in DATES]
        cells.append(coarse(codes))
        labels[:, index * step : index * step + SIDE // CELL] = cells[-1]
    return scenes, cells, labels


def main() -> None:
    scenes, cells, labels = build()
    for index, (name, pixels) in enumerate(scenes.items()):
        for date, values in zip(DATES, pixels, strict=True):
            write_scene(HERE / "scenes" / f"{name}_{date}.tif", values, EAST + index * APART, date)
    write_labels(HERE / "labels.tif", labels)
    draw_preview(HERE / "preview.png", scenes, cells)


if __name__ == "__main__":
    (HERE / "scenes").mkdir(exist_ok=True)
    main()
