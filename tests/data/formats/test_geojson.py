"""GeoJSON on rasters: coordinate systems, holes, many parts, large rasters in windows."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from easyseg.data.formats import find_format, geojson, geojson_features
from easyseg.data.reading import load_dataset
from easyseg.errors import EasySegError, FormatError, MissingExtraError, SampleError
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


def write_pixels(root: Path, writers: ModuleType, **boxes: tuple[int, int, int, int]) -> None:
    """Write rasters that lie nowhere on the earth, each with a file of one rectangle in pixels."""
    for name, box in boxes.items():
        file = root / f"{name.replace('__', '/')}.tif"
        writers.write_images(file.parent, ".tif", (file.stem,))
        write_features(file.with_suffix(".geojson"), feature("Polygon", [writers.corners(*box)]))


def test_a_file_without_a_raster(writers: ModuleType, tmp_path: Path) -> None:
    """One file more does not spread the objects of all over all rasters: it is left out, and told."""
    boxes = {"a": (1, 1, 9, 9), "b": (20, 1, 29, 9)}
    write_pixels(tmp_path, writers, **boxes)
    write_features(tmp_path / "c.geojson", feature("Polygon", [writers.corners(30, 20, 39, 29)]))
    dataset = load_dataset(tmp_path)
    for at, box in enumerate(boxes.values()):
        np.testing.assert_array_equal(dataset.mask(at) == 1, writers.object_mask(*box))
    assert "GeoJSON files that have the name of no raster left out: 1, such as c.geojson" in dataset.describe()
    write_features(tmp_path / "b.geojson", feature("Point", [1, 1]))
    assert not load_dataset(tmp_path).mask(1).any()


def test_rasters_of_one_name_in_several_folders(writers: ModuleType, tmp_path: Path) -> None:
    """The folder tells which file belongs to which of them, also where both lie in folders of their own."""
    boxes = {"train__t1": (1, 1, 9, 9), "val__t1": (20, 1, 29, 9)}
    write_pixels(tmp_path, writers, **boxes)
    for _ in range(2):
        dataset = load_dataset(tmp_path)
        assert dataset.splits() == {"train": 1, "val": 1}
        for at, box in enumerate(boxes.values()):
            np.testing.assert_array_equal(dataset.mask(at) == 1, writers.object_mask(*box))
        for split in ("train", "val"):
            for kind, suffix in (("images", ".tif"), ("labels", ".geojson")):
                (tmp_path / kind / split).mkdir(parents=True, exist_ok=True)
                for file in (tmp_path / split).glob(f"*{suffix}"):
                    file.rename(tmp_path / kind / split / file.name)


def test_a_raster_of_the_same_name_below(writers: ModuleType, tmp_path: Path) -> None:
    """A file belongs to the raster beside it, and to none of another split."""
    boxes = {"t1": (1, 1, 9, 9), "more__t1": (20, 1, 29, 9), "val__t2": (3, 3, 5, 5)}
    write_pixels(tmp_path, writers, **boxes)
    dataset = load_dataset(tmp_path)
    found = {sample.image_path.relative_to(tmp_path).as_posix(): at for at, sample in enumerate(dataset.samples)}
    for name, box in boxes.items():
        mask = dataset.mask(found[f"{name.replace('__', '/')}.tif"])
        np.testing.assert_array_equal(mask == 1, writers.object_mask(*box))
    (tmp_path / "train").mkdir()
    (tmp_path / "val/t2.geojson").rename(tmp_path / "train/t2.geojson")
    dataset = load_dataset(tmp_path)
    assert len(dataset) == 2
    assert "no raster left out: 1, such as t2.geojson" in dataset.describe()


def test_a_raster_without_a_file(writers: ModuleType, tmp_path: Path) -> None:
    """Where files have the names of rasters, a raster that has none is not annotated."""
    write_pixels(tmp_path, writers, a=(1, 1, 9, 9), b=(20, 1, 29, 9), c=(1, 1, 2, 2))
    (tmp_path / "c.geojson").unlink()
    dataset = load_dataset(tmp_path)
    assert len(dataset) == 2
    assert "Images without annotation: 1, such as c.tif; left out" in dataset.describe()
    assert len(load_dataset(tmp_path, unlabelled="skip")) == 2
    dataset = load_dataset(tmp_path, unlabelled="background")
    assert len(dataset) == 3
    assert not dataset.mask(2).any()


def test_files_that_fit_several_rasters(pixels: np.ndarray, writers: ModuleType, tmp_path: Path) -> None:
    """With coordinates of the earth the features count where they lie; with pixels it is an error."""
    write_raster(tmp_path / "train/a.tif", pixels)
    shifted = transform_of.from_origin(LEFT + 20, TOP, METRES, METRES)
    write_raster(tmp_path / "val/a.tif", pixels, transform=shifted)
    rings = [on_earth(writers.corners(1, 1, 9, 9), UTM), on_earth(writers.corners(41, 1, 49, 9), UTM)]
    for name in ("a", "other"):
        write_features(tmp_path / f"{name}.geojson", *(feature("Polygon", [ring]) for ring in rings), crs=UTM)
        dataset = load_dataset(tmp_path)
        for at in range(2):
            np.testing.assert_array_equal(dataset.mask(at) == 1, writers.object_mask(1, 1, 9, 9))
        (tmp_path / "a.geojson").unlink(missing_ok=True)
    write_raster(tmp_path / "val/a.tif", pixels, crs=None)
    with pytest.raises(FormatError, match=r"a\.tif has no coordinate system.*Give each file the name of its raster"):
        load_dataset(tmp_path)
    (tmp_path / "other.geojson").rename(tmp_path / "a.geojson")
    with pytest.raises(FormatError, match=r"a\.tif has no coordinate system"):
        load_dataset(tmp_path)


def test_coordinates_are_brought_over_once(
    pixels: np.ndarray, writers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many rasters there are in a coordinate system, a file's coordinates are brought to it once."""
    calls = []
    original = geojson_features.brought_to
    monkeypatch.setattr(geojson_features, "brought_to", lambda *a, **b: calls.append(a) or original(*a, **b))
    for at in range(3):
        place = transform_of.from_origin(LEFT + 20 * at, TOP, METRES, METRES)
        write_raster(tmp_path / f"{at}.tif", pixels, transform=place)
    ring = on_earth(writers.corners(1, 1, 9, 9), "EPSG:4326")
    write_features(tmp_path / "all.geojson", feature("Polygon", [ring]))
    dataset = load_dataset(tmp_path)
    assert [len(dataset.instances(at)) for at in range(3)] == [1, 0, 0]
    assert len(calls) == 1


def test_rasters_that_are_turned(pixels: np.ndarray, writers: ModuleType, tmp_path: Path) -> None:
    """A raster that is not north up has no features of its box's corners."""
    turned = rasterio.Affine(METRES, METRES, LEFT, METRES, -METRES, TOP)
    write_raster(tmp_path / "city.tif", pixels, transform=turned)
    inside = [[LEFT + METRES * (x + y), TOP + METRES * (x - y)] for x, y in writers.corners(3, 4, 9, 8)]
    corner = [[LEFT + METRES * x, TOP - METRES * y] for x, y in writers.corners(0, 25, 3, 29)]
    write_features(tmp_path / "all.geojson", feature("Polygon", [inside]), feature("Polygon", [corner]), crs=UTM)
    dataset = load_dataset(tmp_path)
    np.testing.assert_array_equal(dataset.mask(0) == 1, writers.object_mask(3, 4, 9, 8))
    assert len(dataset.samples[0].objects) == 1


def test_features_beyond_a_coordinate_system(
    pixels: np.ndarray, writers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outline that reaches to where a system has no place is left out, and told; none of it is an error."""
    write_raster(tmp_path / "city.tif", pixels)
    rings = [on_earth(writers.corners(at, 1, at + 5, 9), UTM) for at in (1, 10)]
    write_features(tmp_path / "all.geojson", *(feature("Polygon", [ring]) for ring in rings), crs=UTM)

    def with_infinity(points: np.ndarray, *_: str, file: Path) -> np.ndarray:
        return np.vstack([points[:-2], np.full((2, 2), np.inf)])

    monkeypatch.setattr(geojson_features, "brought_to", with_infinity)
    dataset = load_dataset(tmp_path)
    np.testing.assert_array_equal(dataset.mask(0) == 1, writers.object_mask(1, 1, 6, 9))
    assert "Features that reach to where a raster's coordinate system ends left out: 1" in dataset.describe()
    monkeypatch.undo()
    half_a_world = "+proj=gnom +lat_0=52 +lon_0=13 +datum=WGS84"
    write_raster(tmp_path / "city.tif", pixels, crs=half_a_world)
    write_features(tmp_path / "all.geojson", feature("Polygon", [[[0, 60], [60, 60], [60, -60], [0, -60]]]))
    with pytest.raises(SampleError, match=r"all\.geojson: its coordinates, in 'OGC:CRS84', cannot be brought"):
        load_dataset(tmp_path)


def test_metres_without_a_coordinate_system(pixels: np.ndarray, writers: ModuleType, tmp_path: Path) -> None:
    """Coordinates that are no longitude and latitude need their system: the message says how to write it."""
    write_raster(tmp_path / "city.tif", pixels)
    write_features(tmp_path / "r.geojson", feature("Polygon", [on_earth(writers.corners(1, 1, 9, 9), UTM)]))
    with pytest.raises(
        SampleError, match=r"r\.geojson: its coordinates, up to 400,004 and 5,800,000, are not longitude"
    ):
        load_dataset(tmp_path)
    metres = feature("Polygon", [on_earth(writers.corners(1, 1, 9, 9), UTM)])
    write_features(tmp_path / "r.geojson", metres, crs="EPSG:4326")
    with pytest.raises(EasySegError):
        load_dataset(tmp_path)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_pictures_of_the_same_names(suffix: str, writers: ModuleType, tmp_path: Path) -> None:
    """Beside PNG and JPEG files coordinates are pixels, where names match; masks are no pictures."""
    for folder in ("images", "masks"):
        writers.write_images(tmp_path / folder, suffix, ("a", "b"))
    for stem, box in (("a", (1, 1, 9, 9)), ("b", (20, 1, 29, 9))):
        write_features(tmp_path / f"{stem}.geojson", feature("Polygon", [writers.corners(*box)]))
    dataset = load_dataset(tmp_path)
    assert (dataset.format, len(dataset)) == ("geojson", 2)
    np.testing.assert_array_equal(dataset.mask(1) == 1, writers.object_mask(20, 1, 29, 9))
    for stem in "ab":
        (tmp_path / f"{stem}.geojson").rename(tmp_path / f"area_{stem}.geojson")
    assert find_format(tmp_path).NAME == "folders"


@pytest.mark.parametrize(
    ("rows", "classes", "words"),
    [
        ([{"class": 1}, {"class": 2.0}], ["background", "1", "2"], "The class is the features' property 'class'"),
        ([{"class": True}, {"class": 1.5}], ["object"], "All features are of one class"),
        (
            [{"building": "yes", "name": "hall"}] + [{"building": "yes"}] * 9,
            ["object"],
            "All features are of one class",
        ),
        ([{"name": f"house {at}"} for at in range(30)], ["object"], "All features are of one class"),
        (
            [{"use": use, "id": at} for at, use in enumerate(("shop", "shop", "home"))],
            ["object"],
            "Note: all features are of one class, 'object', though the property 'use' has 2 values, such as shop, "
            "home. If they are classes, type class_attribute='use'",
        ),
    ],
)
def test_which_property_is_the_class(
    rows: list[dict[str, Any]], classes: list[str], words: str, writers: ModuleType, tmp_path: Path
) -> None:
    """A usual name that nearly all features have, with a text or a whole number that is not each one's own."""
    writers.write_images(tmp_path, ".tif", ("a",))
    shape = [writers.corners(1, 1, 9, 9)]
    write_features(
        tmp_path / "a.geojson", *(feature("Polygon", shape, **row) for row in rows), feature("Point", [1, 1])
    )
    dataset = load_dataset(tmp_path)
    assert dataset.classes == classes
    assert words in dataset.describe()


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
    with pytest.raises(SampleError, match="in 'EPSG:999999', cannot be brought to the coordinate system"):
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
        to_pixels(flat, np.zeros((3, 2)))


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
