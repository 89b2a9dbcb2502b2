"""May an output stay? Every case of the rule, against a table written by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tile2vec_cli.errors import DataError
from tile2vec_cli.outputs.records import Folder
from tile2vec_cli.outputs.stamps import Stamp, Verdict

KEEP, MAKE, REFUSE = Verdict.KEEP, Verdict.MAKE, Verdict.REFUSE
MADE = Stamp({"seed": 0, "dim": 2}, {"labels": "a.csv"}, {"labels": "f1", "fit": "x"})


def changed(**fields: Any) -> Stamp:
    return replace(MADE, **fields)


@pytest.mark.parametrize(
    ("now", "verdict", "said"),
    [
        (MADE, KEEP, ""),
        (changed(settings={"seed": 0, "dim": 2, "layer": None}), KEEP, ""),
        (changed(inputs={"labels": "b.csv"}), KEEP, ""),
        (changed(contents={"labels": "f2", "fit": "x"}), MAKE, ""),
        (changed(contents={"labels": "f1", "fit": "y"}), MAKE, ""),
        (changed(contents={"labels": "f1"}), MAKE, ""),
        (changed(settings={"seed": 1, "dim": 2}), REFUSE, "out: made with seed = 0; this run has 1."),
        (changed(settings={"seed": 0}), REFUSE, "out: made with dim = 2; this run has None."),
        (changed(settings={"seed": 0, "dim": 2, "layer": "b"}), REFUSE, "layer = None; this run has 'b'."),
        (
            changed(inputs={"labels": "b.csv"}, contents={"labels": "f2", "fit": "x"}),
            REFUSE,
            "labels = 'a.csv'; this run has 'b.csv'. Choose another output, or --overwrite to replace it.",
        ),
        (
            changed(inputs={"labels": "b.csv"}, contents={"labels": "f2", "fit": "x"}, by_content=True),
            REFUSE,
            "labels = 'f1'; this run has 'f2'.",
        ),
        (changed(inputs={}, contents={"fit": "x"}), REFUSE, "labels = 'a.csv'; this run has None."),
    ],
)
def test_the_rule(now: Stamp, verdict: Verdict, said: str) -> None:
    assert now.verdict(MADE) is verdict
    assert now.verdict(MADE, overwrite=True) is (MAKE if verdict is REFUSE else verdict)
    assert now.verdict(None) is MAKE
    assert now.stays(Path("out"), MADE, overwrite=True) is (verdict is KEEP)
    if verdict is REFUSE:
        with pytest.raises(DataError) as caught:
            now.stays(Path("out"), MADE)
        assert said in str(caught.value)
    else:
        assert now.stays(Path("out"), MADE) is (verdict is KEEP)


def test_what_only_a_server_has_is_told_by_its_place() -> None:
    there = Stamp({}, {"labels": "https://a/b.tif"}, {"labels": None})
    assert there.verdict(there) is KEEP
    assert replace(there, inputs={"labels": "https://a/c.tif"}).verdict(there) is REFUSE


def test_a_folder_knows_its_own_files(tmp_path: Path) -> None:
    files = tuple(tmp_path / "out" / name for name in ("a.txt", "b.txt"))
    report = tmp_path / "out" / "report.json"
    folder = Folder(report, "x/1", {"settings": {"seed": 0}, "content": {}}, files)

    def whole(path: Path) -> None:
        path.write_text("whole")

    def full(_: Path) -> None:
        raise OSError(28, "No space left on device")

    folder.write(dict.fromkeys(files, whole), {"score": 1})
    assert folder.current(files, overwrite=False) == {"score": 1}
    assert folder.current(files, overwrite=True) is None
    assert list(json.loads(folder.report.read_text())) == ["format", "score", "made_from", "files"]
    with pytest.raises(Exception, match="No space left"):
        folder.write({files[0]: whole, files[1]: full}, {"score": 2})
    assert folder.current(files, overwrite=False) == {"score": 1}
    files[1].unlink()  # as a run leaves it that is killed after the report
    assert folder.current(files, overwrite=False) is None
    folder.write(dict.fromkeys(files, whole), {"score": 3})
    folder.write({files[0]: whole}, {"score": 4})
    assert [path.exists() for path in files] == [True, False]
    files[1].write_text("mine")
    with pytest.raises(DataError, match=r"b\.txt: exists and is not what `x` wrote.*--overwrite"):
        folder.current(files[:1], overwrite=False)
    folder.write({files[0]: whole}, {"score": 5})
    assert files[1].read_text() == "mine"
