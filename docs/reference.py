"""Writes docs/commands.md, the reference of all commands, from the commands themselves.

python docs/reference.py
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

from tile2vec_cli.cli import COMMANDS, program

PAGE = Path(__file__).with_name("commands.md")
HEAD = """# All commands

<!-- Written by `python docs/reference.py` from the commands. Change their help, then run it again. -->

`tile2vec COMMAND --help` shows the same in a terminal. See also [how every command behaves](behaviour.md)
and [what the files hold](files.md).
"""


def page() -> str:
    """The whole reference as Markdown."""
    programs = {name: program(name) for name in COMMANDS}
    rows = [f"| [`{name}`](#{name}) | {escaped(summary(one))} |" for name, one in programs.items()]
    table = "\n".join(["| command | what it does |", "|---|---|", *rows])
    return "\n".join([HEAD, table + "\n", *(section(name, one) for name, one in programs.items())])


def summary(command: Any) -> str:
    return " ".join(inspect.cleandoc(command.help).partition("\n\n")[0].split())


def section(name: str, command: Any) -> str:
    """A command: what it does, an example, its arguments and options."""
    context = command.context_class(command, info_name=f"tile2vec {name}")
    text, _, example = inspect.cleandoc(command.help).partition("Example: ")
    records = [(one.param_type_name, one.get_help_record(context)) for one in command.get_params(context)]
    lines = [f"## {name}\n", escaped(text.strip()) + "\n", f"```sh\n{' '.join(example.split())}\n```\n"]
    for kind, title in (("argument", "Arguments"), ("option", "Options")):
        found = [record for of, record in records if of == kind and record and record[0] != "--help"]
        lines += [f"**{title}**\n", *map(item, found), ""] if found else []
    return "\n".join(lines)


def item(record: Any) -> str:
    """An option with its default, or an argument, as an item of a list."""
    flags, text = record
    text, required = re.subn(r" *\[required\]$", "", text)
    text = re.sub(r" *\[default: (.*)\]$", r" Default: \1.", text)
    is_required = " *Required.*" if required else ""
    return f"- `{flags}`: {escaped(text.strip())}{is_required}"


def escaped(text: str) -> str:
    """Markdown that shows a plain text, in which only `code` is markup."""
    pieces = re.split(r"(`[^`\n]*`)", text)
    return "".join(one if one.startswith("`") else re.sub(r"([\\<>*\[\]])", r"\\\1", one) for one in pieces)


if __name__ == "__main__":
    PAGE.write_text(page())
