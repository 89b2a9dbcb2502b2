"""STAC items as SCENES of `map`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import catalogs
import fields
from segmented import SMALL, read, run, write_model

from tile2vec_cli.errors import DataError
from tile2vec_cli.geo import scene_lists
from tile2vec_cli.segmentation import mapping


def test_an_item_is_mapped_by_its_id(tmp_path: Path) -> None:
    fields.make(tmp_path)
    write_model(tmp_path, tmp_path / "model", seed=0)
    file = tmp_path / "scenes" / "land.tif"
    near: dict[str, Any] = {"href": str(file), "eo:bands": [{"name": f"b{k}"} for k in (1, 2, 3)]}
    found = catalogs.item("of/land", {"data": near})

    def mapped(*assets: str) -> Any:
        path = catalogs.keep(tmp_path / "item.json", found)
        config = replace(SMALL, assets=assets or None)
        given = scene_lists.choose([str(path)], assets=config.assets)
        how = {"names": given.names, "facts": given.facts}
        return mapping.run(given.scenes, tmp_path / "model", tmp_path / "maps", config, **how)

    assert (mapped().made, mapped().made) == (1, 0)
    run([file], tmp_path / "model", tmp_path / "whole")
    assert (read(tmp_path / "maps" / "of%2Fland.tif") == read(tmp_path / "whole" / "land.tif")).all()
    refused = mapped("data")
    assert "assets" in refused.failed[0].message and refused.failed[0].exit_code == DataError.exit_code
    near["nodata"] = 1000
    assert mapped().made == 1
    near["href"] = "nowhere.tif"
    assert [failure.exit_code for failure in mapped().failed] == [66]
