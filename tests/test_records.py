"""Outputs known by a record beside them, when what they were made from lies elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tile2vec_cli.errors import DataError
from tile2vec_cli.outputs import records


def current(project: Path, labels: Path) -> records.Keys | None:
    output = records.output(project / "out.csv", "probe", {"seed": 0}, {"labels": labels})
    return records.current(output, overwrite=False)


def write(path: Path) -> None:
    path.write_text("1")


def test_an_input_that_holds_the_same_is_the_same_wherever_it_lies(tmp_path: Path) -> None:
    project, store = tmp_path / "project", tmp_path / "store"
    for folder in (project, store):
        folder.mkdir()
    (store / "labels.csv").write_text("a")
    (project / "labels.csv").symlink_to(store / "labels.csv")
    output = records.output(project / "out.csv", "probe", {"seed": 0}, {"labels": project / "labels.csv"})
    records.write(output, {output.path: write}, {"score": 1}, overwrite=False)
    moved = tmp_path / "deep" / "er" / "project"  # from where the link's target lies elsewhere
    moved.parent.mkdir(parents=True)
    project.rename(moved)
    (tmp_path / "link").symlink_to(moved)
    for place in (moved, tmp_path / "link"):
        assert current(place, place / "labels.csv") == current(place, store / "labels.csv") == {"score": 1}
    (moved / "other").mkdir()
    other = moved / "other" / "labels.csv"
    other.write_text("b")
    with pytest.raises(DataError, match="made with labels"):
        current(moved, other)
