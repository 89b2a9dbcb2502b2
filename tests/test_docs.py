"""The documentation builds, and says what is there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from examples import PAGES, ROOT, blocks

from tile2vec_cli.cli import COMMANDS, program
from tile2vec_cli.config.objectives import OBJECTIVES


def test_the_site_builds_strictly(tmp_path: Path) -> None:
    """Without a warning: no link, picture, anchor or page is missing."""
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(build, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "From GeoTIFFs" in (tmp_path / "index.html").read_text()


def test_the_reference_of_commands_is_what_they_say() -> None:
    spec = spec_from_file_location("reference", ROOT / "docs" / "reference.py")
    assert spec is not None and spec.loader is not None
    reference = module_from_spec(spec)
    spec.loader.exec_module(reference)
    assert reference.PAGE.read_text() == reference.page(), "python docs/reference.py writes it again"


def command_lines(page: str) -> Iterator[list[str]]:
    """The calls of `tile2vec` in a page's examples: name and arguments."""
    for line in "".join(blocks(page)).replace("\\\n", " ").splitlines():
        if "tile2vec" not in line or line.startswith(("#", "15 ", "    ")):
            continue
        words = shlex.split(line, comments=True)
        starts = [k for k, word in enumerate(words) if word == "tile2vec" or word.endswith("/tile2vec")]
        for start in starts:
            rest = words[start + 1 :]
            yield rest[: rest.index("&&")] if "&&" in rest else rest


@pytest.mark.parametrize("page", PAGES)
def test_every_command_line_is_one_that_commands_take(page: str) -> None:
    for name, *arguments in command_lines(page):
        assert name in COMMANDS, f"{page}: tile2vec {name}"
        program(name).make_context(name, arguments)  # raises typer's UsageError


def test_every_command_has_an_example_in_the_reference() -> None:
    found = {name for name, *_ in command_lines("docs/commands.md")}
    assert found == set(COMMANDS), "a docstring's example, then python docs/reference.py"


def test_the_map_names_every_module_and_no_other() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    folder, named = "", set()
    for line in text[text.index("\ntile2vec_cli/") :].partition("```")[0].splitlines():
        if start := re.match(r"  (\w+)(/?)", line):
            folder = start[1] if start[2] else ""
        named |= {(folder, name) for name in re.findall(r"\w+\.py", line)}
    package = ROOT / "tile2vec_cli"
    files = [path for path in package.rglob("*.py") if not path.name.startswith("__")]
    there = {(path.parent.name if path.parent != package else "", path.name) for path in files}
    assert named == there, "CONTRIBUTING.md's map"


def test_every_objective_is_explained() -> None:
    text = (ROOT / "docs" / "learning.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == set(OBJECTIVES)
