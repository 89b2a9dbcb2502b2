from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tile2vec_cli.geo.scene_names import scene_name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/data/chico_2018_0.tif", "chico_2018_0"),
        ("/data/m_470.14.tif", "m_470.14"),
        ("/data/no suffix", "no suffix"),
        ("/data/.hidden.tif", "%2Ehidden"),
        ("/data/..x.tif", "%2E.x"),
        ("/data/a+b%c.tif", "a%2Bb%25c"),
        ("/data/line\nbreak.tif", "line%0Abreak"),
        ("/data/häuser.tif", "häuser"),
        ("/vsicurl/https://host/dir/x.tif?token=a/b", "x"),
        ("s3://bucket/dir/y.tif", "y"),
    ],
)
def test_scene_names(path: str, name: str) -> None:
    assert scene_name(path) == name


@given(st.text(min_size=1).filter(lambda text: "/" not in text and "\0" not in text))
def test_a_scene_name_is_a_safe_folder_name(stem: str) -> None:
    name = scene_name(f"/data/{stem}.tif")
    assert name not in {"", ".", ".."}
    assert not set(name) & set("/\\+\n\r\t\0")
    assert len(name.encode()) < 200
    assert not name.startswith(".")


def test_long_names_stay_apart() -> None:
    first, second = (scene_name(f"/data/{'x' * 240}{end}.tif") for end in "ab")
    assert first != second
