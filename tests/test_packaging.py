"""Recipes, images and the citation say what the package says of itself."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tile2vec_cli import __version__
from tile2vec_cli.job.libraries import FOR_DEVELOPERS

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RECIPE = yaml.safe_load((ROOT / "packaging/conda/recipe.yaml").read_text())
DOCKERFILE, DEFINITION = (ROOT / "packaging" / name for name in ("Dockerfile", "tile2vec.def"))
ON_CONDA = {"torch": "pytorch", "matplotlib": "matplotlib-base"}  # what goes by another name there
images = pytest.mark.parametrize("path", [DOCKERFILE, DEFINITION], ids=lambda path: path.name)


def on_conda(needs: list[str]) -> set[str]:
    """As conda spells them: "torch>=2.6" as "pytorch >=2.6"."""
    found = [re.fullmatch(r"([\w-]+)(\[[\w,]+\])?([<>=].*)?", need) for need in needs]
    assert all(found), needs
    return {f"{ON_CONDA.get(one[1], one[1])} {one[3] or ''}".strip() for one in found if one}


def test_conda_needs_what_pip_needs() -> None:
    run = RECIPE["requirements"]["run"]
    assert set(run) - {"python >=${{ python_min }}"} == on_conda(PROJECT["dependencies"])
    extras = [
        need
        for extra, needs in PROJECT["optional-dependencies"].items()
        if extra not in FOR_DEVELOPERS
        for need in needs
    ]
    assert set(RECIPE["requirements"]["run_constraints"]) == on_conda(extras)
    assert f">={RECIPE['context']['python_min']}" == PROJECT["requires-python"]


def test_conda_makes_the_same_package() -> None:
    assert RECIPE["package"]["name"] == PROJECT["name"]
    assert RECIPE["context"]["version"] == __version__
    ((name, entry),) = PROJECT["scripts"].items()
    assert RECIPE["build"]["python"]["entry_points"] == [f"{name} = {entry}"]
    assert RECIPE["about"]["license"] == PROJECT["license"]
    assert RECIPE["about"]["summary"] == PROJECT["description"]


@images
def test_images_hold_the_versions_that_are_tested(path: Path) -> None:
    text = path.read_text()
    assert re.search(r"pip install .*-c constraints\.txt .*'\.\[dask\]'", text)
    assert "BASE=python:3.12-slim" in text and "tile2vec doctor" in text


@images
def test_images_name_no_host(path: Path) -> None:
    assert not re.search(r"://|[\w-]\.(io|org|com|net|dev)\b", path.read_text())


def test_what_images_copy_is_there() -> None:
    lines = [line.split()[1:-1] for line in DOCKERFILE.read_text().splitlines() if line.startswith("COPY ")]
    files = DEFINITION.read_text().split("%files\n")[1].split("\n\n")[0].splitlines()
    lines += [line.split()[:-1] for line in files]
    named = [name for line in lines for name in line]
    assert len(named) > 10
    assert all((ROOT / name).exists() for name in named)
    assert {"constraints.txt", "tile2vec_cli", "sample_data"} <= set(named)


def test_the_base_of_the_docker_image_can_be_chosen() -> None:
    lines = [line for line in DOCKERFILE.read_text().splitlines() if line and not line.startswith("#")]
    assert lines[:2] == ["ARG BASE=python:3.12-slim", "FROM ${BASE}"]


def test_the_citation_names_both_papers() -> None:
    cited: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= cited.keys()
    assert cited["cff-version"] == "1.2.0"
    assert cited["version"] == __version__
    assert cited["license"] == PROJECT["license"]
    papers = {paper["doi"]: paper for paper in cited["references"]}
    assert papers.keys() == {"10.1609/aaai.v33i01.33013967", "10.3390/rs12020207"}
    assert all({"type", "title", "authors", "year"} <= paper.keys() for paper in papers.values())
    assert all(one.keys() & {"family-names", "name"} for paper in papers.values() for one in paper["authors"])
