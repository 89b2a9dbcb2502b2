"""What the output of `tile2vec embed` already holds, and what of it still counts.

An output is one file, or a folder with one file per part and a manifest. What decides it is its
header: the model's fingerprint and architecture, and the settings. A folder's manifest also says where
the model lies, which tells one that was trained anew from another one. Files of vectors do not: the
same tiles, model and settings make the same bytes wherever they lie.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tile2vec_cli.embedding import embedding_files
from tile2vec_cli.embedding.embedding_files import Vectors
from tile2vec_cli.errors import DataError, OutputError, Tile2VecError
from tile2vec_cli.geo import geoparquet
from tile2vec_cli.geo.scene_names import part_name
from tile2vec_cli.outputs import parts
from tile2vec_cli.outputs.provenance import relative
from tile2vec_cli.outputs.stamps import Stamp, refusal
from tile2vec_cli.tiling.planning import whole_name
from tile2vec_cli.tiling.tile_files import Part, is_dated
from tile2vec_cli.tiling.tiles import TileSet

MANIFEST = "manifest.json"

Header = dict[str, Any]


@dataclass(frozen=True)
class Files:
    """How vectors become files: what every file of a run says of itself."""

    header: dict[str, Any]  # model, architecture, settings
    layout: dict[str, Any]  # of the tiles, as the footer has it

    @classmethod
    def of(cls, tiles: TileSet, header: dict[str, Any]) -> Files:
        size, stride = (tiles.settings[key] for key in ("size", "stride"))
        layout = {"layout_type": "regular_grid", "chip_size": [size, size], "stride": [stride, stride]}
        return cls(header, layout)

    @property
    def dtype(self) -> str:
        return str(self.header["settings"]["dtype"])

    def rows(self, part: Part, vectors: Vectors, scale: float | None, dated: bool | None = None) -> pa.Table:
        """dated: whether the file has a column `datetime`; default: where a tile of the part has a date.

        Raises DataError for numbers that float16 does not reach.
        """
        most = largest(vectors)
        if self.dtype == "float16" and most > float(np.finfo(np.float16).max):
            raise DataError(
                f"{part.path}: its vectors reach {most:g}; float16 ends at 65504. Choose float32."
            )
        index = part.index()
        if not (is_dated(index) if dated is None else dated):
            index = index.drop_columns("datetime")
        return embedding_files.rows(index, vectors, self.dtype, scale)

    def footer(self, made_of: Sequence[Part], scale: float | None) -> dict[str, str]:
        return embedding_files.footer({**self.header, "parts": names(made_of)}, self.layout, scale)

    def scale(self, most: float) -> float | None:
        return embedding_files.int8_scale(most) if self.dtype == "int8" else None

    def write(self, out: Path, part: Part, vectors: Vectors) -> None:
        """The part's file in the folder `out`."""
        scale = self.scale(largest(vectors))
        with parts.new_file(file(out, part)) as temporary:
            rows = self.rows(part, vectors, scale)
            geoparquet.write(temporary, rows, self.footer([part], scale))


def largest(vectors: Vectors) -> float:
    return float(np.abs(vectors).max())


def file(out: Path, part: Part) -> Path:
    return out / f"{part.name}.parquet"


def names(made_of: Sequence[Part]) -> list[dict[str, str]]:
    return [{"name": part.name, "fingerprint": part.fingerprint} for part in made_of]


def _header_of(path: Path) -> Header:
    """{} where the file is damaged or none of ours."""
    try:
        return embedding_files.header(geoparquet.read_metadata(path), path)
    except DataError:
        return {}


def _stamp(said: Header, names: Iterable[str], place: str | None) -> Stamp:
    """What a header says under these names; place: where the model lies."""
    contents = {name: said.get(name) for name in names if name != "settings"}
    return Stamp(said.get("settings", {}), {"model": place}, contents, by_content=True)


def _stays(path: Path, found: Header, header: Header, overwrite: bool) -> bool:
    """Whether a file of vectors is of this header; another model is refused: where its own lay is unsaid."""
    was, now = (_stamp(said, header, said.get("model")) for said in (found, header))
    return now.stays(path, was, overwrite)


def is_made(out: Path, part: Part, header: Header, overwrite: bool) -> bool:
    """Whether a folder holds the part's file, made of these very tiles with this header.

    Raises DataError where another file has its name, unless that is to be overwritten.
    """
    path = file(out, part)
    if not path.exists():
        return False
    found = _header_of(path)
    if not (overwrite or _is_of_one_part(found)) and _is_whole(path):
        raise _foreign(path)
    return _stays(path, found, {**header, "parts": names([part])}, overwrite=True)


def is_current(out: Path, present: Sequence[Part], header: Header, overwrite: bool) -> bool:
    """Whether the one file is there and made of these very parts with this header.

    Raises DataError where its header is another, unless it is to be overwritten then.
    """
    if out.is_dir():
        raise OutputError(f"{out}: is a folder; a file is written here. Give --out another name.")
    if not out.exists():
        return False
    found = _header_of(out)
    if not (found or overwrite):
        raise _foreign(out)
    return _stays(out, found, {**header, "parts": names(present)}, overwrite)


def _is_of_one_part(found: Header) -> bool:
    return len(found.get("parts", ())) == 1


def _is_whole(path: Path) -> bool:
    """Whether it is a Parquet file: what is damaged is made again."""
    try:
        geoparquet.read_metadata(path)
    except DataError:
        return False
    return True


def _foreign(path: Path) -> DataError:
    return refusal(f"{path}: exists and is not what `embed` writes there; nothing else is replaced.")


def open_folder(out: Path, header: Header, model_path: Path, overwrite: bool) -> None:
    """Write the folder's manifest, or find the same one there; sweep what killed runs have left."""
    place = relative(str(model_path), out)
    parts.sweep(parts.make_folder(out))
    path = out / MANIFEST
    if path.exists():
        found = parts.read_json(path, embedding_files.FORMAT, {"settings": dict})
        was = _stamp(found, header, found.get("model_path"))
        if _stamp(header, header, place).stays(out, was, overwrite):
            return
    parts.write_json(path, {"format": embedding_files.FORMAT, **header, "model_path": place})


@dataclass(frozen=True)
class Others:
    """How many files in a folder are of no part of the tile set."""

    kept: int  # of another one, of scenes taken away, or somebody's own
    removed: int


def sweep(out: Path, tiles: TileSet) -> Others:
    """Remove the files of scenes that were cut anew into other parts: their tiles are in other files."""
    own = {*(part.name for part in tiles.parts), *(failure.name for failure in tiles.failed)}
    others = [path for path in out.glob("[!.]*.parquet") if path.stem not in own]
    scenes = {part_name(scene): scene for scene in tiles.scenes}
    stale = [path for path in others if _is_part_of(path, scenes.get(whole_name(path.stem)))]
    for path in stale:
        parts.remove(path)
    return Others(len(others) - len(stale), len(stale))


def _is_part_of(path: Path, scene: str | None) -> bool:
    """Whether `embed` wrote it for one part, and that of this scene."""
    if scene is None:
        return False
    try:
        table, _ = geoparquet.read(path, ["scene"])
    except Tile2VecError:
        return False
    return len(table) > 0 and table["scene"][0].as_py() == scene and _is_of_one_part(_header_of(path))
