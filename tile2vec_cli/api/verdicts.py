"""A probe's verdict as a notebook has it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, repr=False)
class Verdict:
    """How well simple classifiers learn labels from vectors."""

    report: dict[str, Any]  # what `probe --json` writes
    path: Path | None = field(default=None)  # the folder of the report, if one was asked for

    @cached_property
    def scores(self) -> pandas.DataFrame:
        """A row for each kind of features, classifier and number of labels."""
        import pandas

        return pandas.DataFrame(self.report["scores"])

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.report["classes"])

    def __repr__(self) -> str:
        table = self.scores.pivot(
            index=["features", "classifier"], columns="n_labels", values="accuracy"
        ).round(3)
        return (
            f"Accuracy on held-out {self.report['split']}, {self.report['tiles_labelled']:,} labelled tiles, "
            f"{len(self.classes)} classes\n{table.to_string()}"
        )
