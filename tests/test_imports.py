"""The layers of the house: who may import whom, read from the source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "tile2vec_cli"

# A module imports from its own layer and from those below it (further down this table).
LAYERS = (
    {"cli", "__main__"},
    {"commands"},
    set(),  # the torch layer: all modules that stand nowhere else
    {"tiles", "tile_files", "sources", "cutting", "tile_parts", "strips", "triplets", "shells", "embeddings"}
    | {"embedding_files", "features"}
    | {"embedding_outputs", "geoparquet", "labels", "label_rasters", "label_tables", "label_vectors"}
    | {"votes", "vectors", "cdl", "splits", "parts", "work", "clusters", "dispatch", "cogs", "provenance"}
    | {"map_plans"},
    {"grid", "rasters", "scenes", "scene_lists", "sampling", "places", "remote", "memory", "launch"}
    | {"processors"},
    {"config", "weak_config", "view_config", "rules", "errors"},
)
ANYWHERE_ABOVE_CORE = {"console", "interrupts"}  # for cli and commands
TORCH_LAYER = 2
FREE = {"__init__"}

FILES = sorted(PACKAGE.rglob("*.py"))
CORE = [path for path in FILES if path.parent == PACKAGE and path.stem not in {"cli", "console", "__main__"}]


def layer(module: str) -> int:
    return next((depth for depth, names in enumerate(LAYERS) if module in names), TORCH_LAYER)


def module_of(path: Path) -> str:
    return "commands" if path.parent.name == "commands" else path.stem


def imports(path: Path) -> set[str]:
    """Dotted names of all that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: a relative import"
            name = str(node.module)
            found |= {f"{name}.{alias.name}" for alias in node.names} if name == "tile2vec_cli" else {name}
    return found


def own(path: Path) -> set[str]:
    """Modules of the package that a file imports; `commands` is one of them."""
    return {name.split(".")[1] for name in imports(path) if name.startswith("tile2vec_cli.")}


def foreign(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_downwards(path: Path) -> None:
    module = module_of(path)
    if module in FREE or module in ANYWHERE_ABOVE_CORE:
        return
    for name in own(path) - FREE - {"__version__"}:
        if name in ANYWHERE_ABOVE_CORE:
            may_poll_signals = name == "interrupts" and layer(module) <= TORCH_LAYER
            assert layer(module) <= 1 or may_poll_signals, f"{path.name} imports {name}"
        else:
            assert layer(module) <= layer(name), f"{path.name} imports {name}, of a layer above"


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.stem)
def test_the_core_neither_talks_nor_exits(path: Path) -> None:
    assert not foreign(path) & {"typer", "rich", "click"}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {"print", "exit", "quit", "sys.exit"}, f"line {node.lineno}: {called}"


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.stem)
def test_heavy_libraries_stay_in_their_layers(path: Path) -> None:
    if layer(path.stem) > TORCH_LAYER or path.stem in {"console", "interrupts"}:
        assert not foreign(path) & {"torch", "sklearn", "matplotlib", "safetensors"}
    if path.stem not in {"rasters", "cogs"}:
        assert "rasterio" not in foreign(path)
    if path.stem in LAYERS[-1]:
        assert not foreign(path) & {"numpy", "pyarrow", "shapely", "geopandas"}


def test_nothing_is_unpickled() -> None:
    for path in FILES:
        assert not foreign(path) & {"pickle", "joblib", "cloudpickle"}, path.name


def test_nobody_imports_click() -> None:
    assert not [path.name for path in FILES if "click" in foreign(path)]
