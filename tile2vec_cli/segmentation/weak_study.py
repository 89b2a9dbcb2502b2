"""The trainings of one study, over kinds of labels, numbers of them and draws, and their summary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tile2vec_cli.config.weak import WeakConfig
from tile2vec_cli.segmentation.weak_draws import Outcome

Result = dict[str, Any]


@dataclass(frozen=True)
class Unit:
    """One training."""

    supervision: str
    count: int | None  # labelled tiles; None: all
    repeat: int

    @property
    def name(self) -> str:
        return f"{self.supervision}-{self.count or 'all'}-{self.repeat}"


def units(config: WeakConfig) -> list[Unit]:
    """All trainings; the last is the one whose model is kept.

    It is of the supervision named first, the most labels and the first draw.
    """
    counts = sorted(config.n_labels, key=lambda count: (count is None, count))
    return [
        Unit(supervision, count, repeat)
        for supervision in reversed(config.supervision)
        for count in counts
        for repeat in reversed(range(config.repeats))
    ]


def result(unit: Unit, outcome: Outcome) -> Result:
    """What is kept of a training, as JSON."""
    return {
        "supervision": unit.supervision,
        "n_labels": outcome.train_tiles,
        "repeat": unit.repeat,
        "labels_used": outcome.labels_used,
        "train_tiles": outcome.train_tiles,
        "test_tiles": outcome.test_tiles,
        "threshold": round(float(outcome.learned.segmenter.threshold), 4),
        "teachers": {name: round(weight, 4) for name, weight in outcome.learned.weights.items()},
        "test": outcome.test,
        "baselines": outcome.baselines,
    }


def report(results: Mapping[Unit, Result], config: WeakConfig) -> dict[str, Any]:
    """The report's keys: of the kept model, then of all its draws, then of the whole study."""
    kept = units(config)[-1]
    own = results[kept]
    names = ("supervision", "labels_used", "train_tiles", "test_tiles", "threshold", "teachers", "test")
    keys: dict[str, Any] = {"recipe": config.recipe, **{name: own[name] for name in names}}
    if not keys["teachers"]:
        del keys["teachers"]
    if config.compare:
        keys["baselines"] = own["baselines"]
    if config.repeats > 1:
        draws = _draws(results, kept.supervision, kept.count)
        shown = ("repeat", "labels_used", "train_tiles", "test_tiles", "threshold", "test", "baselines")
        keys["repeats"] = [{name: draw[name] for name in shown} for draw in draws]
        keys["summary"] = summary(draws)
    if len(config.n_labels) > 1 or len(config.supervision) > 1:
        keys["curve"] = [
            {
                "supervision": supervision,
                "n_labels": round(float(np.mean([draw["train_tiles"] for draw in draws]))),
                "repeats": len(draws),
                **summary(draws),
            }
            for supervision in config.supervision
            for count in dict.fromkeys(unit.count for unit in units(config))
            for draws in [_draws(results, supervision, count)]
        ]
    return keys


def summary(draws: Sequence[Result]) -> dict[str, Any]:
    """Mean and deviation of each score, of the network and of its rivals, and how often it won by F1."""
    rivals = draws[0]["baselines"]
    tested = [draw["test"] for draw in draws if draw["test"] is not None]
    return {
        "labels_used": round(float(np.mean([draw["labels_used"] for draw in draws]))),
        "test": _spread(tested) if tested else None,
        "baselines": {name: _spread([draw["baselines"][name] for draw in draws]) for name in rivals},
        "wins": {
            name: sum(draw["test"]["f1"] > draw["baselines"][name]["f1"] for draw in draws) for name in rivals
        },
    }


def _draws(results: Mapping[Unit, Result], supervision: str, count: int | None) -> list[Result]:
    own = [unit for unit in results if (unit.supervision, unit.count) == (supervision, count)]
    return [results[unit] for unit in sorted(own, key=lambda unit: unit.repeat)]


def _spread(scores: Iterable[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    rows = list(scores)
    return {
        name: {
            "mean": round(float(np.mean([row[name] for row in rows])), 6),
            "std": round(float(np.std([row[name] for row in rows])), 6),
        }
        for name in rows[0]
    }
