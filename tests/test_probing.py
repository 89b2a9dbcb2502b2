"""The probe: what it may learn from, and that it is not flattered."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely

from tile2vec_cli.config.pipeline import CLASSIFIER_NAMES, ProbeConfig
from tile2vec_cli.embedding.embeddings import Embeddings
from tile2vec_cli.errors import DataError, Interrupted
from tile2vec_cli.evaluation import classifiers, probing, splits
from tile2vec_cli.geo import outlines
from tile2vec_cli.geo.grid import spatial_blocks
from tile2vec_cli.labelling.labels import Labels

QUICK = ProbeConfig(classifiers=("logistic",), n_labels=(50, 200), repeats=3, block_m=500)


def grid(side: int = 30, dates: int = 1, step: float = 100) -> np.ndarray:
    """(dates × side²,) footprints of 100 m in lon/lat."""
    boxes = [
        shapely.box(
            500_000 + col * step, 4_400_000 - row * step, 500_100 + col * step, 4_400_100 - row * step
        )
        for row in range(side)
        for col in range(side)
    ]
    return np.tile(geopandas.GeoSeries(boxes, crs="EPSG:32614").to_crs("OGC:CRS84").to_numpy(), dates)


def embeddings(vectors: np.ndarray, geometry: np.ndarray) -> Embeddings:
    ids = np.array([f"scene/{k}/0" for k in range(len(vectors))], dtype=object)
    return Embeddings.of(vectors, geometry, tile_id=ids)


def labels(codes: np.ndarray, names: tuple[str, ...] = ("a", "b", "c")) -> Labels:
    return Labels(codes.astype(np.int32), names, "raster")


def task(count: int, classes: int = 3, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """(N, 8) vectors that tell (N,) classes, wherever they lie."""
    random = np.random.default_rng(0)
    codes = random.integers(0, classes, count)
    return np.eye(8)[codes] * 3 + random.normal(size=(count, 8)) * noise, codes


def accuracy(found: Any, **wanted: Any) -> float:
    return float(next(s.accuracy for s in found.scores if all(getattr(s, k) == v for k, v in wanted.items())))


def test_features_that_tell_classes_score_high_on_either_split() -> None:
    vectors, codes = task(900, noise=0.5)
    found = probing.probe(embeddings(vectors, grid()), labels(codes), QUICK)
    assert [(s.features, s.classifier, s.n_labels, s.repeats) for s in found.scores] == [
        ("embeddings", "logistic", 50, 3),
        ("embeddings", "logistic", 200, 3),
    ]
    assert all(s.accuracy > 0.95 and s.random_split > 0.95 for s in found.scores)
    assert found.classes == ("a", "b", "c")
    assert found.tiles_labelled == found.tiles_used == 900


def place_codes(geometry: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features that know only the block, and classes that change from block to block."""
    random = np.random.default_rng(0)
    numbers, place = np.unique(spatial_blocks(outlines.centres(geometry), 500), return_inverse=True)
    codes = random.permutation(np.arange(len(numbers)) % 2)[place]
    return random.normal(size=(len(numbers), 64))[place] + 0.01 * random.normal(size=(900, 64)), codes


def test_features_that_know_places_are_only_flattered_by_a_random_split() -> None:
    geometry = grid()
    vectors, codes = place_codes(geometry)
    found = probing.probe(embeddings(vectors, geometry), labels(codes, ("a", "b")), replace(QUICK, repeats=8))
    assert accuracy(found, n_labels=200) < 0.7
    assert next(s.random_split for s in found.scores if s.n_labels == 200) > 0.9
    found = probing.probe(
        embeddings(vectors, geometry), labels(codes, ("a", "b")), replace(QUICK, split="random")
    )
    assert accuracy(found, n_labels=200) > 0.9
    assert found.split == "random"
    assert found.scores[0].random_split is None


@pytest.mark.parametrize("step", [100, 40])
def test_dates_and_overlaps_of_a_place_never_help(step: float) -> None:
    """Each place has a class drawn for itself, and vectors that name the place: nothing can be learned."""
    random = np.random.default_rng(0)
    codes = np.tile(random.integers(0, 2, 400), 3)
    vectors = np.tile(random.normal(size=(400, 30)), (3, 1)) + random.normal(size=(1200, 30)) * 0.05
    geometry = grid(20, dates=3, step=step)
    config = replace(QUICK, classifiers=("knn",), n_labels=(1000,), repeats=6, block_m=200)
    found = probing.probe(embeddings(vectors, geometry), labels(codes, ("a", "b")), config)
    assert 0.4 < found.scores[0].accuracy < 0.6
    assert found.scores[0].random_split > 0.68


def test_more_labels_than_there_are_count_once_with_their_real_number() -> None:
    vectors, codes = task(900)
    config = replace(QUICK, n_labels=(100, 5000, 10000), test_fraction=0.3)
    found = probing.probe(embeddings(vectors, grid()), labels(codes), config)
    assert found.scores[0].n_labels == 100
    assert len(found.scores) == 2
    assert 500 < found.scores[1].n_labels < 700
    assert found.train_tiles >= found.scores[1].n_labels


def test_classes_of_too_few_tiles_or_one_block_are_dropped_by_name() -> None:
    vectors, codes = task(900)
    row, col = np.divmod(np.arange(900), 30)
    codes[:6] = 3
    codes[(row > 26) & (col > 26)] = 4
    codes[100:110] = -1
    names = ("a", "b", "c", "rare", "one place", "unused")
    found = probing.probe(embeddings(vectors, grid()), labels(codes, names), replace(QUICK, block_m=3000))
    assert found.classes == ("a", "b", "c")
    assert found.dropped_classes == {"rare": "6 tiles, fewer than 7", "one place": "all 9 tiles in one block"}
    assert found.tiles_labelled == 890
    assert found.tiles_used == 890 - 15


def test_one_class_is_too_few() -> None:
    vectors, codes = task(900)
    with pytest.raises(DataError, match=r"900 of 900 tiles have a label, and class a is left .rare: 2 tiles"):
        found = np.zeros(900)
        found[:2] = 1
        probing.probe(embeddings(vectors, grid()), labels(found, ("a", "rare")), QUICK)
    with pytest.raises(DataError, match="0 of 900 tiles have a label, and no class is left; two are needed"):
        probing.probe(embeddings(vectors, grid()), labels(np.full(900, -1)), QUICK)
    with pytest.raises(DataError, match=r"make --block smaller .100000 m."):
        probing.probe(embeddings(vectors, grid()), labels(codes), replace(QUICK, block_m=100_000))


def test_blocks_are_twenty_tiles_wide_unless_said_otherwise() -> None:
    vectors, codes = task(900)
    own = embeddings(vectors, grid())
    assert splits.choose_task(own, labels(codes), replace(QUICK, block_m=None)).block_m == pytest.approx(
        2000, rel=0.01
    )
    points = embeddings(vectors, shapely.centroid(own.geometry))
    assert splits.choose_task(points, labels(codes), replace(QUICK, block_m=None)).block_m == 1000


def by_region(wanted: ProbeConfig, regions: np.ndarray, codes: np.ndarray, vectors: np.ndarray) -> Any:
    places = Labels(regions, ("east", "west", "far away"), "table")
    config = replace(wanted, split="region", region_field="state")
    return probing.probe(embeddings(vectors, grid()), labels(codes), config, regions=places)


def test_whole_regions_are_tested_and_none_of_them_is_learned_from() -> None:
    """What tells classes within a region says the opposite in the other one: at home all is right,
    elsewhere all is wrong."""
    regions = (np.arange(900) % 30 > 14).astype(np.int32)
    regions[:30] = -1
    random = np.random.default_rng(0)
    codes = random.integers(2, size=900).astype(np.int32)
    vectors = np.column_stack([np.where(regions == 1, 1 - codes, codes), random.normal(size=900)])
    found = by_region(QUICK, regions, codes, vectors.astype(np.float32))
    assert found.scores[0].accuracy < 0.05
    assert found.scores[0].random_split > 0.4
    assert found.regions["field"] == "state" and found.regions["names"] == ["east", "west"]
    assert {tuple(names) for names in found.regions["tested"]} <= {("east",), ("west",)}
    assert (found.split, found.blocks, found.tiles_used) == ("region", None, 870)
    assert found.test_tiles + found.train_tiles == 870
    assert "regions" in found.report()
    assert "regions" not in probing.probe(embeddings(vectors, grid()), labels(codes), QUICK).report()


def test_regions_and_classes_have_to_meet() -> None:
    vectors, codes = task(900)
    regions = np.zeros(900, np.int32)
    with pytest.raises(DataError, match="--region-field state: 1 of its regions hold labelled tiles; two"):
        by_region(QUICK, regions, codes, vectors)
    regions[450:] = 1
    codes[codes == 2] = 0
    codes[:300] = np.where(codes[:300] == 0, 2, codes[:300])
    codes[300:] = np.where(codes[300:] == 2, 0, codes[300:])
    found = by_region(QUICK, regions, codes, vectors)
    assert list(found.dropped_classes) == ["c"]
    assert found.dropped_classes["c"].endswith("tiles in one region")


def test_the_confusion_matrix_is_of_the_best_classifier_with_most_labels() -> None:
    vectors, codes = task(900, noise=2)
    config = replace(QUICK, classifiers=("logistic", "knn"))
    found = probing.probe(embeddings(vectors, grid()), labels(codes), config)
    best = max((s for s in found.scores if s.n_labels == 200), key=lambda s: s.accuracy)
    assert found.confusion_of == {"features": "embeddings", "classifier": best.classifier, "n_labels": 200}
    assert np.diag(found.confusion).sum() / found.confusion.sum() == pytest.approx(best.accuracy, abs=0.01)
    assert found.confusion.sum() == pytest.approx(3 * found.test_tiles, abs=3)


def test_progress_is_told() -> None:
    vectors, codes = task(900)
    told: list[tuple[int, int]] = []
    probing.probe(
        embeddings(vectors, grid()), labels(codes), QUICK, on_progress=lambda *done: told.append(done)
    )
    assert told == [(k, 12) for k in range(1, 13)]


def test_the_seed_decides_and_the_number_of_processes_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, codes = task(900, noise=2)
    config = replace(QUICK, classifiers=CLASSIFIER_NAMES, n_labels=(50,), repeats=1)
    own = embeddings(vectors, grid())
    reports = []
    for cpus, seed in ((1, 0), (3, 0), (3, 1)):
        monkeypatch.setattr(classifiers, "usable_cpus", lambda cpus=cpus: cpus)
        reports.append(probing.probe(own, labels(codes), replace(config, seed=seed)).report())
    assert reports[0] == reports[1]
    assert reports[0]["scores"] != reports[2]["scores"]


def test_a_signal_ends_it_without_the_fits_that_were_to_come() -> None:
    vectors, codes = task(900)

    def stop(done: int, _total: int) -> None:
        if done == 2:
            raise Interrupted

    config = replace(QUICK, classifiers=("forest",), repeats=200)
    started = time.monotonic()
    with pytest.raises(Interrupted):
        probing.probe(embeddings(vectors, grid()), labels(codes), config, on_progress=stop)
    assert time.monotonic() - started < 8  # 400 forests take longer
