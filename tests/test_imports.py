"""The layers of the house: who may import whom, read from the source."""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "tile2vec_cli"

# In the order of CONTRIBUTING.md's map: each imports from itself and from what stands before it.
ORDER = ("errors", "config", "job", "geo", "outputs", "workers", "tiling", "labelling")
ORDER += ("neural", "learning", "embedding", "figures", "evaluation", "segmentation", "views", "exports")
ORDER += ("catalogs", "api", "progress", "console", "commands", "cli", "__main__")
TORCH = ORDER.index("neural")  # the first that may know torch
TALKERS = {"progress", "console", "commands", "cli", "__main__"}
SIGNALS = TALKERS | {"learning", "workers"}  # who may ask for signals
RASTERIO = {"geo/rasters", "outputs/cogs"}

FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


def home(path: Path) -> str:
    """The package, or the module at the root, that a file belongs to."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def label(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


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
    return names - {("__version__",), ("_FUNCTIONS",)}


def foreign(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def importers(libraries: set[str], files: list[Path]) -> list[str]:
    """Which of the files import any of these, and what."""
    return [f"{label(path)}: {found}" for path in files if (found := foreign(path) & libraries)]


CORE = [path for path in FILES if home(path) not in TALKERS]


def test_the_order_names_all_there_is() -> None:
    assert {home(path) for path in FILES} == set(ORDER), "ORDER says who may import what is new"


def test_imports_run_one_way() -> None:
    late = [
        f"{label(path)} imports {'.'.join(name)}"
        for path in FILES
        for name in own(path)
        if ORDER.index(name[0]) > ORDER.index(home(path))
    ]
    assert not late, "these come later in ORDER: move the module, or what it asks for"


def test_the_core_neither_talks_nor_exits() -> None:
    assert not importers({"typer", "rich", "click"}, CORE), "only commands/ and console.py know these"
    calls = [
        f"{label(path)}:{node.lineno}: {ast.unparse(node.func)}"
        for path in CORE
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"print", "exit", "quit", "sys.exit"}
    ]
    assert not calls, "return what is to be shown, raise what went wrong (errors.py)"


def test_who_may_ask_for_signals() -> None:
    others = [path for path in FILES if home(path) not in SIGNALS]
    assert not [label(path) for path in others for name in own(path) if name[:2] == ("job", "interrupts")]


def test_heavy_libraries_stay_in_their_layers() -> None:
    early = [
        path for path in FILES if ORDER.index(home(path)) < TORCH or home(path) in {"progress", "console"}
    ]
    found = importers({"torch", "sklearn", "matplotlib", "safetensors"}, early)
    assert not found, "these libraries begin with neural/, even inside functions"
    found = importers({"rasterio"}, [path for path in FILES if label(path) not in RASTERIO])
    assert not found, "rasters are opened by geo/rasters.py, and written by outputs/cogs.py"
    for path in FILES:
        if home(path) in {"errors", "config"}:
            found = sorted(foreign(path) - sys.stdlib_module_names - {"tile2vec_cli"})
            assert not found, f"{label(path)}: `--help` reads it, so standard library only"


def test_nothing_is_unpickled_and_nobody_imports_click() -> None:
    assert not importers({"pickle", "joblib", "cloudpickle", "click"}, FILES)
