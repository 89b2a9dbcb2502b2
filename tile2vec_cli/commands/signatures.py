"""From a command's function to what typer takes, and from its arguments to a call of its namesake in api/.

    def tile(
        scenes: options.Scenes,
        out: Path = option(help="The tile set: a folder."),
        *,
        config: TileConfig,
        overwrite: options.Overwrite = False,
        console: Console,
        call: Call,
    ) -> None:

is to typer a command with all of TileConfig's options where `config` stands, each said once, by `option`
(config/fields.py), and gets the config made. Where a config holds more than its options say, a command takes
`settings: partial[TrainConfig]` and makes the config itself: `config = settings(labels=source)`.
--json and --quiet are the console's, and what the command was given is what `call` passes on.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, is_dataclass
from functools import partial
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from tile2vec_cli.api.outcomes import Outcome
from tile2vec_cli.commands import options
from tile2vec_cli.config.fields import Option, argument, check_value, flag, flattened, option_of, settings
from tile2vec_cli.config.rules import LOCATIONS
from tile2vec_cli.console import Console

_TALKING = {"json": options.Json, "quiet": options.Quiet}


def expanded(command: Callable[..., None], name: str = "") -> Callable[..., None]:
    """The command as typer takes it: with a parameter for each option, in place of configs and console."""
    hints = get_type_hints(command, include_extras=True)
    configs: dict[str, Any] = {}
    alone: dict[str, Setting] = {}  # of no config
    parameters: list[Parameter] = []
    for own, parameter in inspect.signature(command).parameters.items():
        is_later = get_origin(hints[own]) is partial
        if hints[own] is Console:
            for key, kind in _TALKING.items():
                parameters.append(Parameter(key, Parameter.KEYWORD_ONLY, default=False, annotation=kind))
        elif hints[own] is Call:
            continue
        elif is_later or is_dataclass(hints[own]):
            configs[own] = get_args(hints[own])[0] if is_later else hints[own]
            parameters += [setting.parameter for setting in settings_of(configs[own])]
        elif option := option_of(parameter.default):
            alone[own] = Setting(own, option, hints[own], parameter.default.default)
            parameters.append(alone[own].parameter.replace(name=own))
        else:  # typer's own way
            parameters.append(parameter.replace(kind=Parameter.KEYWORD_ONLY, annotation=hints[own]))

    def run(**given: Any) -> None:
        arguments = {own: value for own, value in given.items() if own in hints}
        for own, setting in alone.items():
            check_value(setting.flags, setting.option, given[own])
        later = {own: _made(config, given) for own, config in configs.items()}
        arguments |= {own: made() for own, made in later.items() if is_dataclass(hints[own])}
        talking: dict[str, Any] = {}
        if Console in hints.values():
            talking["console"] = Console(name, given["quiet"], given["json"])
        if Call in hints.values():
            talking["call"] = Call(command.__name__, arguments, talking["console"])
        command(**{**later, **arguments}, **talking)

    run.__doc__ = command.__doc__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


@dataclass(frozen=True)
class Call:
    """Calls the function of `api/` that is named as the command's is, with what the command was given."""

    function: str
    given: Mapping[str, Any]
    console: Console

    def __call__(self, verb: str | None = None, unit: str = "", **instead: Any) -> Outcome[Any]:
        """verb, unit: of the progress that is shown; None: it shows none. What is None is left out."""
        import tile2vec_cli

        run = tile2vec_cli._function(self.function)
        arguments = {name: value for name, value in {**self.given, **instead}.items() if value is not None}
        if verb is None:
            return run(**arguments)
        with self.console.progress(verb, unit) as on_progress:
            return run(**arguments, on_progress=on_progress)


@dataclass(frozen=True)
class Setting:
    """A field of a config, or a parameter, as typer is to know it."""

    field: str  # its name
    option: Option
    kind: Any  # its type
    default: Any  # MISSING: it has to be given
    within: str | None = None  # the field of the config that holds the config of this field

    @property
    def flags(self) -> str:
        """Such as --block of block_m, --any-names, and --place/--no-place of what is not simply False."""
        found = flag(self.field, self.option)
        both = bool in (self.kind, *get_args(self.kind)) and self.default is not False
        return f"{found}/--no-{found[2:]}" if both and not self.option.flag else found

    @property
    def name(self) -> str:
        """What typer calls its value."""
        return argument(self.field, self.option)

    @property
    def parameter(self) -> Parameter:
        option, kind, default = self.option, self.kind, self.default
        if option.repeatable or option.parse:  # typer hands over texts
            kind = list[str] if option.repeatable else str
        if option.spelled is not None:
            default = option.spelled
        elif option.repeatable and default is not MISSING:
            default = list(default) or None
        elif isinstance(default, tuple):
            default = ",".join(map(str, default))
        if default is None:
            kind |= None
        if self.flags.startswith("-"):
            metavar = option.metavar or "|".join(option.choices) or None
            said = typer.Option(self.flags, metavar=metavar, parser=self._parser, help=option.help)
        else:
            said = typer.Argument(metavar=self.flags, parser=self._parser, help=option.help)
        default = Parameter.empty if default is MISSING else default
        return Parameter(self.name, Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, said])

    @property
    def _parser(self) -> Callable[[str], str | Path] | None:
        """What takes each of its values where they are paths."""
        if self.field in LOCATIONS:
            return options.location
        kinds = (self.kind, *get_args(self.kind))
        return options.path if Path in kinds or list[Path] in kinds else None

    def value(self, given: Any) -> Any:
        """Of what typer hands over; MISSING: the config's own default."""
        if given is None or (self.option.repeatable and not given):
            return MISSING
        if self.option.parse:
            return self.option.parse(self.flags, given)
        return tuple(given) if self.option.repeatable else given


def settings_of(config: Any) -> Iterator[Setting]:
    """The options of a config in the order of its fields, and those of a config in it."""
    kinds: dict[str | None, dict[str, Any]] = {None: get_type_hints(config)}
    for field, default, within in flattened(config):
        if within not in kinds:
            kinds[within] = get_type_hints(type(getattr(config, within or "")))
        if option := option_of(field):
            yield Setting(field.name, option, kinds[within][field.name], default, within)


def _made(config: Any, given: Mapping[str, Any]) -> partial[Any]:
    """The config with what is given of it."""
    values = ((one.field, one.within, one.value(given[one.name])) for one in settings_of(config))
    return partial(config, **settings(config, (one for one in values if one[-1] is not MISSING)))
