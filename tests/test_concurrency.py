"""The same output made by several processes at once: it ends as one undisturbed run does."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import forks
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent / "faults"))

from cases import cases
from harness import Case, content, finished, strays

NAMES = ["tile", "sample-triplets", "train", "embed", "embed-one-file", "probe", "weak-segment", "map"]
SHARDED = {"tile": "tiles/parts/*", "embed": "vectors/*.parquet", "map": "maps/*.tif"}
# Waiting would hold a GPU for nothing: of two that train one model, the second is told so.
ONE_AT_A_TIME = {"train", "weak-segment"}


class Forked:
    """What `cases` needs: a runner."""

    def run(self, argv: tuple[str, ...], _prefix: Path) -> forks.Result:
        return forks.run(argv)


@pytest.fixture(scope="module")
def todo(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    folder = tmp_path_factory.mktemp("concurrency")
    return {case.name: case for case in cases(Forked(), folder)}


@pytest.fixture(scope="module")
def undisturbed(todo: dict[str, Case]) -> dict[str, dict[str, bytes]]:
    """The bytes of one run of each."""
    found = {}
    for name in NAMES:
        clear(todo[name])
        done = forks.run(todo[name].argv)
        assert done.code == 0, done.stderr
        found[name] = content(todo[name].folder)
    return found


def clear(case: Case) -> None:
    shutil.rmtree(case.folder, ignore_errors=True)
    case.folder.mkdir(parents=True)


@pytest.mark.parametrize("name", NAMES)
def test_two_at_once(todo: dict[str, Case], undisturbed: dict[str, dict[str, bytes]], name: str) -> None:
    case = todo[name]
    clear(case)
    for done in forks.at_once([case.argv, case.argv]):
        if done.code and name in ONE_AT_A_TIME:
            assert done.code == 73
            assert done.stderr.startswith("error: ") and "another run" in done.stderr
            assert done.stderr.count("\n") == 1
        else:
            assert (done.code, done.stderr) == (0, "")
    assert content(case.folder) == undisturbed[name]
    assert not strays(case.folder)


@pytest.mark.parametrize("name", SHARDED)
@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2), range(1, 9)], ids=["three", "mixed", "eight"])
def test_shards_at_once(
    todo: dict[str, Case], undisturbed: dict[str, dict[str, bytes]], name: str, order: tuple[int, ...]
) -> None:
    """Eight shards of three scenes: five of them have nothing to do, which is no error."""
    case = todo[name]
    clear(case)
    shards = [(*case.argv, "--shard", f"{index}/{len(order)}", "--json") for index in order]
    done = forks.at_once(shards)
    assert [(one.code, one.stderr) for one in done] == [(0, "")] * len(order)
    assert sum(json.loads(one.stdout)["made"] for one in done) == 3
    assert content(case.folder) == undisturbed[name]
    assert not strays(case.folder)


@pytest.mark.parametrize(("first", "step"), [(0, 1), (1, 1), (7, 1), (7, 4)])
def test_a_slurm_array_misses_and_doubles_no_scene(
    todo: dict[str, Case], undisturbed: dict[str, dict[str, bytes]], first: int, step: int
) -> None:
    case = todo["tile"]
    clear(case)
    array = {"MIN": first, "MAX": first + step, "STEP": step, "COUNT": 2}
    tasks = [
        {f"SLURM_ARRAY_TASK_{key}": str(value) for key, value in {**array, "ID": number}.items()}
        for number in (first, first + step)
    ]
    done = forks.at_once([(*case.argv, "--shard", "slurm", "--json")] * 2, tasks)
    assert sorted(json.loads(one.stdout)["made"] for one in done) == [1, 2]
    assert content(case.folder) == undisturbed["tile"]


@pytest.fixture
def earlier_scene(todo: dict[str, Case]) -> Iterator[Path]:
    """A scene that sorts before the others, and so changes every scene's turn."""
    scenes = Path(todo["tile"].argv[1])
    added = shutil.copy(scenes / "s1.tif", scenes / "a.tif")
    yield added
    added.unlink()


@pytest.mark.parametrize("name", ["tile", "map"])
def test_a_new_scene_moves_no_other_scenes_part(
    todo: dict[str, Case], undisturbed: dict[str, dict[str, bytes]], name: str, earlier_scene: Path
) -> None:
    case = todo[name]
    clear(case)
    hidden = earlier_scene.rename(earlier_scene.with_suffix(".later"))
    assert forks.run(case.argv).code == 0
    before = finished(case.folder, SHARDED[name])
    hidden.rename(earlier_scene)
    done = forks.at_once([(*case.argv, "--shard", f"{index}/2", "--json") for index in (1, 2)])
    assert sum(json.loads(one.stdout)["made"] for one in done) == 1
    after = finished(case.folder, SHARDED[name])
    assert after.items() >= before.items() and len(after) > len(before)
    assert content(case.folder).items() >= undisturbed[name].items()


@pytest.mark.parametrize("name", NAMES)
def test_a_reader_that_leaves_costs_nothing(
    todo: dict[str, Case], undisturbed: dict[str, dict[str, bytes]], name: str
) -> None:
    """As `| head -1` does: like C tools, the command ends by SIGPIPE and says nothing."""
    case = todo[name]
    clear(case)
    done = forks.run(case.argv, CLOSED_STDOUT="1")
    assert (done.code, done.stderr) == (-13, "")
    assert content(case.folder) == undisturbed[name]
