"""Every field of a config is an option of a command, and typer is told of it what the field says."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest
import typer

import tile2vec_cli as t2v
from tile2vec_cli import config as configs
from tile2vec_cli.cli import COMMANDS, function, program
from tile2vec_cli.commands.signatures import Call, Setting, expanded, settings_of
from tile2vec_cli.config.encoders import ENCODERS
from tile2vec_cli.config.fields import Option, nested_in, option, option_of
from tile2vec_cli.config.objectives import OBJECTIVES
from tile2vec_cli.console import Console
from tile2vec_cli.errors import UsageError

# What is no option, and why.
ASIDE = {
    ("LabelSource", "given"),  # --labels, which every command says in its own words
    ("LabelSource", "files"),  # what it stands for
    ("TrainConfig", "labels"),  # --labels, and how they are read
    ("WeakConfig", "evaluate"),  # --evaluate, read as --labels are
    ("ProbeConfig", "baselines"),  # all of them, where nothing is said and there are --tiles
}


TOLD = (Console, Call)  # what a command talks and calls with
ROWS = {type(row) for table in (ENCODERS, OBJECTIVES) for row in table.values()}


def all_configs() -> Iterator[Any]:
    """The dataclasses of config/, but for what an option itself is, and a row of a table."""
    for found in pkgutil.iter_modules(configs.__path__):
        module = importlib.import_module(f"{configs.__name__}.{found.name}")
        for one in vars(module).values():
            own = dataclasses.is_dataclass(one) and one.__module__ == module.__name__
            if own and one not in (Option, *ROWS):
                yield one


def taken(name: str) -> list[Any]:
    """The configs that a command takes."""
    hints = get_type_hints(function(name)).values()
    found = [get_args(hint)[0] if get_origin(hint) is partial else hint for hint in hints]
    return [one for one in found if dataclasses.is_dataclass(one) and one not in TOLD]


SETTINGS = [(name, setting) for name in COMMANDS for one in taken(name) for setting in settings_of(one)]
every_setting = pytest.mark.parametrize(
    ("command", "setting"), SETTINGS, ids=[f"{name} {setting.flags}" for name, setting in SETTINGS]
)


def test_every_field_of_every_config_is_an_option() -> None:
    configs_taken = {one for name in COMMANDS for one in taken(name)}
    assert configs_taken == set(all_configs()), "no command takes these configs, or a row is no config"
    fields = [(one, field) for one in all_configs() for field in dataclasses.fields(one)]
    silent = {(one.__name__, f.name) for one, f in fields if not option_of(f) and not nested_in(f)}
    assert silent == ASIDE, "fields without option(…); those in ASIDE say why"


@every_setting
def test_typer_is_told_what_the_field_says(command: str, setting: Setting) -> None:
    shown = {name: one for one in program(command).params for name in (*one.opts, one.metavar)}
    one, said = shown[setting.flags.partition("/")[0]], setting.option
    choices = "|".join(said.choices)
    assert one.help == said.help and one.metavar in (said.metavar, choices, setting.flags)
    assert one.required == (setting.default is dataclasses.MISSING)


@every_setting
def test_what_help_shows_as_the_default_is_the_default(command: str, setting: Setting) -> None:
    shown = setting.parameter.default
    if shown is None:  # help says in words what the config does
        assert setting.default in (None, ())
    elif shown is not inspect.Parameter.empty:
        assert setting.value(shown) == setting.default


@dataclasses.dataclass(frozen=True)
class Cake:
    width_m: float = option(help="How wide.")
    layers: int = option(2, help="How many.")
    iced: bool = option(True, help="With sugar.")
    fillings: tuple[str, ...] = option((), flag="--with", repeatable=True, help="Between them.")
    baker: str = "nobody"


def baked(*arguments: str) -> tuple[Cake, bool]:
    """What a command that takes a cake, then one to be made, gets."""
    got: list[Any] = []

    def bake(config: Cake, *, quick: bool = False) -> None:
        got.extend((config, quick))

    def bake_later(*, settings: partial[Cake], quick: bool = False) -> None:
        got.append(settings(baker="Ann"))

    bake.__annotations__ |= {"config": Cake, "quick": bool}
    bake_later.__annotations__ |= {"settings": partial[Cake], "quick": bool}
    for one in (bake, bake_later):
        app = typer.Typer()
        app.command()(expanded(one))
        typer.main.get_command(app).main([*arguments], standalone_mode=False)
    assert got[2] == dataclasses.replace(got[0], baker="Ann")
    return got[0], got[1]


def test_a_command_gets_its_config_made() -> None:
    assert baked("--width", "0.3") == (Cake(width_m=0.3), False)
    given = ("--width=1", "--layers", "5", "--no-iced", "--with", "jam", "--with", "figs", "--quick")
    assert baked(*given) == (Cake(1.0, 5, False, ("jam", "figs")), True)


def test_an_option_without_a_default_has_to_be_given() -> None:
    with pytest.raises(Exception, match="width"):
        baked("--layers", "3")


def test_an_option_of_no_config_is_checked_too() -> None:
    def slice_(pieces: int = option(8, least=1, help="Pieces.")) -> None:
        raise AssertionError(pieces)

    slice_.__annotations__ |= {"pieces": int}
    with pytest.raises(UsageError, match="--pieces"):
        expanded(slice_)(pieces=0)


def test_a_command_without_a_config_stays_as_it_is() -> None:
    check = function("check")
    assert list(inspect.signature(expanded(check)).parameters) == ["path", "remove", "json", "quiet"]


@pytest.mark.parametrize("name", COMMANDS)
def test_no_path_is_empty(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a variable of the shell is that was not set: it would be the current folder."""
    monkeypatch.chdir(tmp_path)
    hints = {own: str(hint) for own, hint in get_type_hints(function(name)).items()}
    texts = {"scenes", "labels", "evaluate", "init"}
    ahead: list[str] = []
    for one in program(name).params:
        is_path = "pathlib" in hints.get(one.name, "") or one.name in texts
        flag = one.opts[0] if one.opts[0].startswith("-") else None
        if is_path:
            with pytest.raises(Exception, match="is empty; a path is needed"):
                program(name).main([flag, ""] if flag else [*ahead, ""], standalone_mode=False)
        if flag is None:
            ahead.append("x")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_given_what_its_function_takes(name: str) -> None:
    """But for what it makes into something else: labels, and the files that are scored against."""
    own = function(name)
    hints = get_type_hints(own)
    given = {key for key, hint in hints.items() if get_origin(hint) is not partial and hint not in TOLD}
    takes = inspect.signature(t2v._function(own.__name__)).parameters
    aside = {"train": {"labels"}, "weak-segment": {"evaluate"}}
    assert given - {"return"} - set(takes) == aside.get(name, set())
