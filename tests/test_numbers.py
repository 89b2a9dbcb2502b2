"""Numbers that are none, given to every option of every command that takes a number."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from tile2vec_cli.cli import COMMANDS, app, function
from tile2vec_cli.commands.signatures import expanded
from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.errors import UsageError

NUMERIC = {"<class 'int'>", "<class 'float'>", "int | None", "float | None"}
WRONG = ("inf", "-inf", "nan")
# What a command wants beside its option, where more than paths are missing.
MORE: dict[str, list[str]] = {
    "analogy": ["a", "b", "c"],
    "similar": ["--to", "a"],
    "compare": ["--minutes", "1"],
    "classify": ["--labels", "nowhere"],
}


def numeric_options() -> Iterator[tuple[str, str, list[str]]]:
    """Command, option, and the arguments that the command cannot do without, of all there are."""
    for name in COMMANDS:
        needed, found = list(MORE.get(name, [])), []
        for key, parameter in inspect.signature(expanded(function(name)), eval_str=True).parameters.items():
            kind, told = parameter.annotation.__args__[0], parameter.annotation.__metadata__[0]
            option = next(iter(told.param_decls or ()), f"--{key.replace('_', '-')}")
            is_argument = isinstance(told, typer.models.ArgumentInfo)
            listed = any(item.isdigit() for item in (told.metavar or "").split(","))  # such as 1,2,3
            if str(kind) in NUMERIC or listed:
                found.append(option)
            if parameter.default is inspect.Parameter.empty and option not in needed:
                needed += ["nowhere"] if is_argument else [option, "nowhere"]
        for option in found:
            yield name, option, needed


OPTIONS = list(numeric_options())
PROGRAM = typer.main.get_command(app)


def test_the_table_finds_them() -> None:
    assert {("tile", "--nodata"), ("train", "--lr"), ("map", "--bands"), ("probe", "--n-labels")} <= {
        (command, option) for command, option, _ in OPTIONS
    }


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize(
    ("command", "option", "needed"), OPTIONS, ids=lambda x: x if isinstance(x, str) else ""
)
def test_a_number_that_is_none_is_wrong_usage(
    command: str, option: str, needed: list[str], value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if (option, value) == ("--nodata", "nan"):
        pytest.skip("nan is what it may be")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Exception) as raised:
        PROGRAM.main([command, *_without(needed, option), f"{option}={value}"], standalone_mode=False)
    assert raised.value.exit_code == 2, raised.value
    assert not list(tmp_path.iterdir())


def _without(needed: list[str], option: str) -> list[str]:
    """The arguments but for this option, which is given another value."""
    if option not in needed:
        return needed
    at = needed.index(option)
    return needed[:at] + needed[at + 2 :]


@pytest.mark.parametrize("value", [float("inf"), float("-inf")])
def test_nodata_may_be_nan_and_not_infinite(value: float) -> None:
    assert TileConfig(nodata=float("nan")).settings()["nodata"] == "nan"
    with pytest.raises(UsageError, match="infinite pixels never count as valid"):
        TileConfig(nodata=value)
