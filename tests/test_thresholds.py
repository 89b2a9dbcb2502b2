"""Thresholds against a search over all of them."""

from __future__ import annotations

import numpy as np

from tile2vec_cli.segmentation import weak_recipes


def test_of_a_rare_class_more_is_marked_than_reaches_a_half() -> None:
    probability = np.random.default_rng(0).beta(0.5, 5, 20_000).astype(np.float32)
    found = weak_recipes.threshold_for_f1(probability)
    truth = np.random.default_rng(1).random(20_000) < probability

    def f1(threshold: float) -> float:
        marked = probability >= threshold
        return float(2 * (marked & truth).sum() / (marked.sum() + truth.sum()))

    assert found < 0.4
    assert f1(found) > f1(0.5) + 0.05
    allowed = [t for t in np.linspace(0.01, 0.99, 99) if (probability >= t).mean() <= probability.mean()]
    assert f1(found) > max(f1(threshold) for threshold in allowed) - 0.01


def test_a_half_stays_where_little_is_to_be_gained() -> None:
    probability = np.random.default_rng(0).beta(0.3, 0.3, 20_000).astype(np.float32)
    assert weak_recipes.threshold_for_f1(probability) == 0.5
    assert weak_recipes.threshold_for_f1(np.zeros(10, np.float32)) == 0.5


def test_tiles_tell_where_to_cut() -> None:
    """Pixels of tiles of the class reach 0.3 to 0.5, those of others 0.1 to 0.2."""
    random = np.random.default_rng(0)
    states = np.arange(20, dtype=np.uint8) % 2
    low, high = np.where(states, 0.3, 0.1), np.where(states, 0.5, 0.2)
    probability = random.uniform(low[:, None, None], high[:, None, None], (20, 8, 8)).astype(np.float32)
    valid = random.random((20, 8, 8)) > 0.1
    shares = weak_recipes.tile_shares(probability, valid)
    found = weak_recipes.threshold_for_tiles(shares, states)
    assert 0.2 <= found <= 0.4
    by_hand = [((p >= 0.35) & v).sum() / v.sum() for p, v in zip(probability, valid, strict=True)]
    column = int(np.argmin(np.abs(weak_recipes.CANDIDATES - 0.35)))
    assert np.allclose(shares[:, column], by_hand)


def test_invalid_pixels_have_no_share() -> None:
    shares = weak_recipes.tile_shares(np.ones((1, 2, 2), np.float32), np.zeros((1, 2, 2), bool))
    assert not shares.any()


def test_who_is_unsure_of_everything_does_not_mark_everything() -> None:
    probability = np.random.default_rng(0).uniform(0.3, 0.6, 20_000).astype(np.float32)
    found = weak_recipes.threshold_for_f1(probability)
    assert (probability >= found).mean() <= probability.mean() + 0.01
