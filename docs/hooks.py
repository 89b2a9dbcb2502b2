"""Takes files from outside docs/ into the site: one link to them serves in the repository and in the site."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = {
    "index.md": "README.md",
    "results.md": "benchmarks/RESULTS.md",
    "scale.md": "benchmarks/SCALE.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "security.md": "SECURITY.md",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for name, path in OUTSIDE.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    homes = {file.src_uri: ROOT / OUTSIDE.get(file.src_uri, f"docs/{file.src_uri}") for file in files}
    names = {home: name for name, home in homes.items()}
    here = homes[page.file.src_uri].parent

    def link(found: re.Match[str]) -> str:
        target = (here / found[1]).resolve()
        return f"]({names.get(target, found[1])}"

    return re.sub(r"\]\(([^)#:\s]+)", link, markdown)
