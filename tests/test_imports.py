"""The layers of the house: who may import whom, read from the source."""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "tile2vec_cli"

# In the order of CONTRIBUTING.md's map: each imports from itself and from what stands before it.
ORDER = ("errors", "config", "job", "geo", "outputs", "workers", "tiling", "labelling")
ORDER += ("neural", "learning", "embedding", "figures", "evaluation", "segmentation", "views", "exports")
ORDER += ("catalogs", "checks", "api", "progress", "console", "commands", "cli", "__main__")
TORCH = ORDER.index("neural")  # the first that may know torch
TALKERS = {"progress", "console", "commands", "cli", "__main__"}
SIGNALS = TALKERS | {"learning"}  # who may ask for signals
RASTERIO = {"geo/rasters", "outputs/cogs"}

FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
IDS = [path.relative_to(PACKAGE).with_suffix("").as_posix() for path in FILES]
every_file = pytest.mark.parametrize("path", FILES, ids=IDS)


def home(path: Path) -> str:
    """The package, or the module at the root, that a file belongs to."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


@cache
def imports(path: Path) -> frozenset[str]:
    """Dotted names of all that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def own(path: Path) -> set[tuple[str, ...]]:
    """What a file imports of tile2vec: the parts of each name below the package."""
    names = {tuple(name.split(".")[1:]) for name in imports(path) if name.startswith("tile2vec_cli.")}
    return names - {("__version__",)}


def foreign(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def test_the_order_names_all_there_is() -> None:
    assert {home(path) for path in FILES} == set(ORDER)


@every_file
def test_imports_run_one_way(path: Path) -> None:
    for name in own(path):
        assert ORDER.index(name[0]) <= ORDER.index(home(path)), f"imports {'.'.join(name)}, which comes later"


@every_file
def test_the_core_neither_talks_nor_exits(path: Path) -> None:
    if home(path) in TALKERS:
        return
    assert not foreign(path) & {"typer", "rich", "click"}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {"print", "exit", "quit", "sys.exit"}, f"line {node.lineno}: {called}"


@every_file
def test_who_may_ask_for_signals(path: Path) -> None:
    if home(path) not in SIGNALS:
        assert not [name for name in own(path) if name[:2] == ("job", "interrupts")]


@every_file
def test_heavy_libraries_stay_in_their_layers(path: Path) -> None:
    if ORDER.index(home(path)) < TORCH or home(path) in {"progress", "console"}:
        assert not foreign(path) & {"torch", "sklearn", "matplotlib", "safetensors"}
    if path.relative_to(PACKAGE).with_suffix("").as_posix() not in RASTERIO:
        assert "rasterio" not in foreign(path)
    if home(path) in {"errors", "config"}:
        assert foreign(path) <= sys.stdlib_module_names | {"tile2vec_cli"}


@every_file
def test_nothing_is_unpickled(path: Path) -> None:
    assert not foreign(path) & {"pickle", "joblib", "cloudpickle"}


@every_file
def test_nobody_imports_click(path: Path) -> None:
    assert "click" not in foreign(path)
