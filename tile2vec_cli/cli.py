"""The Typer app, and the one place where errors become exit codes."""

from __future__ import annotations

import errno
import inspect
import io
import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any, cast

import typer
import typer.core
import typer.main

from tile2vec_cli import _FUNCTIONS, __version__, console
from tile2vec_cli.commands.signatures import expanded
from tile2vec_cli.errors import Interrupted, Tile2VecError
from tile2vec_cli.job import interrupts, resources, silence

_WrongUsage: type[Exception] = typer.BadParameter.__mro__[1]  # typer's UsageError, which it does not export
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}

SPELLED = {"map_scenes": "map"}  # a function called map would hide Python's own
COMMANDS = {SPELLED.get(name, name.replace("_", "-")): name for name in _FUNCTIONS}
"""The functions of the commands; each is in the file of commands/ that is named after the command."""
CONTEXT = {"help_option_names": ["-h", "--help"]}
# West of Greenwich a place begins with a minus, as an option does.
SETTINGS = {"analogy": {"ignore_unknown_options": True}}


def function(name: str) -> Callable[..., None]:
    """The function of a command."""
    module = import_module(f"tile2vec_cli.commands.{name.replace('-', '_')}")
    return cast("Callable[..., None]", getattr(module, COMMANDS[name]))


def program(name: str) -> Any:
    """A command by itself: what typer makes of its function."""
    settings = {**CONTEXT, **SETTINGS.get(name, {})}
    one = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=settings)
    one.command(name)(expanded(function(name), name))
    return typer.main.get_command(one)


class Commands(typer.core.TyperGroup):
    """All commands by name; to make them all at once would take longer than all else in `--help`."""

    def __init__(self, **told: Any) -> None:
        super().__init__(**{**told, "commands": dict.fromkeys(COMMANDS)})  # the names, for "Did you mean"

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return program(cmd_name) if cmd_name in COMMANDS else None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        docs = [(name, inspect.getdoc(function(name)) or "") for name in COMMANDS]
        with formatter.section("Commands"):
            formatter.write_dl([(name, doc.partition("\n")[0]) for name, doc in docs])


app = typer.Typer(
    name="tile2vec",
    cls=Commands,
    help="From GeoTIFFs to embeddings and maps.",
    no_args_is_help=True,
    rich_markup_mode=None,  # rich panels double the time `--help` takes
    pretty_exceptions_enable=False,
    context_settings=CONTEXT,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"tile2vec {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def _say_wrong_usage(error: Any) -> None:
    """In one line, where it is not the help that is shown for want of any argument."""
    message = error.format_message().strip()
    if message.startswith("Usage:"):
        error.show()
        return
    command = error.ctx.command_path if error.ctx else "tile2vec"
    end = "" if message.endswith((".", "?")) else "."
    console.error(f"{message}{end} See `{command} --help`.")


def _run(arguments: list[str]) -> Any:
    """Run the app. A command goes past it: for the app's own options typer loads more than for its help."""
    try:
        if not arguments or arguments[0] not in COMMANDS:
            return app(standalone_mode=False)
        name, *rest = arguments
        return program(name).main(rest, prog_name=f"tile2vec {name}", standalone_mode=False)
    except (Tile2VecError, SystemExit):
        interrupts.raise_pending()
        raise


def main() -> None:
    """Run the app; turn every error a user can cause into one line and its exit code."""
    try:
        interrupts.install()
        resources.wait_briefly()
        silence.silence_gdal()
        console.take_over_warnings()
        if isinstance(sys.stdout, io.TextIOWrapper):
            # A file's name may be no UTF-8, and JSON spells it so too.
            sys.stdout.reconfigure(errors="backslashreplace")
        code = _run(sys.argv[1:]) or 0
        sys.stdout.flush()
        sys.exit(code)
    except Tile2VecError as error:
        console.error(str(error))
        sys.exit(error.exit_code)
    except _WrongUsage as error:
        _say_wrong_usage(error)
        sys.exit(2)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            console.error(f"{error.filename}: too long for the name of a file. Use a shorter one.")
            sys.exit(2)
        if error.errno not in _NO_ROOM:
            raise
        what = error.filename or "stdout"
        console.error(f"{what}: cannot be written ({error.strerror}). Make room, then run the same command.")
        os._exit(73)  # Python would flush, and fail, once more
    except (Interrupted, KeyboardInterrupt, typer.Abort) as stop:
        code = getattr(stop, "exit_code", 130)
        console.error("stopped on a signal; what was finished is kept. Run the same command to go on.")
        # Threads still reading a scene must not keep a job alive past its grace time.
        os._exit(code)
    finally:
        interrupts.leave()
