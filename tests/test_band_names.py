from __future__ import annotations

import pytest

from tile2vec_cli.geo import scene_facts
from tile2vec_cli.geo.scene_facts import Names

S2: Names = ("B02", "B03", "B04", "B08")


@pytest.mark.parametrize(
    ("found", "same"),
    [
        (S2, True),
        (("b02", " B03", "B04", "B08"), True),
        (S2[::-1], False),
        (("B02", "B03", "B04"), False),
        (("B02", None, "B04", None), True),
        (("B02", None, "B08", None), False),
        ((None,) * 4, True),
        ((), True),
    ],
)
def test_names_agree_as_far_as_both_are_known(found: Names, same: bool) -> None:
    assert scene_facts.bands_agree(found, S2) == scene_facts.bands_agree(S2, found) == same


def test_where_the_wanted_bands_stand() -> None:
    assert scene_facts.band_numbers((None, "b08", "B04", "B03", "B02"), S2) == [5, 4, 3, 2]
    assert scene_facts.band_numbers(S2[:3], S2) is None
    assert scene_facts.band_numbers((*S2, "B02"), S2) is None
    assert scene_facts.band_numbers(S2, (None, "B03")) is None
    assert scene_facts.band_list(("B02", None)) == "B02, ?"
