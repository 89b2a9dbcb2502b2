"""The council of classifiers: who is heard, and that nobody judges himself."""

from __future__ import annotations

import fields
import numpy as np
import pytest

from tile2vec_cli.neural.batches import Standardise, normalisation
from tile2vec_cli.segmentation import teachers
from tile2vec_cli.segmentation.teachers import UNKNOWN, Pixels
from tile2vec_cli.tiling.tiles import TileSet


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> TileSet:
    folder = tmp_path_factory.mktemp("land")
    fields.make(folder)
    return fields.tile_set(folder)


def standardise(tiles: TileSet) -> Standardise:
    return Standardise(*normalisation(tiles, np.arange(len(tiles))))


def made_up(context_helps: bool, count: int = 120) -> Pixels:
    """Two bands without a clue; the context features tell the state, or do not either."""
    random = np.random.default_rng(0)
    states = (np.arange(count) % 2).astype(np.uint8)
    features = random.standard_normal((count, 10)).astype(np.float32)
    features[:, 2 if context_helps else 0] += 3 * states
    return Pixels(features, states, np.arange(count), bands=2)


@pytest.mark.parametrize("context_helps", [True, False])
def test_those_who_see_what_matters_are_heard(context_helps: bool) -> None:
    pixels = made_up(context_helps)
    council = teachers.convene(pixels, blocks=np.arange(120) // 4, seed=0)
    assert abs(sum(council.weights.values()) - 1) < 1e-9
    with_context = sum(weight for name, weight in council.weights.items() if name.endswith("context"))
    assert with_context > 0.9 if context_helps else with_context < 0.7
    probability = council.probability(pixels.features, cpus=1)
    assert ((probability > 0.5) == pixels.states).mean() > 0.9


def test_a_label_is_judged_by_those_who_have_not_seen_its_block() -> None:
    """Each block has a state of its own and a feature that gives the block away: no help elsewhere."""
    blocks = np.arange(100) // 5
    states = (np.random.default_rng(0).random(20) > 0.5).astype(np.uint8)[blocks]
    features = np.repeat(np.random.default_rng(1).standard_normal((20, 2)), 5, axis=0).astype(np.float32)
    pixels = Pixels(features, states, np.arange(100), bands=2)
    unseen = teachers._unseen("forest", pixels, teachers._folds(blocks, 0), 0)
    assert ((unseen > 0.5) == states).mean() < 0.75
    shuffled = teachers._unseen("forest", pixels, np.arange(100) % 5, 0)
    assert ((shuffled > 0.5) == states).mean() > 0.9  # the trap


def test_folds_keep_blocks_whole() -> None:
    blocks = np.random.default_rng(0).integers(0, 23, 200)
    folds = teachers._folds(blocks, 1)
    assert all(len(np.unique(folds[blocks == block])) == 1 for block in np.unique(blocks))
    assert len(np.unique(folds)) == 5


def test_features_are_of_the_labelled_pixels(tiles: TileSet) -> None:
    states = np.full((6, 16, 16), UNKNOWN, np.uint8)
    states[np.arange(6), 3, np.arange(6)] = np.arange(6) % 2
    ids = np.array([50, 3, 20, 100, 77, 60])
    own = standardise(tiles)
    pixels = teachers.labelled_pixels(tiles, ids, states, own, np.random.default_rng())
    assert pixels.features.shape == (6, 3 * 5)
    raw = tiles.pixels(ids)[np.arange(6), :, 3, np.arange(6)]
    expected = (raw - own.mean.flatten().numpy()) / own.std.flatten().numpy()
    assert np.allclose(pixels.features[:, :3], expected, atol=1e-4)
    assert np.array_equal(pixels.states, np.arange(6) % 2)


def test_soft_labels_near_the_truth(tiles: TileSet) -> None:
    whole = fields.truth()
    index = tiles.table()
    corners = zip(index["row"].to_pylist(), index["col"].to_pylist(), strict=True)
    truth = np.stack([whole[r : r + 16, c : c + 16] for r, c in corners])
    random = np.random.default_rng(0)
    ids = random.permutation(len(tiles))
    states = np.full((60, 16, 16), UNKNOWN, np.uint8)
    states[np.arange(60), 8, 8] = truth[ids[:60], 8, 8]
    pixels = teachers.labelled_pixels(tiles, ids[:60], states, standardise(tiles), random)
    council = teachers.convene(pixels, np.arange(60) // 3, 0)
    soft = teachers.soft_labels(council, tiles, ids, standardise(tiles), cpus=2)
    valid = tiles.valid(ids)
    assert ((soft > 0.5) == truth[ids])[valid].mean() > 0.85
