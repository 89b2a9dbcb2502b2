"""Dates in names of real products, each as its provider documents the name."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tile2vec_cli.geo.scene_facts import named, taken


@pytest.mark.parametrize(
    ("name", "date"),
    [
        # Sentinel-1, 2 and 3
        ("S2A_MSIL2A_20210513T170901_N0300_R112_T14TNL_20210514T213545.tif", "2021-05-13"),
        ("T14TNL_20210513T170901_B02_10m.jp2", "2021-05-13"),
        ("S1A_IW_GRDH_1SDV_20210513T002121_20210514T002146_037866_0477F0_ABCD.tif", "2021-05-13"),
        ("S3A_OL_1_EFR____20210513T170901_20210514T171201_0179_071_340.tif", "2021-05-13"),
        # Landsat: Collection 2, before the collections, and of the first ones
        ("LC08_L2SP_029032_20210513_20210524_02_T1_SR_B4.TIF", "2021-05-13"),
        ("LT50290322010123EDC00_B4.TIF", "2010-05-03"),
        ("LC80290322016366LGN00_B4.TIF", "2016-12-31"),
        ("LM10290321972366AAA04_B4.TIF", "1972-12-31"),
        ("LC80290322015366LGN00_B4.TIF", None),  # 2015 had 365 days
        # HLS, MODIS, VIIRS, AppEEARS
        ("HLS.S30.T14TNL.2020276T172111.v2.0.B04.tif", "2020-10-02"),
        ("HLS.L30.T14TNL.2018193.v1.4.hdf", "2018-07-12"),
        ("HLS_2020276T.tif", "2020-10-02"),
        ("MOD13Q1.A2018193.h10v05.061.2021363215943.hdf", "2018-07-12"),
        ("VNP13A1.A2018193.h10v05.001.2018210120000.h5", "2018-07-12"),
        ("MOD13Q1.061__250m_16_days_NDVI_doy2018193_aid0001.tif", "2018-07-12"),
        # NAIP, Planet, Maxar, Airbus, ASTER, EMIT
        ("m_3708020_ne_17_060_20180715_20190209.tif", "2018-07-15"),
        ("m_3712213_sw_10_1_20120707.tif", "2012-07-07"),
        ("20190603_173000_0f22_3B_AnalyticMS.tif", "2019-06-03"),
        ("global_monthly_2018_07_mosaic_L15-0500E-1200N.tif", "2018-07-01"),
        ("21MAY13170901-M2AS-013030700010_01_P001.TIF", "2021-05-13"),
        ("WV03_20210513170901_1040010000000000.tif", "2021-05-13"),
        ("IMG_PHR1A_PMS_202105131709012_ORT_R1C1.TIF", "2021-05-13"),
        ("AST_L1T_00305132021170901_20210514101112_12345.tif", "2021-05-13"),
        ("EMIT_L2A_RFL_001_20220903T163129_2224611_012.nc", "2022-09-03"),
        # by hand
        ("farm_2018.07.15.tif", "2018-07-15"),
        ("farm_2018-07.tif", "2018-07-01"),
        ("2018_07_15.tif", "2018-07-15"),
        ("farm_15-07-2018.tif", "2018-07-15"),
        ("farm_07.15.2018.tif", "2018-07-15"),
        ("farm_05_05_2018.tif", "2018-05-05"),
        ("farm_05-07-2018.tif", None),  # of May or of July
        ("farm_31-02-2018.tif", None),
        ("farm_2018-13.tif", None),
        ("farm_2018-07-32.tif", None),
        ("farm_2018_07.tif", None),  # the seventh of 2018
        ("CDL_2018_clip_20.tif", None),
        ("m_2015601_ne_04.tif", None),
        ("tile_20209999.tif", None),
        ("tile_201801011.tif", None),
        ("id_A20181931.tif", None),
        # the folder's name, where the file's own has none
        ("2018-07-15/B02.tif", "2018-07-15"),
        ("2018-07-15/B02_2019-01-01.tif", "2019-01-01"),
        ("2018-07-15/deep/B02.tif", None),
        ("tiles/14/T/NL/2021/5/13/0/B02.jp2", "2021-05-13"),
        ("HLS.S30.T14TNL.2020276T172111.v2.0.{B04,B8A}.tif", "2020-10-02"),
        ("2018-07-15/{B02,B03}.tif", "2018-07-15"),
    ],
)
@pytest.mark.parametrize("before", ["/data/", "https://host/data/"])
def test_names_of_products(before: str, name: str, date: str | None) -> None:
    expected = None if date is None else datetime.fromisoformat(date).replace(tzinfo=UTC)
    assert named(before + name) == expected


def test_what_a_server_is_told_is_no_part_of_the_name() -> None:
    assert named("https://host/B02.tif?st=2023-01-01T00:00:00Z&sig=x") is None


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"TIFFTAG_DATETIME": "2021:08:27 17:30:00"}, "2021-08-27T17:30:00"),
        ({"TIFFTAG_DATETIME": "2021:08:27"}, "2021-08-27"),
        ({"TIFFTAG_DATETIME": "2021-08-27T17:30:00Z"}, "2021-08-27T17:30:00"),
        ({"TIFFTAG_DATETIME": "0000:00:00 00:00:00"}, None),
        ({"ACQUISITIONDATETIME": "2020-01-02 03:04:05.678"}, "2020-01-02T03:04:05"),
        (
            {"SENSING_TIME": "2020-01-02T03:04:05Z", "TIFFTAG_DATETIME": "2021:08:27"},
            "2020-01-02T03:04:05",
        ),
        ({"DATE_ACQUIRED": "2020-01-02"}, "2020-01-02"),
        ({"DATE_ACQUIRED": "2020"}, None),
    ],
)
def test_tags(tags: dict[str, str], expected: str | None) -> None:
    wanted = None if expected is None else datetime.fromisoformat(expected).replace(tzinfo=UTC)
    assert taken("/data/x.tif", tags) == wanted


def test_acquisition_before_name_before_the_day_of_processing() -> None:
    written = {"TIFFTAG_DATETIME": "2024:01:01 00:00:00"}
    assert taken("/data/2021-05-13/x.tif", written) == datetime(2021, 5, 13, tzinfo=UTC)
    assert taken("/data/x_20210513.tif", {**written, "DATE_ACQUIRED": "2021-05-12"}) == datetime(
        2021, 5, 12, tzinfo=UTC
    )
