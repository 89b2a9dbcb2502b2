"""A command imports only the libraries that it needs: they take longer than the work on a few tiles."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import searches

BIG = ("torch", "sklearn", "scipy", "matplotlib", "geopandas")

# Each in turn in one process, what has to load less before what may load more.
COMMANDS: tuple[tuple[str, set[str]], ...] = (
    ("tile scenes --out new --size 8", set()),
    ("check new", set()),
    ("stac float32/a.parquet --out catalog", set()),
    ("check float32/a.parquet", set()),
    ("sample-triplets new --count 10 --out t.parquet", {"scipy"}),
    ("similar float32 --to a/0/0 --out s.geojson --raster s.tif", {"scipy"}),
    ("preview float32 --out p.tif", {"scipy"}),
    ("analogy float32 a/0/0 a/0/8 b/0/0", {"scipy"}),
    ("similar float32 --to a/0/0 --tiles tiles --picture s.png", {"scipy", "matplotlib"}),
    ("suggest float32 --count 3 --out s.csv", {"scipy", "matplotlib", "sklearn"}),
)

PROGRAM = f"""
import sys
from tile2vec_cli.cli import main
for line in sys.argv[1:]:
    sys.argv = ["tile2vec", *line.split(), "--quiet"]
    try:
        main()
    except SystemExit as end:
        print("\\nloaded:", end.code, *(name for name in {BIG} if name in sys.modules))
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """Of each command its exit code, and what of the big libraries this process had imported by its end."""
    folder: Path = searches.make(tmp_path_factory.mktemp("startup"))
    run = [sys.executable, "-c", PROGRAM, *(line for line, _ in COMMANDS)]
    done = subprocess.run(run, capture_output=True, text=True, check=True, cwd=folder)
    return [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("loaded:")]


@pytest.mark.parametrize("number", range(len(COMMANDS)), ids=lambda number: COMMANDS[number][0].split()[0])
def test_a_command_imports_what_it_needs(loaded: list[list[str]], number: int) -> None:
    code, *found = loaded[number]
    assert code == "0", COMMANDS[number][0]
    assert set(found) <= COMMANDS[number][1]


def test_importing_the_package_imports_none() -> None:
    program = "import sys, tile2vec_cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {*BIG, "numpy", "rasterio", "pyarrow", "typer"} & set(done.stdout.split())
