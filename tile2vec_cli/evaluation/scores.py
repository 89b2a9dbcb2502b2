"""What a probe finds: scores, and how they came about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tile2vec_cli.geo.grid import Ints

NETWORK = "linear"  # the classifier of an encoder that is trained along with it: a layer on its vectors


@dataclass(frozen=True)
class Score:
    """One classifier on one kind of features with so many labels: means over the repeats."""

    features: str
    classifier: str
    n_labels: int
    accuracy: float
    std: float  # deviation of the accuracy from repeat to repeat
    balanced_accuracy: float  # mean recall of the classes asked for
    macro_f1: float  # mean F1 of the classes asked for or answered
    repeats: int
    accuracies: tuple[float, ...]  # of each repeat; the same splits and labels for all features
    random_split: float | None  # the accuracy a random split would have claimed; None: it was not asked

    @classmethod
    def of(
        cls, features: str, classifier: str, n_labels: int, matrices: Sequence[Ints], claimed: Sequence[Ints]
    ) -> Score:
        """From a confusion matrix for each repeat, and for each of the random splits beside them."""
        each = np.array([of_confusion(matrix) for matrix in matrices])
        accuracy, balanced, f1 = each.mean(axis=0).tolist()
        return cls(
            features=features,
            classifier=classifier,
            n_labels=n_labels,
            accuracy=accuracy,
            std=float(each[:, 0].std()),
            balanced_accuracy=balanced,
            macro_f1=f1,
            repeats=len(matrices),
            accuracies=tuple(each[:, 0].tolist()),
            random_split=mean_accuracy(claimed) if claimed else None,
        )


@dataclass(frozen=True)
class Verdict:
    """Scores, and how they came about."""

    scores: tuple[Score, ...]
    classes: tuple[str, ...]
    tiles_labelled: int  # all that got a label; those of dropped classes too
    tiles_used: int
    labels: str  # "raster", "polygons", "points" or "table"
    left_out: dict[str, int]  # tiles without a label, by reason
    label_rasters: dict[str, int]  # see LabelRasters.found
    dropped_classes: dict[str, str]  # name -> why
    split: str  # "blocks", "random" or "region"
    block_m: float | None
    blocks: int | None
    regions: dict[str, Any] | None  # their field and names, and those tested in each repeat
    test_fraction: float
    test_tiles: int  # mean over the repeats
    train_tiles: int
    majority_class: float  # accuracy of always answering the commonest class
    confusion_of: dict[str, Any]  # features, classifier, n_labels
    end_to_end: dict[str, Any] | None  # what each network was given: minutes, and how many of the repeats
    beside: dict[str, Any] | None  # how tiles were matched, by name, and how many were not
    confusion: Ints = field(repr=False)  # (K, K) truth in rows, predictions in columns, summed over repeats

    def report(self) -> dict[str, Any]:
        """As JSON, without the matrix, numbers to four digits."""
        found = asdict(self)
        del found["confusion"]
        for name in ("regions", "beside"):
            if found[name] is None:
                del found[name]
        if not self.label_rasters:
            del found["label_rasters"]
        return dict(rounded(found))


def confusion(truth: NDArray[np.int32], predicted: NDArray[np.int32], classes: int) -> Ints:
    """(K, K) counts, truth in rows."""
    cells = truth.astype(np.int64) * classes + predicted
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def of_confusion(matrix: Ints) -> tuple[float, float, float]:
    """(accuracy, balanced accuracy, macro F1) of a (K, K) confusion matrix, truth in rows.

    Balanced accuracy is over the classes that occur in truth, F1 over those in truth or prediction,
    as in scikit-learn.
    """
    right = np.diag(matrix).astype(np.float64)
    truth, predicted = matrix.sum(axis=1), matrix.sum(axis=0)
    recall = right[truth > 0] / truth[truth > 0]
    either = truth + predicted
    f1 = 2 * right[either > 0] / either[either > 0]
    return float(right.sum() / matrix.sum()), float(recall.mean()), float(f1.mean())


def mean_accuracy(matrices: Sequence[Ints]) -> float:
    return float(np.mean([of_confusion(matrix)[0] for matrix in matrices]))


def rounded(value: Any) -> Any:
    """As JSON, all numbers in it to four digits."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return value
