"""The Typer app, and the one place where errors become exit codes."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from tile2vec_cli import __version__, console
from tile2vec_cli.commands.analogy import analogy
from tile2vec_cli.commands.change import change
from tile2vec_cli.commands.check import check
from tile2vec_cli.commands.classify import classify
from tile2vec_cli.commands.compare import compare
from tile2vec_cli.commands.demo import demo
from tile2vec_cli.commands.embed import embed
from tile2vec_cli.commands.inspect import inspect
from tile2vec_cli.commands.map import map_scenes
from tile2vec_cli.commands.preview import preview
from tile2vec_cli.commands.probe import probe
from tile2vec_cli.commands.sample_triplets import sample_triplets
from tile2vec_cli.commands.similar import similar
from tile2vec_cli.commands.tile import tile
from tile2vec_cli.commands.train import train
from tile2vec_cli.commands.weak_segment import weak_segment
from tile2vec_cli.errors import Interrupted, Tile2VecError
from tile2vec_cli.job import interrupts

_WrongUsage: type[Exception] = typer.BadParameter.__mro__[1]  # typer's UsageError, which it does not export
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}

app = typer.Typer(
    name="tile2vec",
    help="From GeoTIFFs to embeddings and maps.",
    no_args_is_help=True,
    rich_markup_mode=None,  # rich panels double the time `--help` takes
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

NAMES: dict[Callable[..., None], str] = {map_scenes: "map"}  # a function called map would hide Python's own
# West of Greenwich a place begins with a minus, as an option does.
SETTINGS: dict[Callable[..., None], dict[str, bool]] = {analogy: {"ignore_unknown_options": True}}
for command in (
    tile,
    sample_triplets,
    train,
    embed,
    probe,
    compare,
    similar,
    preview,
    analogy,
    change,
    inspect,
    classify,
    weak_segment,
    map_scenes,
    check,
    demo,
):
    app.command(NAMES.get(command), context_settings=SETTINGS.get(command))(command)


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


def main() -> None:
    """Run the app; turn every error a user can cause into one line and its exit code."""
    interrupts.install()
    console.take_over_warnings()
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file's name may be no UTF-8, and JSON spells it so too
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = app(standalone_mode=False) or 0
        sys.stdout.flush()
        sys.exit(code)
    except Tile2VecError as error:
        console.error(str(error))
        sys.exit(error.exit_code)
    except _WrongUsage as error:
        _say_wrong_usage(error)
        sys.exit(2)
    except OSError as error:
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
