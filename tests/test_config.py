from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from tile2vec_cli.config import pipeline, rules
from tile2vec_cli.config.pipeline import EmbedConfig, ProbeConfig, TileConfig, TripletConfig
from tile2vec_cli.config.training import TrainConfig
from tile2vec_cli.errors import UsageError


@pytest.mark.parametrize(
    "make",
    [
        lambda: TileConfig(size=1),
        lambda: TileConfig(bands=(0,)),
        lambda: TileConfig(min_valid=float("nan")),
        lambda: TripletConfig(count=0),
        lambda: TripletConfig(neighborhood_m=0),
        lambda: TripletConfig(neighborhood_m=float("inf")),
        lambda: TripletConfig(distant_min_m=100, distant_max_m=50),
        lambda: TripletConfig(neighbors="some"),
        lambda: TrainConfig(margin=float("nan")),
        lambda: TrainConfig(margin=0),
        lambda: TrainConfig(encoder="vgg"),
        lambda: TrainConfig(dim=100_000),
        lambda: TrainConfig(seed=2**31),
        lambda: ProbeConfig(seed=2**31),
        lambda: TrainConfig(val_fraction=1),
        lambda: TrainConfig(lr=-1),
        lambda: TrainConfig(batch_size=1),
        lambda: TrainConfig(seed=-1),
        lambda: EmbedConfig(dtype="float64"),
        lambda: EmbedConfig(device="tpu"),
        lambda: ProbeConfig(n_labels=(0,)),
        lambda: ProbeConfig(classifiers=("svm",)),
        lambda: ProbeConfig(test_fraction=0),
        lambda: ProbeConfig(block_m=-5),
    ],
)
def test_a_setting_that_no_run_could_use(make: Callable[[], Any]) -> None:
    with pytest.raises(UsageError, match=r"^--[a-z]"):
        make()


def test_bands_and_names_are_parsed() -> None:
    assert rules.parse_ints("--bands", "4, 1,2") == (4, 1, 2)
    assert rules.parse_names("--baselines", "stats,pca", pipeline.BASELINE_NAMES) == ("stats", "pca")
    with pytest.raises(UsageError, match="--bands 1;2"):
        rules.parse_ints("--bands", "1;2")
    with pytest.raises(UsageError, match="unknown"):
        rules.parse_names("--baselines", "stats,ica", pipeline.BASELINE_NAMES)


def test_settings_are_plain_json() -> None:
    config = TileConfig(bands=(2, 1), nodata=float("nan"), scaled=True, stack=("B02", "B03"), assets=("red",))
    found = config.settings()
    assert found["bands"] == [2, 1]
    assert found["nodata"] == "nan"
    assert found["stride"] == 50
    assert found["stack"] == ["B02", "B03"]
    assert found["assets"] == ["red"]
    assert set(found) == {field.name for field in fields(TileConfig)} - {"any_names"}
    assert set(found) - set(TileConfig().settings()) == {"scaled", "stack", "assets"}
    # Older tile sets say nothing of these.
