"""tile2vec: from GeoTIFFs to embeddings and maps.

`import tile2vec_cli as t2v` is the toolkit in Python: commands are functions of the same names and options.
Each is loaded when it is asked for; their types stand in `__init__.pyi`.
"""

__version__ = "0.1.0"

_FUNCTIONS = {  # the commands, in the order of `--help`, and the module of tile2vec_cli.api that has each
    "tile": "tiling",
    "sample_triplets": "tiling",
    "train": "learning",
    "embed": "learning",
    "probe": "judging",
    "compare": "judging",
    "similar": "looking",
    "preview": "looking",
    "analogy": "looking",
    "change": "looking",
    "inspect": "looking",
    "classify": "classifying",
    "suggest": "classifying",
    "weak_segment": "mapping",
    "map_scenes": "mapping",
    "export": "exporting",
    "stac": "exporting",
    "check": "checking",
    "doctor": "examining",
    "demo": "demonstration",
}
_OBJECTS = {
    "TileSet": "tiling.tiles",
    "Triplets": "tiling.triplets",
    "Model": "api.models",
    "Embeddings": "embedding.embeddings",
    "Verdict": "api.verdicts",
    "Outcome": "api.outcomes",
}
_LATE = (*_FUNCTIONS, *_OBJECTS, "errors")

__all__ = ["__version__", *_LATE]


def _function(name: str) -> object:
    """What the command of this name calls, too."""
    from importlib import import_module

    return getattr(import_module(f"tile2vec_cli.api.{_FUNCTIONS[name]}"), name)


def __getattr__(name: str) -> object:
    from importlib import import_module

    found: object
    if name in _FUNCTIONS:
        from tile2vec_cli.api.calls import call

        found = call(_function(name))
    elif name in _OBJECTS:
        found = getattr(import_module(f"tile2vec_cli.{_OBJECTS[name]}"), name)
    elif name == "errors":
        found = import_module("tile2vec_cli.errors")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATE})
