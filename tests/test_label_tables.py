"""Label tables: by tile_id, or by coordinates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import shapely

from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.errors import DataError, UsageError
from tile2vec_cli.labelling import label_kinds
from tile2vec_cli.labelling.votes import UNLABELLED

IDS = np.array(["s/0/0", "s/0/50", "s/50/0", "s/50/50"], dtype=object)
SQUARES = shapely.box([10, 11, 10, 11], [1, 1, 0, 0], [11, 12, 11, 12], [2, 2, 1, 1])


def classes(path: Path, field: str | None = "label", ids: np.ndarray | None = IDS) -> list[str | None]:
    votes, _, _ = label_kinds.votes(LabelSource.of(path), SQUARES, ids, field)
    codes = votes.majority(len(IDS))
    return [None if code == UNLABELLED else votes.classes[code] for code in codes]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
def test_rows_meet_tiles_by_their_id(tmp_path: Path, suffix: str) -> None:
    table = pd.DataFrame(
        {"label": ["b", "a", "x"], "tile_id": ["s/50/0", "s/0/0", "t/0/0"], "note": [1, 2, 3]}
    )
    path = tmp_path / f"labels.{suffix}"
    if suffix == "parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, sep="\t" if suffix == "tsv" else ",", index=False)
    assert classes(path) == ["a", None, "b", None]


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_ids_that_look_like_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "labels.csv", "tile_id,label\n007,a\n7,b\n")
    ids = np.array(["7", "007", "x", "y"], dtype=object)
    assert classes(path, ids=ids) == ["b", "a", None, None]


def test_several_rows_for_a_tile_decide_by_majority(tmp_path: Path) -> None:
    rows = "s/0/0,a\ns/0/0,b\ns/0/0,a\ns/50/0,a\ns/50/0,b\n"
    assert classes(write(tmp_path / "labels.csv", f"tile_id,label\n{rows}")) == ["a", None, None, None]


def test_a_class_may_be_called_none_or_na(tmp_path: Path) -> None:
    path = write(tmp_path / "labels.csv", "\ufefftile_id,label\ns/0/0,None\ns/0/50,NA\ns/50/0,\n")
    assert classes(path) == ["None", "NA", None, None]


def test_numbers_with_gaps_are_still_whole(tmp_path: Path) -> None:
    assert classes(write(tmp_path / "labels.csv", "tile_id,label\ns/0/0,3\ns/0/50,\n"))[0] == "3"


def test_coordinates_instead_of_ids(tmp_path: Path) -> None:
    path = write(tmp_path / "points.csv", "Lon,Lat,label\n10.5,1.5,a\n11.5,0.5,b\n500,0,c\n")
    assert classes(path, field=None) == ["a", None, None, "b"]


@pytest.mark.parametrize(
    ("text", "field", "kind", "message"),
    [
        (
            "tile_id,label\nq,a\n",
            "label",
            DataError,
            "none of its 1 tile_ids .such as q. is one of the tiles",
        ),
        ("tile_id,label\n", "label", DataError, "none of its 0 tile_ids"),
        ("tile_id,a,b\ns/0/0,1,2\n", None, UsageError, "--field is needed; it has a, b"),
        ("tile_id,a,b\ns/0/0,1,2\n", "c", DataError, "has no field 'c'; it has a, b"),
        ("name,a\nx,1\n", "a", DataError, "has the columns name, a; tile_id, or longitude and latitude"),
        ("tile_id,a\ns/0/0,0.5\n", "a", DataError, "holds numbers such as 0.5"),
        ("lon,lat,a\n500,100,x\n", "a", DataError, "lon and lat hold no degrees"),
        ("", "a", DataError, "cannot be read as a table"),
    ],
)
def test_unusable_tables(
    tmp_path: Path, text: str, field: str | None, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        classes(write(tmp_path / "labels.csv", text), field=field)


def test_rows_that_label_nothing_are_counted(tmp_path: Path) -> None:
    source = LabelSource.of(write(tmp_path / "labels.csv", "tile_id;label\ns/0/0;a\nt/0/0;a\ns/0/50;\n"))
    votes, _, _ = label_kinds.votes(source, SQUARES, IDS, "label")
    assert votes.left_out == {"rows without a class": 1, "rows of other tiles": 1}
    rows = "X,long,lat,label\n1,10.5,1.5,a\n2,12.5,1,a\n3,11.5,0.5,\n4,,1,b\n"
    source = LabelSource.of(write(tmp_path / "points.csv", rows))
    votes, kind, _ = label_kinds.votes(source, SQUARES, IDS, "label")
    assert (kind, votes.total(4).tolist()) == ("points", [1, 0, 0, 0])
    assert votes.left_out == {
        "rows without a usable geometry": 1,
        "rows without a class": 1,
        "points in no tile": 1,
    }
    with pytest.raises(DataError, match="is a table, which has no layers"):
        label_kinds.votes(replace(source, layer="a"), SQUARES, IDS, "label")


def test_embeddings_without_ids_cannot_use_a_table(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="names tiles by tile_id, which the embeddings lack"):
        classes(write(tmp_path / "labels.csv", "tile_id,label\na,b\n"), ids=None)


def test_a_damaged_parquet_file(tmp_path: Path) -> None:
    (tmp_path / "labels.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match="cannot be read as a table"):
        classes(tmp_path / "labels.parquet")
