"""A picture of maps whose pixels are tiles: each contiguous place a panel, all in one scale."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from tile2vec_cli.embedding.embedding_files import hilbert_order
from tile2vec_cli.figures import figure_file
from tile2vec_cli.geo import places
from tile2vec_cli.geo.grid import Floats, Ints
from tile2vec_cli.views.mosaics import Mosaic
from tile2vec_cli.views.spectra import HIGH, LOW

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH, _HEIGHT = 7.0, 8.5  # inches at most
_TILE = 0.3  # inches a tile is wide at most
_GAP, _TEXT, _FOOT = 0.1, 0.13, 0.34  # inches between panels, of a panel's caption, below all
_NAMED = 0.42  # inches a panel needs to be wide for a caption
_LINK = 2  # tiles of empty ground that do not part a place from the next; more where there are too many
_MOST = 160  # places
_LINE, _SWATCH, _LETTER = 0.14, 0.3, 0.048  # inches: a line of a legend, its colour, a letter
_SIDE = 2400  # pixels of a panel at most: what is printed


@dataclass(frozen=True)
class _Panel:
    """One place, north at the top."""

    image: NDArray[np.uint8]  # (H, W, 4)
    width_m: float
    height_m: float
    lonlat: tuple[float, float]  # its centre


def write(
    path: Path,
    mosaics: Sequence[Mosaic],
    colours: NDArray[np.uint8],
    note: str,
    legend: Sequence[tuple[str, str]] = (),
) -> None:
    """A picture of the maps; colours: (N, 3) of tiles; note: what these are; legend: names and #rrggbb."""
    from matplotlib.patches import Rectangle

    panels = [panel for mosaic in mosaics for panel in _panels(mosaic, colours)]
    centres = np.array([panel.lonlat for panel in panels])
    panels = [panels[number] for number in hilbert_order(centres)]  # neighbours beside one another
    scale = _scale(panels, [min(mosaic.pixel) for mosaic in mosaics])
    corners, width, height = _packed(panels, scale)
    columns = max(1, int(width / (_SWATCH + _LETTER * max([len(name) for name, _ in legend], default=1))))
    bottom_line = height + _FOOT
    total = bottom_line + _LINE * -(-len(legend) // columns)
    with figure_file(path, width=width, height=total) as figure:
        figure.set_layout_engine("none")
        axis = figure.add_axes((0, 0, 1, 1))
        axis.set_axis_off()
        for panel, (left, top) in zip(panels, corners, strict=True):
            right, bottom = left + panel.width_m * scale, top + panel.height_m * scale
            axis.imshow(panel.image, extent=(left, right, bottom, top), aspect="auto")
            if right - left >= _NAMED or len(panels) == 1:
                axis.text(left, bottom + _TEXT / 2, _named(panel.lonlat), fontsize=4, va="center")
        _foot(axis, width, height + _FOOT / 2, scale, note)
        for number, (name, colour) in enumerate(legend):
            row, column = divmod(number, columns)
            left, middle = column * width / columns, bottom_line + (row + 0.3) * _LINE
            axis.add_patch(Rectangle((left, middle - 0.045), 0.14, 0.09, facecolor=colour, linewidth=0))
            axis.text(left + 0.18, middle, name, fontsize=6, va="center")
        axis.set(xlim=(0, width), ylim=(total, 0))  # imshow has moved them


def components_note(shares: Sequence[float]) -> str:
    """What the colours of principal components are; shares: of the variance, of three of them."""
    percent = ", ".join(f"{100 * share:.0f}" for share in shares)
    return f"Principal components 1, 2, 3 as red, green, blue ({percent} % of the variance; {LOW}–{HIGH} %)"


def _named(lonlat: tuple[float, float]) -> str:
    lon, lat = lonlat
    return f"{abs(lat):.2f} {'N' if lat >= 0 else 'S'} {abs(lon):.2f} {'E' if lon >= 0 else 'W'}"


def _foot(axis: Axes, width: float, middle: float, scale: float, note: str) -> None:
    """A bar of a round number of metres, and what the colours are."""
    longest = min(width / 4, 1.5) / scale
    power = 10 ** np.floor(np.log10(longest))
    metres = float(max(step * power for step in (1, 2, 5) if step * power <= longest))
    length = metres * scale
    axis.plot([0, length], [middle, middle], color="black", linewidth=1.2, solid_capstyle="butt")
    name = f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m"
    axis.text(length + 0.05, middle, name, fontsize=6, va="center")
    axis.text(width, middle, note, fontsize=6, va="center", ha="right")


# --- places -----------------------------------------------------------------------------------


def _panels(mosaic: Mosaic, colours: NDArray[np.uint8]) -> Iterator[_Panel]:
    place = _places(mosaic)
    order = np.argsort(place, kind="stable")
    for own in np.split(order, np.flatnonzero(np.diff(place[order])) + 1):
        row, col = mosaic.row[own], mosaic.col[own]
        top, left = int(row.min()), int(col.min())
        height, width = int(row.max()) + 1 - top, int(col.max()) + 1 - left
        coarser = -(-max(height, width) // _SIDE)
        image = np.zeros((-(-height // coarser), -(-width // coarser), 4), np.uint8)
        image[(row - top) // coarser, (col - left) // coarser, :3] = colours[mosaic.tile[own]]
        image[(row - top) // coarser, (col - left) // coarser, 3] = 255
        width_m, height_m, lonlat = _ground(mosaic, top, left, height, width)
        yield _Panel(image, width_m, height_m, lonlat)


def _places(mosaic: Mosaic) -> Ints:
    """(M,) number of the contiguous place of each pixel."""
    link = _LINK
    while True:
        cells, cell = np.unique(
            np.column_stack([mosaic.row, mosaic.col]) // link, axis=0, return_inverse=True
        )
        pairs = cKDTree(cells).query_pairs(1.5, output_type="ndarray")
        graph = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(cells), len(cells)))
        count, place = connected_components(graph, directed=False)
        if count <= _MOST:
            return np.asarray(place[cell.ravel()], dtype=np.int64)
        link *= 2


def _ground(
    mosaic: Mosaic, top: int, left: int, height: int, width: int
) -> tuple[float, float, tuple[float, float]]:
    """Width and height in metres of a window of the map, and its centre in lon/lat."""
    a, _, c, _, e, f = mosaic.transform
    row, col = top + height / 2, left + width / 2
    points: Floats = np.array([(row, col), (row, col + 1), (row + 1, col)])
    xy = np.column_stack([c + a * points[:, 1], f + e * points[:, 0]])
    lonlat = places.to_lonlat(mosaic.crs, xy, mosaic.crs)
    across, down = (float(places.ground_m(lonlat[[0]], lonlat[[k]])[0]) for k in (1, 2))
    return across * width, down * height, (float(lonlat[0, 0]), float(lonlat[0, 1]))


# --- the page ---------------------------------------------------------------------------------


def _scale(panels: Sequence[_Panel], pixels: Sequence[float]) -> float:
    """Inches a metre: the largest at which the panels fit the page and tiles are not too large."""
    tile_m = max(panel.width_m / panel.image.shape[1] for panel in panels)
    low, high = 0.0, _TILE / tile_m
    for _ in range(40):
        middle = (low + high) / 2
        _, width, height = _packed(panels, middle)
        low, high = (middle, high) if width <= _WIDTH and height <= _HEIGHT else (low, middle)
    return low


def _packed(panels: Sequence[_Panel], scale: float) -> tuple[list[tuple[float, float]], float, float]:
    """Upper left corners of the panels in rows, and the width and height of all, in inches."""
    corners: list[tuple[float, float]] = []
    left = top = tallest = widest = 0.0
    for panel in panels:
        width, height = panel.width_m * scale, panel.height_m * scale
        if left and left + width > _WIDTH:
            top, left, tallest = top + tallest + _TEXT + _GAP, 0.0, 0.0
        corners.append((left, top))
        left += width + _GAP
        tallest, widest = max(tallest, height), max(widest, left - _GAP)
    return corners, max(widest, 4.5), top + tallest + _TEXT
