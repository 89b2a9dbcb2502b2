"""From a command's function, which takes a config and paths, to the one that a notebook calls.

`def tile(scenes, out: Path, config: TileConfig, ...) -> Outcome[TileSet]` becomes
`tile(scenes, out, *, size=50, ...) -> TileSet`: options in place of the config, objects where paths may
stand, an exception for what failed, and the object in place of the outcome.
"""

from __future__ import annotations

import inspect
import operator
import re
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, replace
from functools import wraps
from inspect import Parameter
from pathlib import Path
from typing import Any, get_type_hints

from tile2vec_cli.api.outcomes import Outcome
from tile2vec_cli.config.fields import argument, flattened, option_of, settings
from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.rules import NO_PATH, parse_place
from tile2vec_cli.errors import Interrupted, Remark, UsageError

_OBJECTS = {"tiles": "TileSet", "triplets": "Triplets", "model": "Model", "embeddings": "Embeddings"}
_OBJECTS |= {"tiles_before": "TileSet", "tiles_after": "TileSet", "before": "Embeddings"}
_OBJECTS |= {"after": "Embeddings", "fit_on": "Embeddings", "beside": "Embeddings", "init": "Model"}
_READING = [field for field in fields(LabelSource) if option_of(field)]  # how labels are read
_PLACE = "str | tuple[float, float]"


def call(function: Callable[..., Outcome[Any]]) -> Callable[..., Any]:
    """What a notebook calls."""
    own = inspect.signature(function).parameters
    config = get_type_hints(function)["config"] if "config" in own else None
    signature = _signature(own, config)

    @wraps(function)
    def run(*args: Any, **options: Any) -> Any:
        try:
            bound = signature.bind(*args, **options)
        except TypeError as error:
            raise TypeError(f"{function.__name__}() {error}") from None
        bound.apply_defaults()
        started, over = time.monotonic(), False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of libraries: nobody can act on these
            warnings.simplefilter("default", Remark)
            given = {
                name: taken(name, value, str(signature.parameters[name].annotation))
                for name, value in bound.arguments.items()
            }
            arguments = _arguments(given, own, config)

            def on_progress(done: int, total: int) -> None:
                if over:  # a thread that still works when Ctrl-C has ended the call
                    raise Interrupted
                given["on_progress"](done, total)

            try:
                outcome = function(**{**arguments, "on_progress": on_progress})
                if outcome.failed:
                    first = outcome.failed[0].error()
                    for failure in outcome.failed[1:]:
                        first.add_note(failure.message)
                    raise first
                outcome = replace(outcome, seconds=round(time.monotonic() - started, 3))
                return outcome if outcome.open is None else outcome.open(outcome.report)
            finally:
                over = True

    run.__signature__ = signature  # type: ignore[attr-defined]
    del run.__wrapped__
    return run


# --- parameters ------------------------------------------------------------------------------


def _signature(own: Mapping[str, Parameter], config: Any) -> inspect.Signature:
    """What has to be given goes first, and by its place if wanted; options go by their names."""
    found: dict[str, Parameter] = {}
    for name, parameter in own.items():
        if name == "config":
            for field, default, _ in flattened(config):
                if _option_name(field) not in own:
                    default = Parameter.empty if default is MISSING else default
                    _add(found, _option_name(field), str(field.type).replace("Place", _PLACE), default)
        else:
            _add(found, name, str(parameter.annotation), parameter.default)
    order = [p for p in found.values() if p.default is Parameter.empty]
    order += [p for p in found.values() if p.default is not Parameter.empty]
    return inspect.Signature(order)


def _add(found: dict[str, Parameter], name: str, annotation: str, default: Any) -> None:
    empty = default is Parameter.empty
    kind = Parameter.POSITIONAL_OR_KEYWORD if empty else Parameter.KEYWORD_ONLY
    found.setdefault(name, Parameter(name, kind, default=default, annotation=annotation))
    if name == "labels":
        for field in _READING:
            _add(found, _option_name(field), str(field.type), field.default)


def _option_name(field: Field[Any]) -> str:
    """As its flag is called, but for words of Python's."""
    said = option_of(field)
    return argument(field.name, said) if said else field.name


def _arguments(given: Mapping[str, Any], own: Mapping[str, Parameter], config: Any) -> dict[str, Any]:
    """The function's own arguments: labels with what is said of them, and the config made."""
    found = dict(given)
    if "labels" in found:
        needed = "labels" in own and own["labels"].default is Parameter.empty
        if needed and found["labels"] is None:
            raise UsageError("labels = None: needs a path, or classes.")
        found["labels"] = _labels("labels", found)
    if found.get("evaluate") is not None:
        found["evaluate"] = _labels("evaluate", {**found, "layer": None, "crs": None})
    arguments = {name: found[name] for name in own if name != "config"}
    if config is not None:
        each = [(field, within, _option_name(field)) for field, _, within in flattened(config)]
        wanted = [one for one in each if one[1] or one[2] not in own]
        said = ((field.name, within, found[option]) for field, within, option in wanted)
        arguments["config"] = config(**settings(config, said))
    return arguments


def _labels(name: str, found: Mapping[str, Any]) -> Any:
    """Where labels are; classes as they are, None where there are none."""
    from tile2vec_cli.labelling.labels import optional

    given = found[name]
    if isinstance(given, LabelSource):
        return given
    if isinstance(given, str | Path):
        given = [given]
    names = isinstance(given, list | tuple) and all(isinstance(one, str | Path) for one in given)
    embeddings = found.get("embeddings")
    if names and len(given) > 1 and embeddings is not None and "places" in found:  # of probe
        names = isinstance(embeddings, str | Path) or len(given) != len(embeddings)
    if given is not None and not names:
        return given
    reading = {field.name: found[_option_name(field)] for field in _READING}
    return optional(None if given is None else [_location(name, one) for one in given], **reading)


# --- values ----------------------------------------------------------------------------------


def taken(name: str, value: Any, annotation: str) -> Any:
    """A value as a function of ours takes it. Raises UsageError for one of another type."""
    if value is None and annotation.endswith("| None, ...]"):
        return (None,)  # such as all labels
    annotation = annotation.removesuffix(" | None")
    several = re.fullmatch(r"(?:tuple|Sequence)\[(.*?)(?:, \.\.\.)?\]", annotation)
    if value is None or name in ("labels", "evaluate"):
        return value
    if several is None:
        return _one(name, value, annotation)
    kind = several[1]
    alone = isinstance(value, str | Path | int | float) or hasattr(value, "path")
    alone = alone or (kind == _PLACE and _is_place(value))
    try:
        items = [value] if alone else list(value)
    except TypeError:
        raise UsageError(f"{name} = {value!r}: needs one or several values.") from None
    return tuple(None if item is None else _one(name, item, kind) for item in items)


def _one(name: str, value: Any, kind: str) -> Any:
    if kind == "Path" or (isinstance(value, str) and "Path" in kind):
        return Path(_location(name, value))
    if name == "scenes" or (name == "init" and value is not None):
        return _location(name, value)
    if kind == _PLACE and _is_place(value):
        return float(value[0]), float(value[1])
    if kind == _PLACE:
        return parse_place(str(value).strip())
    if kind in _TYPES:
        said, accept = _TYPES[kind]
        try:
            return accept(value)
        except (TypeError, ValueError):
            raise UsageError(f"{name} = {value!r}: needs {said}.") from None
    return value


def _is_place(value: Any) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2 and not any(isinstance(x, str) for x in value)


def _location(name: str, value: Any) -> str:
    """Of a path, which may be an address, or of an object that has one."""
    found = getattr(value, "path", value)
    if not isinstance(found, str | Path):
        raise UsageError(f"{name}: is in memory, and a file is needed. Write it with out=, then give it.")
    if not str(found):
        raise UsageError(f"{name}: {NO_PATH}")
    return str(found)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _number(value: Any) -> float:
    if isinstance(value, str):
        raise TypeError
    return float(value)


def _truth(value: Any) -> bool:
    if value not in (True, False):
        raise TypeError
    return bool(value)


_TYPES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "int": ("a whole number", operator.index),
    "int | None": ("whole numbers", operator.index),
    "float": ("a number", _number),
    "bool": ("True or False", _truth),
    "str": ("text", _text),
}


# --- for type checkers -----------------------------------------------------------------------


def public(name: str, annotation: str) -> str:
    """The type that a notebook may give."""
    if name == "labels" or name == "evaluate":
        given = "str | Path | Sequence[Any] | NDArray[Any]"
    elif name == "embeddings" and "Any" in annotation:
        return "str | Path | Embeddings | NDArray[Any]"
    elif name == "scenes":
        given = "str | Path | Sequence[str | Path]"
    elif "Path" in annotation or name == "init":
        given = " | ".join(filter(None, ["str | Path", _OBJECTS.get(name)]))
        given = f"{given} | Sequence[{given}]" if "Sequence" in annotation else given
    elif several := re.match(r"(?:tuple|Sequence)\[(.*?)(?:, \.\.\.)?\](?: \| None)?$", annotation):
        given = f"{several[1].removesuffix(' | None')} | Sequence[{several[1]}]"
        return f"{given} | None" if "None" in annotation else given
    else:
        return annotation
    return f"{given} | None" if annotation.endswith("| None") else given
