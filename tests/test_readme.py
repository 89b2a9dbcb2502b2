"""The README: short, with set-up commands that name what there is."""

from __future__ import annotations

from examples import ROOT, block

README = "README.md"


def test_it_is_short() -> None:
    assert len((ROOT / README).read_text().split()) <= 1500


def test_the_two_set_up_commands_name_what_there_is() -> None:
    demo, tests = block(README, "tile2vec demo"), block(README, "pytest")
    assert all("-c constraints.txt" in text and "pip install" in text for text in (demo, tests))
    assert (ROOT / "constraints.txt").exists()
