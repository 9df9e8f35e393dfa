"""GeoJSON on rasters: coordinate systems, holes, many parts, large rasters in windows."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from easyseg.data.formats import geojson
from easyseg.data.reading import load_dataset
from easyseg.errors import FormatError, MissingExtraError, SampleError
from easyseg.structures import ImageWindow

rasterio = pytest.importorskip("rasterio")
transform_of = pytest.importorskip("rasterio.transform")
warp = pytest.importorskip("rasterio.warp")

pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")  # rasterio's own
UTM = "EPSG:32633"
LEFT, TOP, METRES = 400_000.0, 5_800_000.0, 0.5


def write_raster(file: Path, pixels: np.ndarray, **options: Any) -> None:
    """Write (H, W, C) pixels of half a metre, north up, in UTM."""
    file.parent.mkdir(parents=True, exist_ok=True)
    height, width, count = pixels.shape
    place = {"crs": UTM, "transform": transform_of.from_origin(LEFT, TOP, METRES, METRES), **options}
    profile = {"driver": "GTiff", "height": height, "width": width, "count": count, "dtype": pixels.dtype, **place}
    with rasterio.open(file, "w", **profile) as raster:
        raster.write(np.moveaxis(pixels, -1, 0))


def on_earth(points: list[list[float]], crs: str) -> list[list[float]]:
    """Return where pixels of the raster lie in a coordinate system."""
    x = [LEFT + METRES * point[0] for point in points]
    y = [TOP - METRES * point[1] for point in points]
    if crs != UTM:
        x, y = warp.transform(UTM, crs, x, y)
    return [[a, b] for a, b in zip(x, y, strict=True)]


def feature(kind: str, coordinates: Any, **properties: Any) -> dict[str, Any]:
    """Return a feature as GeoJSON has it."""
    return {
        "type": "Feature", "properties": properties, "geometry": {"type": kind, "coordinates": coordinates},
    }  # fmt: skip


def write_features(file: Path, *features: Any, crs: str = "") -> None:
    """Write a collection of features."""
    content: dict[str, Any] = {"type": "FeatureCollection", "features": list(features)}
    if crs:
        content["crs"] = {"type": "name", "properties": {"name": crs}}
    file.write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture
def pixels() -> np.ndarray:
    """The pixels of a small raster."""
    return np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype(np.uint8)


@pytest.mark.parametrize("crs", ["", "EPSG:4326", "urn:ogc:def:crs:OGC:1.3:CRS84", UTM, "EPSG:3857"])
def test_coordinate_systems(crs: str, pixels: np.ndarray, writers: ModuleType, tmp_path: Path) -> None:
    """Outlines in degrees or metres come to the raster's pixels; without a word they are longitude and latitude."""
    write_raster(tmp_path / "city.tif", pixels)
    ring = on_earth(writers.corners(5, 4, 25, 19), crs or "EPSG:4326")
    write_features(tmp_path / "roofs.geojson", feature("Polygon", [[*ring, ring[0]]]), crs=crs)
    dataset = load_dataset(tmp_path)
    assert (dataset.format, dataset.classes) == ("geojson", ["object"])
    np.testing.assert_array_equal(dataset.mask(0) == 1, writers.object_mask(5, 4, 25, 19))
    np.testing.assert_array_equal(dataset.image(0), pixels)
    dataset.verify()


def test_holes_parts_and_nothing(pixels: np.ndarray, writers: ModuleType, tmp_path: Path) -> None:
    """A polygon has holes, a multipolygon is one object, heights are left out, and so is what has no area."""
    write_raster(tmp_path / "city.tif", pixels)
    parts = [writers.corners(1, 1, 12, 12), writers.corners(3, 3, 6, 6), writers.corners(20, 5, 28, 9)]
    outer, hole, other = ([[*point, 7.0] for point in on_earth(part, UTM)] for part in parts)
    write_features(
        tmp_path / "roofs.geojson",
        feature("MultiPolygon", [[outer, hole], [other]], **{"class": "roof"}),
        feature("Polygon", [on_earth(writers.corners(30, 20, 35, 25), UTM)], **{"class": "tree"}),
        feature("Point", on_earth([[1, 1]], UTM)[0], **{"class": "tree"}),
        {"type": "Feature", "properties": None, "geometry": None},
        crs=UTM,
    )
    dataset = load_dataset(tmp_path)
    found = dataset.instances(0)
    first, second, third = (writers.object_mask(*part[0], *part[2]) for part in parts)
    assert dataset.classes == ["background", "roof", "tree"]
    np.testing.assert_array_equal(found.masks[0], (first & ~second) | third)
    assert len(found) == 2
    assert "Features without an area (points, lines, none) left out: 2" in dataset.describe()
    assert "The class is the features' property 'class'" in dataset.describe()


def test_large_rasters_are_read_in_windows(
    writers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large raster becomes windows, each with what lies in it, and none needs the others' pixels."""
    monkeypatch.setattr(geojson, "WINDOW_SIDE", 16)
    monkeypatch.setattr(geojson, "_MOST_WHOLE_PIXELS", 500)
    values = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype(np.uint8)
    write_raster(tmp_path / "city.tif", values)
    ring = on_earth(writers.corners(10, 4, 25, 19), UTM)
    write_features(tmp_path / "roofs.geojson", feature("Polygon", [ring]), crs=UTM)
    dataset = load_dataset(tmp_path)
    assert len(dataset) == 6
    together, picture = np.zeros((30, 40), np.uint8), np.zeros((30, 40, 3), np.uint8)
    for at, sample in enumerate(dataset.samples):
        window = sample.image
        assert isinstance(window, ImageWindow)
        place = np.s_[window.top : window.top + window.size_hw[0], window.left : window.left + window.size_hw[1]]
        together[place], picture[place] = dataset.mask(at), dataset.image(at)
    np.testing.assert_array_equal(together == 1, writers.object_mask(10, 4, 25, 19))
    np.testing.assert_array_equal(picture, values)
    assert len({sample.name for sample in dataset.samples}) == 6
    assert [len(dataset.instances(at)) for at in range(6)] == [1, 1, 0, 1, 1, 0]
    assert "Large rasters, read in windows of 16 x 16 pixels: 1" in dataset.describe()
    dataset.verify()
    assert dataset.splits() == {"train": 5, "val": 1}
    assert len(dataset.fingerprint()) == 64


def test_bands_that_no_picture_has(writers: ModuleType, tmp_path: Path) -> None:
    """Rasters of other bands and depths are read by rasterio: as many bands as the network takes."""
    values = np.random.default_rng(0).integers(0, 65536, (30, 40, 5)).astype(np.uint16)
    write_raster(tmp_path / "city.tif", values)
    write_features(tmp_path / "city.geojson", feature("Polygon", [on_earth(writers.corners(1, 1, 9, 9), UTM)]), crs=UTM)
    dataset = load_dataset(tmp_path)
    np.testing.assert_array_equal(dataset.image(0, channels=5), values >> 8)
    assert dataset.image(0).shape == (30, 40, 3)
    with pytest.raises(SampleError, match=r"has 5 bands, 7 are needed\. Type in_channels=5"):
        dataset.image(0, channels=7)
    (tmp_path / "city.tif").write_bytes(b"II*\0broken")
    with pytest.raises(SampleError, match="the raster cannot be read"):
        dataset.image(0)


def test_bands_of_other_numbers_are_scaled(writers: ModuleType, tmp_path: Path) -> None:
    """Windows are scaled by the values they hold, or as value_range says, one band or many."""
    ring = on_earth(writers.corners(1, 1, 9, 9), UTM)
    write_features(tmp_path / "city.geojson", feature("Polygon", [ring]), crs=UTM)
    values = np.random.default_rng(0).integers(0, 1000, (30, 40, 5)).astype(np.uint16)
    values *= np.arange(1, 6, dtype=np.uint16)
    write_raster(tmp_path / "city.tif", values)
    dataset = load_dataset(tmp_path)
    assert isinstance(dataset.samples[0].image, ImageWindow)
    assert dataset.value_range is not None
    assert dataset.value_range.highs == pytest.approx([1000, 2000, 3000, 4000, 5000], rel=0.01)
    assert dataset.image(0, channels=5).max(axis=(0, 1)).tolist() == [255] * 5
    np.testing.assert_array_equal(dataset.image(0), dataset.image(0, channels=5)[..., :3])
    chosen = load_dataset(tmp_path, value_range=(0, 10_000)).image(0, channels=5)
    np.testing.assert_array_equal(chosen, np.rint(values / 10_000 * 255))
    write_raster(tmp_path / "city.tif", values[..., :1])
    grey = load_dataset(tmp_path, value_range=(0, 1000)).image(0)
    np.testing.assert_array_equal(grey, np.repeat(np.rint(values[..., :1] / 1000 * 255), 3, axis=2))


def test_files_of_a_rasters_name(pixels: np.ndarray, writers: ModuleType, tmp_path: Path) -> None:
    """Where each file has a raster's name, its features count there only, though all lie in the same place."""
    for stem, box in (("a", (1, 1, 9, 9)), ("b", (20, 1, 29, 9))):
        write_raster(tmp_path / f"{stem}.tif", pixels)
        ring = on_earth(writers.corners(*box), UTM)
        write_features(tmp_path / f"{stem}.geojson", feature("Polygon", [ring]), crs=UTM)
    dataset = load_dataset(tmp_path)
    for at, box in enumerate([(1, 1, 9, 9), (20, 1, 29, 9)]):
        np.testing.assert_array_equal(dataset.mask(at) == 1, writers.object_mask(*box))


def test_features_elsewhere(pixels: np.ndarray, tmp_path: Path) -> None:
    """Features of which none lies on a raster are an error; single ones just are not there."""
    write_raster(tmp_path / "city.tif", pixels)
    far = [[0.0, 90.0], [1.0, 90.0], [1.0, 89.0]]
    write_features(tmp_path / "roofs.geojson", feature("Polygon", [far]))
    with pytest.raises(FormatError, match="none of the 1 features lies on one of the 1 rasters"):
        load_dataset(tmp_path)


def test_other_properties(pixels: np.ndarray, writers: ModuleType, tmp_path: Path) -> None:
    """class_attribute= chooses a property; one that is missing in a feature, or in all, is an error."""
    write_raster(tmp_path / "city.tif", pixels)
    ring = on_earth(writers.corners(1, 1, 9, 9), UTM)
    write_features(tmp_path / "r.geojson", feature("Polygon", [ring], use="house", height=3), crs=UTM)
    assert load_dataset(tmp_path).classes == ["object"]
    assert "Properties are 'use'" in load_dataset(tmp_path).describe()
    assert load_dataset(tmp_path, class_attribute="use").classes == ["house"]
    with pytest.raises(FormatError, match=r"no feature has this property\. There are: use"):
        load_dataset(tmp_path, class_attribute="kind")
    write_features(tmp_path / "r.geojson", feature("Polygon", [ring], use="a"), feature("Polygon", [ring]), crs=UTM)
    with pytest.raises(SampleError, match=r"features\[1\]: the property 'use' is None"):
        load_dataset(tmp_path, class_attribute="use")


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, "x"]]]}, "expected at least 1 points"),
        ({"type": "Polygon", "coordinates": [5]}, "a ring of coordinates is 5"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1e9, 1]]]}, "beyond 100,000,000"),
        ({"type": "MultiPolygon", "coordinates": [5]}, "a polygon is 5; expected a list of rings"),
        ({"type": "Polygon", "coordinates": 5}, "coordinates is 5; expected a list"),
        (7, "geometry is 7; expected an object"),
    ],
)
def test_broken_features(broken: Any, words: str, pixels: np.ndarray, tmp_path: Path) -> None:
    """A feature that cannot be read is named by its number."""
    write_raster(tmp_path / "city.tif", pixels)
    write_features(tmp_path / "r.geojson", {"type": "Feature", "properties": {}, "geometry": broken})
    with pytest.raises(SampleError, match=rf"r\.geojson: features\[0\].*{words}"):
        load_dataset(tmp_path)


def test_an_unknown_coordinate_system(pixels: np.ndarray, tmp_path: Path) -> None:
    """A system that nobody knows is told with its name."""
    write_raster(tmp_path / "city.tif", pixels)
    write_features(tmp_path / "r.geojson", feature("Polygon", [[[0, 0], [1, 0], [1, 1]]]), crs="EPSG:999999")
    with pytest.raises(SampleError, match="in 'EPSG:999999', cannot be brought to the raster city"):
        load_dataset(tmp_path)


def test_rasters_that_are_broken_or_degenerate(pixels: np.ndarray, writers: ModuleType, tmp_path: Path) -> None:
    """A raster that cannot be read is an error, or left out; so is one that covers no area."""
    write_raster(tmp_path / "city.tif", pixels)
    ring = on_earth(writers.corners(1, 1, 9, 9), UTM)
    write_features(tmp_path / "r.geojson", feature("Polygon", [ring]), crs=UTM)
    (tmp_path / "other.tif").write_bytes(b"nothing")
    with pytest.raises(SampleError, match=r"other\.tif: the raster cannot be read"):
        load_dataset(tmp_path)
    assert len(load_dataset(tmp_path, on_bad_sample="skip")) == 1
    from easyseg.io.rasters import Raster, to_pixels

    flat = Raster(tmp_path / "flat.tif", (3, 3), True, "EPSG:4326", (0.0, 0.0, 1.0, 0.0, 0.0, 1.0))
    with pytest.raises(SampleError, match="degenerate"):
        to_pixels(flat, [np.zeros((3, 2))], source_crs="EPSG:4326", file=tmp_path / "r.geojson")


def test_without_rasterio(pixels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, the message says how to install it."""
    write_raster(tmp_path / "city.tif", pixels)
    write_features(tmp_path / "r.geojson", feature("Polygon", [[[0, 0], [1, 0], [1, 1]]]))
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'easyseg\[geo\]'"):
        load_dataset(tmp_path)


def test_no_rasters(tmp_path: Path) -> None:
    """GeoJSON files alone are no dataset."""
    write_features(tmp_path / "r.geojson", feature("Polygon", [[[0, 0], [1, 0], [1, 1]]]))
    with pytest.raises(FormatError, match="no GeoTIFF rasters found"):
        load_dataset(tmp_path, "geojson")
