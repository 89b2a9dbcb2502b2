"""`export`: what onnxruntime and torch make of the files is what `embed` and `map` make of the models."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Run
from embedded import call

from tile2vec_cli.config.pipeline import ExportConfig
from tile2vec_cli.errors import DataError
from tile2vec_cli.exports import export_reports, formats
from tile2vec_cli.exports.formats import EncoderGraph
from tile2vec_cli.neural import descriptors, encoders, models
from tile2vec_cli.neural.batches import Standardise
from tile2vec_cli.neural.device import Runtime
from tile2vec_cli.neural.place import Place
from tile2vec_cli.segmentation import segmenters
from tile2vec_cli.segmentation.unet import Segmenter, UNet
from tile2vec_cli.tiling.tile_files import filled

onnxruntime = pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

CPU = torch.device("cpu")
SIDE = 9
Call = Callable[..., Run]


@pytest.fixture
def export(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    return lambda *arguments: call(capsys, monkeypatch, "export", *arguments)


def tiles(count: int, bands: int, dtype: str = "uint8") -> tuple[np.ndarray, np.ndarray]:
    """Pixels about 120 with smooth and rough tiles, and which are valid: not all in every second tile."""
    rng = np.random.default_rng([count, bands])
    rough = rng.normal(size=(count, bands, SIDE, SIDE)) * np.linspace(1, 40, count)[:, None, None, None]
    valid = np.ones((count, SIDE, SIDE), bool)
    valid[1::2] = rng.random((len(valid[1::2]), SIDE, SIDE)) < 0.8
    return (120 + rough).clip(1, 250).astype(dtype), valid


def raw(pixels: np.ndarray, valid: np.ndarray) -> np.ndarray:
    return np.where(valid[:, None], pixels, np.nan).astype(np.float32)


def encoder(name: str, bands: int, dtype: str, *, place: bool) -> tuple[encoders.Encoder, models.Description]:
    """A network with random weights, descriptors fitted and the description of it."""
    dim = {"none": 0, "resnet18": 512}.get(name, 16)
    mean, std = [120.0] * bands, [30.0] * bands
    made = encoders.untrained(name, bands, dim, mean, std, seed=1)
    architecture: dict[str, Any] = {"encoder": name, "bands": bands, "dim": dim}
    if place:
        pixels, valid = tiles(40, bands, dtype)
        random = np.random.default_rng(0)
        found = descriptors.fit(pixels, valid | True, made.standardise, random, filters=32)
        width = found.shape.width + dim
        weight = torch.from_numpy(random.normal(size=(width, 5)).astype(np.float32) / width**0.5)
        made.place = Place(found, torch.zeros(width), weight)
        architecture["place"] = {**found.shape.to_json(), "factors": 5}
    made.finished = True
    model = models.Description("encoder", architecture, tuple(range(1, bands + 1)), dtype, SIDE, {}, {}, {})
    return made.eval(), model


def saved(folder: Path, model: models.Description, network: torch.nn.Module) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    models.write(folder, model, network.state_dict(), [])
    return folder


def segmenter(folder: Path, nodata: float | None = None) -> tuple[Path, Segmenter]:
    torch.manual_seed(2)
    members = [UNet(3, width=4, levels=3, pixel_path=True), UNet(3, width=3, levels=2)]
    network = Segmenter(Standardise([120.0] * 3, [30.0] * 3), members, threshold=0.4).eval()
    provenance = {
        "class": "cropland",
        "resolution_m": 10.0,
        "tile_settings": {"bands": None, "alpha": "auto", "nodata": nodata},
    }
    model = models.Description(
        kind="segmenter",
        architecture={"network": "unet", "bands": 3, "members": [member.shape for member in members]},
        bands=(1, 2, 3),
        band_names=("red", None, "nir"),
        dtype="uint8",
        size=SIDE,
        normalisation={},
        settings={},
        provenance=provenance,
    )
    return saved(folder, model, network), network


def session(path: Path) -> Any:
    return onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])


def embedded(network: encoders.Encoder, pixels: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """As `embed` does it."""
    with torch.inference_mode():
        found: np.ndarray = encoders.fused(network)(torch.from_numpy(filled(pixels, valid))).numpy()
    return found


def assert_near(found: np.ndarray, wanted: np.ndarray) -> None:
    assert found.shape == wanted.shape and found.dtype == np.float32
    assert np.abs(found - wanted).max() <= 1e-4 * np.abs(wanted).max()


# --- encoders ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "bands", "dtype", "place"),
    [
        ("texture", 4, "uint8", True),
        ("none", 5, "float32", True),
        ("small", 3, "uint16", False),
        ("small", 1, "int16", True),
        ("resnet18", 2, "uint8", False),
    ],
)
def test_a_graph_is_its_encoder(name: str, bands: int, dtype: str, place: bool) -> None:
    network, _ = encoder(name, bands, dtype, place=place)
    graph = EncoderGraph(network, whole=dtype != "float32").eval()
    pixels, valid = tiles(7, bands, dtype)
    valid[3] = False
    with torch.inference_mode():
        found = graph(torch.from_numpy(raw(pixels, valid))).numpy()
    assert_near(found, embedded(network, pixels, valid))


@pytest.mark.parametrize(("name", "dtype"), [("texture", "uint8"), ("none", "float32")])
def test_onnx_embeds_as_embed_does(tmp_path: Path, export: Call, name: str, dtype: str) -> None:
    network, model = encoder(name, 3, dtype, place=True)
    folder, out = saved(tmp_path / "model", model, network), tmp_path / "model.onnx"
    done = export(folder, "--out", out, "--json")
    assert (done.code, done.err) == (0, "")
    assert done.report["format"] == "tile2vec-report/1"
    assert done.report["opset"] == 18 and done.report["dim"] == model.dim
    assert done.report["bands"] == ["band1", "band2", "band3"]
    assert 0 <= done.report["checked"] < 1e-3
    running = session(out)
    (given,), (made,) = running.get_inputs(), running.get_outputs()
    assert (given.name, given.shape) == ("pixels", ["batch", 3, SIDE, SIDE])
    assert (made.name, made.shape) == ("embedding", ["batch", model.dim])
    for count in (1, 7):
        pixels, valid = tiles(count, 3, dtype)
        found = running.run(None, {"pixels": raw(pixels, valid)})[0]
        assert_near(found, embedded(network, pixels, valid))
    says = {key: json.loads(value) for key, value in running.get_modelmeta().custom_metadata_map.items()}
    assert says["tile2vec"]["model"] == models.fingerprint(folder)
    assert says["mlm:framework"] == "ONNX" and "model_type" not in says
    assert says["mlm:input"][0]["input"]["shape"] == [-1, 3, SIDE, SIDE]
    onnx.checker.check_model(onnx.load(out), full_check=True)
    for path in (tmp_path, Path(__file__).parents[1]):  # where it was made is nobody's business
        assert str(path).encode() not in out.read_bytes()


def test_pt2_needs_torch_alone(tmp_path: Path, export: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    network, model = encoder("small", 3, "uint16", place=False)
    folder, out = saved(tmp_path / "model", model, network), tmp_path / "model.pt2"
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    done = export(folder, "--out", out, "--json")
    assert (done.code, done.err) == (0, "") and done.report["checked"] < 1e-4
    extra = {"metadata.json": ""}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.load(io.BytesIO(out.read_bytes()), extra_files=extra).module()
    assert json.loads(extra["metadata.json"])["mlm:framework"] == "PyTorch"
    for count in (1, 7):
        pixels, valid = tiles(count, 3, "uint16")
        with torch.inference_mode():
            found = program(torch.from_numpy(raw(pixels, valid))).numpy()
        assert_near(found, embedded(network, pixels, valid))
    assert str(Path(__file__).parents[1]).encode() not in out.read_bytes()
    refused = export(folder, "--out", tmp_path / "model.onnx")
    assert refused.code == 2 and "pip install 'tile2vec-cli[export]'" in refused.err


# --- segmenters --------------------------------------------------------------------------------


def probabilities(network: Segmenter, pixels: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """As `map --probability` writes them."""
    found = segmenters.probability(network, pixels, valid, Runtime(CPU, "fp32"))
    return np.where(valid, found, np.nan)[:, None]


def test_onnx_maps_as_map_does(tmp_path: Path, export: Call) -> None:
    folder, network = segmenter(tmp_path / "model", nodata=7)
    out = tmp_path / "model.onnx"
    done = export(folder, "--out", out, "--json")
    assert (done.code, done.err) == (0, "") and done.report["dim"] == 1
    running = session(out)
    assert running.get_inputs()[0].shape == ["batch", 3, "height", "width"]
    rng = np.random.default_rng(3)
    for shape in ((1, 3, 16, 16), (7, 3, 12, 20)):
        pixels = rng.integers(0, 250, shape).astype(np.uint8)
        pixels[0, 1, 2, 3] = 7
        valid = rng.random((shape[0], *shape[2:])) < 0.9
        found = running.run(None, {"pixels": raw(pixels, valid)})[0]
        wanted = probabilities(network, pixels, valid & (pixels != 7).all(1))
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5, equal_nan=True)
    says = {key: json.loads(value) for key, value in running.get_modelmeta().custom_metadata_map.items()}
    assert says["model_type"] == "Segmentor" and says["resolution"] == 1000
    assert says["class_names"] == {"0": "other", "1": "cropland"}
    assert says["seg_thresh"] == pytest.approx(0.4)
    assert says["tile2vec"]["band_names"] == ["red", "band2", "nir"]
    # What Deepness makes of a pixel of 200: a 255th, standardised.
    mean, std = np.float32(says["standardization_mean"]), np.float32(says["standardization_std"])
    np.testing.assert_allclose((np.float32(200 / 255) - mean) / std, 200, rtol=1e-6)


def test_deepness_gets_windows_of_one_size(tmp_path: Path, export: Call) -> None:
    folder, _ = segmenter(tmp_path / "model")
    out = tmp_path / "model.onnx"
    refused = export(folder, "--out", out, "--window", "33")
    assert refused.code == 2 and "multiple of 4" in refused.err and not out.exists()
    assert export(folder, "--out", out, "--window", "96").code == 0
    running = session(out)
    assert running.get_inputs()[0].shape == ["batch", 3, 96, 96]
    assert running.get_outputs()[0].shape == ["batch", 1, 96, 96]
    says = running.get_modelmeta().custom_metadata_map
    assert says["tiles_size"] == "96" and 0 < int(says["tiles_overlap"]) < 90


# --- files -------------------------------------------------------------------------------------


def test_a_run_again_does_no_work_and_gives_the_same_bytes(tmp_path: Path, export: Call) -> None:
    network, model = encoder("small", 2, "uint8", place=False)
    folder = saved(tmp_path / "model", model, network)
    for name in ("a.onnx", "a.pt2"):
        out, other = tmp_path / name, tmp_path / f"other-{name}"
        assert export(folder, "--out", out).code == 0
        before = out.stat().st_mtime_ns
        assert "up to date" in export(folder, "--out", out).err
        assert out.stat().st_mtime_ns == before
        assert export(folder, "--out", other).code == 0
        assert out.read_bytes() == other.read_bytes()
    assert export(folder, "--out", out, "--window", "64").code in (2, 65)
    foreign = tmp_path / "foreign.onnx"
    foreign.write_text("mine")
    assert export(folder, "--out", foreign).code == 65 and foreign.read_text() == "mine"
    assert export(folder, "--out", foreign, "--overwrite").code == 0 and session(foreign)


def test_what_can_not_be_exported(tmp_path: Path, export: Call) -> None:
    network, model = encoder("small", 2, "uint8", place=False)
    folder = saved(tmp_path / "model", model, network)
    out = tmp_path / "out.onnx"
    wrong = export(folder, "--out", tmp_path / "model.pkl")
    assert wrong.code == 2 and ".onnx" in wrong.err and ".pt2" in wrong.err
    assert export(tmp_path / "none", "--out", out).code == 66
    assert export(tmp_path, "--out", out).code == 65
    assert export(folder, "--out", out, "--window", "64").code == 2
    newer = saved(tmp_path / "newer", model, network)
    text = (newer / models.DESCRIPTION).read_text()
    (newer / models.DESCRIPTION).write_text(text.replace("tile2vec-model/1", "tile2vec-model/2"))
    assert export(newer, "--out", out).code == 65
    saved(tmp_path / "odd", replace(model, kind="other"), network)
    assert export(tmp_path / "odd", "--out", out).code == 65
    assert not out.exists() and not list(tmp_path.glob(".tmp-*"))


def test_a_file_that_differs_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, model = encoder("small", 2, "uint8", place=False)
    folder, out = saved(tmp_path / "model", model, network), tmp_path / "out.pt2"
    honest = formats.outputs
    monkeypatch.setattr(formats, "outputs", lambda *told: [1.001 * one for one in honest(*told)])
    with pytest.raises(DataError, match="differ from the model's"):
        export_reports.run(folder, out, ExportConfig())
    assert not out.exists()


def test_without_onnxruntime_it_says_so(
    tmp_path: Path, export: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, model = encoder("small", 2, "uint8", place=False)
    folder = saved(tmp_path / "model", model, network)
    monkeypatch.setattr(
        formats, "find_spec", lambda name: None if name == "onnxruntime" else util.find_spec(name)
    )
    done = export(folder, "--out", tmp_path / "a.onnx", "--json")
    assert done.code == 0 and "onnxruntime is not installed" in done.err
    assert done.report["checked"] is None and done.report["unchecked"]
