"""From configs to a command's options: each is said once, by `option` (config/fields.py).

    def tile(
        scenes: options.Scenes,
        out: Path = option(help="The tile set: a folder."),
        *,
        config: TileConfig,
        overwrite: options.Overwrite = False,
    ) -> None:

is to typer a command with all of TileConfig's options where `config` stands, and gets the config made.
Where a config holds more than its options say, a command takes `settings: partial[TrainConfig]` and makes
the config itself: `config = settings(labels=source)`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, is_dataclass
from functools import partial
from inspect import Parameter
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from tile2vec_cli.config.fields import Option, argument, flag, flattened, option_of, settings


def expanded(command: Callable[..., None]) -> Callable[..., None]:
    """The command as typer takes it: with a parameter for each option, in place of the configs."""
    hints = get_type_hints(command, include_extras=True)
    configs: dict[str, Any] = {}
    parameters: list[Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        is_later = get_origin(hints[name]) is partial
        if is_later or is_dataclass(hints[name]):
            configs[name] = get_args(hints[name])[0] if is_later else hints[name]
            parameters += [setting.parameter for setting in settings_of(configs[name])]
        elif option := option_of(parameter.default):
            own = Setting(name, option, hints[name], parameter.default.default)
            parameters.append(own.parameter.replace(name=name))
        else:  # typer's own way
            parameters.append(parameter.replace(kind=Parameter.KEYWORD_ONLY, annotation=hints[name]))

    def run(**given: Any) -> None:
        arguments = {name: value for name, value in given.items() if name in hints}
        for name, config in configs.items():
            made = _made(config, given)
            arguments[name] = made() if is_dataclass(hints[name]) else made
        command(**arguments)

    run.__doc__ = command.__doc__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


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
            said = typer.Option(self.flags, metavar=metavar, help=option.help)
        else:
            said = typer.Argument(metavar=self.flags, help=option.help)
        default = Parameter.empty if default is MISSING else default
        return Parameter(self.name, Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, said])

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
