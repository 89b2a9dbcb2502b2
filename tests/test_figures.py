"""The pictures: readable whatever they show."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from tile2vec_cli import figures


def points(*n_labels: int, claims: bool = True) -> np.ndarray:
    accuracy = np.linspace(0.5, 0.8, len(n_labels))
    by_chance = accuracy + 0.1 if claims else np.full(len(n_labels), np.nan)
    return np.stack([np.array(n_labels), accuracy, np.full(len(n_labels), 0.02), by_chance], axis=1)


@pytest.mark.parametrize(
    "classifiers", [("forest",), ("logistic", "forest"), ("logistic", "forest", "mlp", "knn")]
)
@pytest.mark.parametrize("n_labels", [(100,), (100, 1000, 5873)])
def test_curves(tmp_path: Path, classifiers: tuple[str, ...], n_labels: tuple[int, ...]) -> None:
    lines = [("embeddings", points(*n_labels)), ("stats", points(*n_labels, claims=False))]
    figures.curves(tmp_path / "curve.png", dict.fromkeys(classifiers, lines), 0.3, 10)
    picture = matplotlib.image.imread(tmp_path / "curve.png")
    blue = (np.abs(picture[..., :3] - np.array([0, 0x72, 0xB2]) / 255) < 0.02).all(axis=-1)
    assert blue.sum() > 100 * len(classifiers)
    assert 900 < picture.shape[1] < 2200


def test_what_stands_beside_has_colours_of_its_own(tmp_path: Path) -> None:
    lines = [("embeddings", points(100, 1000)), ("theirs", points(100, 1000)), ("rcf", points(100, 1000))]
    lines.append(("others", points(100, 1000)))
    figures.curves(tmp_path / "curve.png", {"logistic": lines}, 0.3, 10)
    picture = matplotlib.image.imread(tmp_path / "curve.png")[..., :3]
    for colour in ("#0072B2", "#999999", "#56B4E9", "#E69F00"):
        own = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
        assert (np.abs(picture - own) < 0.02).all(axis=-1).sum() > 50


@pytest.mark.parametrize("classes", [2, 6, 15, 16, 60])
def test_confusion_fits_a_page_and_has_a_cell_for_each_pair(tmp_path: Path, classes: int) -> None:
    matrix = np.eye(classes, dtype=np.int64) * 7
    matrix[0, 1] = 7
    names = [f"class number {k}" for k in range(classes)]
    figures.confusion(tmp_path / "confusion.png", matrix, names)
    picture = matplotlib.image.imread(tmp_path / "confusion.png")
    height, width = np.array(picture.shape[:2]) / 300
    assert width < 8.3
    assert height < 8.3
    dark = (picture[..., :3].max(axis=-1) < 0.5) & (picture[..., 2] > picture[..., 0] + 0.2)
    assert dark.sum() > 100  # the diagonal is there, in blue


def test_a_class_never_asked_for_is_no_division_by_zero(tmp_path: Path) -> None:
    figures.confusion(tmp_path / "confusion.png", np.array([[3, 1], [0, 0]]), ["a", "b"])
    assert (tmp_path / "confusion.png").stat().st_size > 0


@pytest.mark.parametrize(
    ("suffix", "first"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF"), (".PNG", b"\x89PNG")]
)
def test_the_same_picture_every_time_as_the_suffix_says(tmp_path: Path, suffix: str, first: bytes) -> None:
    files = [tmp_path / f"one{suffix}", tmp_path / f"other{suffix}"]
    for file in files:
        figures.curves(file, {"forest": [("embeddings", points(10, 20))]}, 0.3, 10)
    one, other = (file.read_bytes() for file in files)
    assert one.startswith(first)
    assert one == other
