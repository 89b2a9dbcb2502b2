"""Whether a model is for the pixels of a tile set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tile2vec_cli.geo import scene_facts

if TYPE_CHECKING:
    from tile2vec_cli.neural.models import Description
    from tile2vec_cli.tiling.tiles import TileSet

_ON_OFF = {True: "on", False: "off"}


def agreements(model: Description, tiles: TileSet) -> Iterator[tuple[str, object, object]]:
    """What the pixels have to agree in, as the model has it and as the tile set does.

    Bands by what both call them, wherever their scenes hold them; where names are missing, by number.
    """
    names, others = model.band_names, tiles.band_names
    if not scene_facts.bands_agree(names, others):
        yield "bands", scene_facts.band_list(names), scene_facts.band_list(others)
    elif not (scene_facts.bands_known(names) and scene_facts.bands_known(others)):
        yield "bands", _listed(model.bands), _listed(tiles.bands)
    yield "--scaled", _ON_OFF[model.scaled], _ON_OFF[tiles.is_scaled]
    yield "dtype", model.dtype, tiles.dtype.name


def bands_option(model: Description, tiles: TileSet) -> str:
    """The option that would cut the model's bands, by their names; empty where that does not help."""
    numbers = scene_facts.band_numbers(tiles.band_names, model.band_names)
    if numbers is None or scene_facts.bands_agree(tiles.band_names, model.band_names):
        return ""
    return f" with --bands {_listed([tiles.bands[number - 1] for number in numbers])}"


def _listed(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers))
