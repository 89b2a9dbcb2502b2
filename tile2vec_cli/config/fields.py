"""An option, said once: a config's field, with what the command line shows and takes.

Standard library only. `commands/signatures.py` makes the options of a command from its config.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from keyword import iskeyword
from typing import Any

from tile2vec_cli.config import rules
from tile2vec_cli.config.rules import (
    above,
    at_least,
    at_most,
    one_of,
    parse_assets,
    parse_ints,
    parse_stack,
)


@dataclass(frozen=True)
class Option:
    """How a field stands on a command line."""

    help: str
    flag: str | None = None  # such as --not; without a dash it is an argument; None: as the field is called
    metavar: str | None = None  # None: the choices
    rule: Callable[[str, Any], None] | None = None  # raises UsageError, of flag and value; None is let pass
    choices: tuple[str, ...] = ()
    least: float | None = None  # what the value, or each of several, may be
    above: float | None = None
    most: float | None = None
    parse: Callable[[str, Any], Any] | None = None  # of flag and text; of all texts where it is repeatable
    repeatable: bool = False
    spelled: str | None = None  # the default, where the value itself does not say it


def option(default: Any = MISSING, **said: Any) -> Any:
    """A field of a config, or a command's parameter, that is an option: `said` are fields of `Option`.

    size: int = option(50, help="Side of a tile in pixels.")

    Without a default it has to be given. `_m` of metres is no part of the flag.
    """
    return field(default=default, metadata={"option": Option(**said)})


def flag(name: str, said: Option) -> str:
    return said.flag or f"--{name.removesuffix('_m').replace('_', '-')}"


def argument(name: str, said: Option) -> str:
    """What its value is called: as the flag, so that two configs may have a field `band`; never a keyword."""
    found = flag(name, said).partition("/")[0].removeprefix("--").replace("-", "_")
    return found if found.isidentifier() and not iskeyword(found) else name


def check(config: Any) -> None:
    """Whether the options of a config are what they may be; every config calls it at birth."""
    for one in fields(config):
        if said := option_of(one):
            check_value(flag(one.name, said), said, getattr(config, one.name))


def check_value(flag: str, said: Option, value: Any) -> None:
    """Whether a value is what the option may be; UsageError where it is not. None may always be."""
    if said.rule is not None and value is not None:
        said.rule(flag, value)
    for item in value if isinstance(value, tuple) else (value,):
        if item is None:
            continue
        if said.choices:
            one_of(flag, item, said.choices)
        if said.least is not None:
            at_least(flag, item, said.least)
        if said.above is not None:
            above(flag, item, said.above)
        if said.most is not None:
            at_most(flag, item, said.most)


def nested(*names: str) -> dict[str, Any]:
    """Metadata of a field that holds a config, some of whose fields are options here as well."""
    return {"nested": names}


def option_of(one: Any) -> Option | None:
    """What a field, or the default of a parameter, says; None: it is not an option."""
    return one.metadata.get("option") if isinstance(one, Field) else None


def nested_in(one: Field[Any]) -> tuple[str, ...]:
    return tuple(one.metadata.get("nested", ()))


def flattened(config: Any) -> Iterator[tuple[Field[Any], Any, str | None]]:
    """The fields of a config with their defaults, in place of one that holds a config those of it that are
    options here, each with the name of what holds it."""
    for one in fields(config):
        own: Any = one.default
        if not nested_in(one):
            yield one, own, None
        for inner in fields(own) if nested_in(one) else ():
            if inner.name in nested_in(one):
                yield inner, getattr(own, inner.name), one.name


def settings(config: Any, given: Iterable[tuple[str, str | None, Any]]) -> dict[str, Any]:
    """The arguments of a config, from names, what holds them (see `flattened`), and values."""
    found: dict[str, Any] = {}
    within: dict[str, dict[str, Any]] = {}
    for name, holder, value in given:
        (within.setdefault(holder, {}) if holder else found)[name] = value
    return found | {holder: replace(getattr(config, holder), **own) for holder, own in within.items()}


# --- options of several configs ----------------------------------------------------------------


def seed() -> Any:
    """scikit-learn takes seeds below 2³²; some are a draw's number above what is given."""
    most = 2**31 - 1
    return option(0, least=0, most=most, help=f"Seed of everything that is drawn at random, up to {most}.")


def device() -> Any:
    return option("auto", choices=("auto", "cpu", "cuda"), help="Where networks run.")


def precision() -> Any:
    return option("auto", choices=("auto", "bf16", "fp32"), help="auto: bf16 where the device has it.")


def bands(help: str) -> Any:
    return option(None, metavar="1,2,3,4", parse=parse_ints, rule=rules.chosen_bands, help=help)


def rgb() -> Any:
    return option(
        None,
        metavar="1,2,3",
        parse=parse_ints,
        rule=rules.shown_bands,
        help="Bands of the tile set to show (default: the first three).",
    )


def any_names() -> Any:
    return option(False, help="Take bands by number, whatever the scenes call them.")


def stack() -> Any:
    return option(
        None,
        metavar="B02,B03,…",
        parse=parse_stack,
        help="Files whose names differ only in these are one scene, bands in this order; others are ignored.",
    )


def assets() -> Any:
    return option(
        None,
        metavar="red,green,…",
        parse=parse_assets,
        help="STAC items: these assets or bands, by key or name, are a scene's bands in this order (default: "
        "the only raster).",
    )


def class_field() -> Any:
    return option(None, help="Field or column that holds the classes.")


def min_purity() -> Any:
    return option(
        0.8, rule=rules.share, help="Raster: share of a tile's valid pixels its majority class must cover."
    )


def block(default: str) -> Any:
    return option(None, metavar="METRES", above=0, help=f"Side of a spatial block (default: {default}).")
