"""What a file of embeddings of ours holds (`tile2vec-embeddings/1`): its rows and its footer.

The footer says under `tile2vec` which model made the vectors of which parts with which settings,
and under `emb` the fields of the STAC embeddings extension. int8 vectors are round(vector / scale),
with one scale a file: distances between the int8 vectors of a file are those between the vectors
up to that factor.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from tile2vec_cli.geo import outlines
from tile2vec_cli.geo.grid import Floats, Ints
from tile2vec_cli.outputs.parts import is_version_of, require_format

FORMAT = "tile2vec-embeddings/1"
KEY = "tile2vec"  # of the footer
PART_SIZES = "vector_parts"  # what it calls the parts of a vector; its `parts` are those of the tile set
COLUMNS = ("tile_id", "scene", "row", "col", "datetime", "valid_share")

Vectors = NDArray[np.float32]

_INT8_MAX = 127
_HILBERT_LEVEL = 16  # cells a side: 2 ** 16


def int8_scale(largest: float) -> float:
    """The scale for vectors whose largest absolute value is this."""
    return largest / _INT8_MAX if largest > 0 else 1.0


def rows(index: pa.Table, vectors: Vectors, dtype: str, scale: float | None) -> pa.Table:
    """The rows of a file of embeddings, along a Hilbert curve.

    index: a part's, as in `tiles.Part.index`, with or without dates; vectors: (N, D), in its order;
    scale: for int8.
    """
    flat = pa.array(_stored(vectors, dtype, scale).ravel())
    column = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    own = [name for name in COLUMNS if name in index.column_names]
    table = index.select(own).append_column("embedding", column)
    for name in ("geometry", "bbox"):
        table = table.append_column(index.schema.field(name), index[name])
    centres = outlines.centres(shapely.from_wkb(index["geometry"].to_numpy()))
    return table.take(pa.array(hilbert_order(centres))).combine_chunks()


def _stored(vectors: Vectors, dtype: str, scale: float | None) -> NDArray[Any]:
    if scale is not None:
        vectors = np.clip(np.rint(vectors / np.float32(scale)), -_INT8_MAX, _INT8_MAX)
    return np.asarray(vectors.astype(dtype))


def hilbert_order(lonlat: Floats) -> Ints:
    """(N,) row numbers of (N, 2) places in the order of a Hilbert curve over their own bounds."""
    lon, lat = lonlat.T
    if len(lon) and np.ptp(lon) > 180:
        lon = lon % 360
    cells = []
    for values in (lon, lat):
        low, extent = values.min(initial=np.inf), np.ptp(values) if len(values) else 0
        share = (values - low) / extent if extent > 0 else np.zeros(len(values))
        cells.append((share * (2**_HILBERT_LEVEL - 1)).astype(np.int64))
    x, y = cells
    along = np.zeros(len(x), dtype=np.int64)
    for level in reversed(range(_HILBERT_LEVEL)):
        east, north = x >> level & 1, y >> level & 1
        along = along << 2 | (3 * east) ^ north
        # Turn the quadrant so that its curve begins where that of the one before ended.
        flip = (2 ** (level + 1) - 1) * (east & (1 - north))
        x, y = x ^ flip, y ^ flip
        x, y = np.where(north, x, y), np.where(north, y, x)
    return np.argsort(along, kind="stable")


def footer(header: Mapping[str, Any], chip_layout: Mapping[str, Any], scale: float | None) -> dict[str, str]:
    """The footer's metadata. header: what `inference.py` says of the model, the settings, and the parts."""
    dtype, model = header["settings"]["dtype"], header["architecture"]
    quantization: dict[str, Any] = {"method": "none", "original_dtype": "float32"}
    if dtype != "float32":
        quantization |= {"method": "cast" if scale is None else "linear", "quantized_dtype": dtype}
    if scale is not None:
        quantization |= {"scale": [scale], "offset": [0]}
    emb = {
        "type": "chip",
        "dimensions": sum(header[PART_SIZES].values()) if PART_SIZES in header else model["dim"],
        "data_type": dtype,
        "chip_layout": dict(chip_layout),
        "quantization": quantization,
        "model": {"name": f"tile2vec {model['encoder']}", "fingerprint": header["model"]},
    }
    own = {"format": FORMAT, **header, "scale": scale}
    return {KEY: json.dumps(own, allow_nan=False), "emb": json.dumps(emb, allow_nan=False)}


def header(metadata: Mapping[str, str], path: Path) -> dict[str, Any]:
    """What a footer says under `tile2vec`; {} where tile2vec did not write the file.

    Raises DataError for a file of ours in another version: read as other people's, it would lose its scale.
    """
    try:
        found = json.loads(metadata.get(KEY, "{}"))
    except ValueError:
        return {}
    if not isinstance(found, dict) or not is_version_of(found.get("format"), FORMAT):
        return {}
    require_format(path, found["format"], FORMAT)
    return found


def parts(metadata: Mapping[str, Any], dim: int) -> dict[str, slice]:
    """Where the parts of vectors of so many numbers stand, by what the file says; {} where it names none."""
    sizes = metadata.get(PART_SIZES)
    if not isinstance(sizes, dict) or not all(isinstance(size, int) and size > 0 for size in sizes.values()):
        return {}
    return slices(sizes) if sum(sizes.values()) == dim else {}


def slices(sizes: Mapping[str, int]) -> dict[str, slice]:
    """Where parts of these sizes, one after the other, stand in a vector."""
    ends = [*accumulate(sizes.values(), initial=0)]
    return dict(zip(sizes, map(slice, ends, ends[1:]), strict=True))
