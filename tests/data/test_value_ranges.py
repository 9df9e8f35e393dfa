"""Finding out which numbers of a dataset's images are black and which white."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiff_files import tiff_bytes

from easyseg.data import value_ranges
from easyseg.data.reading import as_dataset, load_dataset
from easyseg.data.value_ranges import find_value_range
from easyseg.errors import DataError, SampleError
from easyseg.io.images import write_image
from easyseg.structures import EmbeddedImage, Sample


def _noise(low: float, high: float, dtype: str, *, count: int = 6, bands: int = 1) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.uniform(low, high, (40, 50, bands)).astype(dtype) for _ in range(count)]


@pytest.fixture
def folder(tmp_path: Path) -> Any:
    """Return a function that writes images, with masks of two classes, and returns their folder."""

    def write(images: list[np.ndarray]) -> Path:
        for number, image in enumerate(images):
            path = tmp_path / "images" / f"{number}.tif"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(tiff_bytes(image))
            mask = np.zeros(image.shape[:2], np.uint8)
            mask[: len(mask) // 2] = 1
            write_image(tmp_path / "masks" / f"{number}.png", mask)
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("images", "low", "high"),
    [
        (_noise(100, 4095, "uint16"), 100, 4095),  # 12 bits in 16
        (_noise(0, 65535, "uint16"), 0, 65535),
        (_noise(0, 255, "uint16"), 0, 255),
        (_noise(0, 255, "int32"), 0, 255),
        (_noise(-1000, 3000, "int16"), -1000, 3000),
        (_noise(0, 1, "float32"), 0, 1),
        (_noise(0, 0.2, "float32"), 0, 1),
        (_noise(-350_000, 420_000, "float32"), -350_000, 420_000),
        (np.rint(_noise(0, 255, "float32")), 0, 255),
        (_noise(0, 255, "float32"), 0, 255),
        ([np.full((4, 4, 1), 700, np.uint16)], 700, 701),
    ],
)
def test_ranges_follow_from_the_values(folder: Any, images: list[np.ndarray], low: float, high: float) -> None:
    """What the type or the values say is black and white, to one part in two hundred."""
    dataset = load_dataset(folder(list(images)))
    ((found_low,), (found_high,)) = dataset.value_range.lows, dataset.value_range.highs
    assert [found_low, found_high] == pytest.approx([low, high], abs=(high - low) / 200)
    assert f"images hold {images[0].dtype}" in dataset.describe()
    assert "value_range=(low, high)" in dataset.describe()
    if len(images) > 1:
        image = dataset.image(0)
        spread = (images[0].max() - images[0].min()) / (high - low) * 255
        assert np.ptp(image.astype(int)) == pytest.approx(spread, abs=3)


@pytest.mark.parametrize(
    ("images", "high"),
    [
        (_noise(0, 65535, "uint16"), 65535),
        (_noise(50, 201, "uint16"), 255),
        (_noise(50, 201, "int64"), 255),
        (np.floor(_noise(50, 201, "float32")), 255),
        (_noise(0, 1, "float64"), 1),
    ],
)
def test_known_ranges_are_exact(images: list[np.ndarray], high: float) -> None:
    """Where type and values say what black and white are, no value is cut off."""
    found = find_value_range([Sample(image) for image in images]).value_range
    assert found is not None
    assert (found.lows, found.highs) == ((0.0,), (high,))


def test_bytes_are_left_alone(folder: Any) -> None:
    """8-bit images have no range, no note, and stay as they are, however dark."""
    images = _noise(0, 20, "uint8")
    dataset = load_dataset(folder(images))
    assert dataset.value_range is None
    assert "become 0" not in dataset.describe()
    assert np.array_equal(dataset.image(0, channels=1), images[0])


def test_hot_pixels_do_not_decide() -> None:
    """A few pixels without data or of full brightness leave the range as it is."""
    images = _noise(500, 3000, "uint16")
    for image in images:
        image[0, 0] = 65535
        image[1, 1] = 0
    found = find_value_range([Sample(image) for image in images]).value_range
    assert found is not None
    assert found.lows[0] == pytest.approx(500, abs=10)
    assert found.highs[0] == pytest.approx(3000, abs=10)


def test_holes_do_not_count() -> None:
    """NaN and infinite values take no part; a band of nothing else is told."""
    images = _noise(2, 3, "float32")
    for image in images:
        image[:10] = np.nan
        image[10:15] = np.inf
    found = find_value_range([Sample(image) for image in images]).value_range
    assert found is not None
    assert [*found.lows, *found.highs] == pytest.approx([2, 3], abs=0.01)
    with pytest.raises(DataError, match="no finite number at all"):
        find_value_range([Sample(np.full((4, 4, 1), np.nan, np.float32))])


def test_bands_that_are_no_colours_are_spread_each_on_its_own() -> None:
    """Sixteen bands of different size each have a range; three, of one brightness, have one together."""
    scale = 10.0 ** np.arange(16)
    images = [image * scale for image in _noise(0, 1, "float64", bands=16)]
    found = find_value_range([Sample(image) for image in images]).value_range
    assert found is not None
    assert np.allclose(found.highs, scale, rtol=0.01)
    images = [image * scale[:3] for image in _noise(0, 1, "float64", bands=3)]
    found = find_value_range([Sample(image) for image in images]).value_range
    assert found is not None
    assert found.highs == pytest.approx((100,), rel=0.01)


def test_a_chosen_range_is_taken_as_it_is(folder: Any) -> None:
    """A pair, or one for each band, is used for whatever numbers there are, and told."""
    path = folder(_noise(0, 4095, "uint16", bands=2))
    dataset = load_dataset(path, value_range=(0, 16383))
    assert (dataset.value_range.lows, dataset.value_range.highs) == ((0.0,), (16383.0,))
    assert "image values 0 .. 16383 become 0 .. 255, as value_range says" in dataset.describe()
    assert dataset.image(0, channels=2).max() in (63, 64)
    assert dataset.settings["value_range"] == [0.0, 16383.0]
    assert dataset.fingerprint() != load_dataset(path).fingerprint()
    dataset = load_dataset(path, value_range=[[0, 4095], [0, 8190]])
    first, second = dataset.image(0, channels=2).reshape(-1, 2).max(axis=0)
    assert first > 250
    assert second in (126, 127, 128)


def test_kinds_that_differ_are_told(folder: Any) -> None:
    """Bytes beside 16-bit numbers are refused when the dataset is read, or when such an image is met."""
    images = [*_noise(0, 4095, "uint16", count=2), *_noise(0, 200, "uint8", count=1)]
    path = folder(images)
    with pytest.raises(DataError, match=r"different kinds of numbers: bytes \(2\.tif\) and integers \(0\.tif\)"):
        load_dataset(path)
    assert load_dataset(path, value_range=(0, 4095)).image(2).max() < 20


def test_an_odd_image_that_was_not_looked_at_is_told(folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only some images are looked at; one of another kind among the rest is an error when it is read."""
    monkeypatch.setattr(value_ranges, "MOST_IMAGES", 2)
    images = _noise(0, 4095, "uint16", count=3)
    images[1] = images[1].astype(np.uint8)
    dataset = load_dataset(folder(images))
    assert "(seen in 2 of 3 images:" in dataset.describe()
    with pytest.raises(SampleError, match=r"1\.tif: the image holds bytes"):
        dataset.image(1)


def test_numbers_of_bands_that_differ_are_told() -> None:
    """Images of two and of three bands cannot be read together."""
    samples = [Sample(image, label=str(image.shape)) for b in (2, 3) for image in _noise(0, 4095, "uint16", bands=b)]
    with pytest.raises(DataError, match=r"\(40, 50, 2\) has 2 channels, \(40, 50, 3\) 3\."):
        find_value_range(samples)


def test_arrays_of_16_bits_are_scaled_together() -> None:
    """12-bit values in arrays of 16 bits, as a stack and as pairs, use all levels, dark and bright images alike."""
    images = np.stack(_noise(0, 4095, "uint16"))
    images[0] //= 2
    masks = np.zeros(images.shape[:3], np.uint8)
    masks[:, :20] = 1
    for data in ((images, masks), list(zip(images, masks, strict=True))):
        dataset = as_dataset(data)
        assert dataset.image(1).max() > 250
        assert dataset.image(0).max() in range(125, 130)
        assert "images hold uint16" in dataset.describe()


def test_real_files_of_16_bits_and_floats_are_read(shared_data: Path) -> None:
    """Real TIFF files that could not be read as bytes give pictures that use all levels."""
    folder = shared_data / "icevision_samples" / "gray_scale"
    for name in ("test_1_bands_float32.tif", "test_1_bands_int16.tif", "test_1_bands_int32.tif"):
        dataset = as_dataset([Sample(folder / name, np.eye(100, 101, dtype=np.uint8))], classes=["thing"])
        image = dataset.image(0, channels=1)
        assert image.shape == (100, 101, 1)
        assert (image.min(), image.max()) == (0, 255)
        assert 100 < image.mean() < 155


def test_annotated_images_that_can_be_read_decide(tmp_path: Path) -> None:
    """A broken image does no harm here; where none is annotated, all count; no images, no range."""
    (tmp_path / "broken.tif").write_bytes(b"II*\0")
    images = _noise(0, 4095, "uint16")
    mask = np.zeros((40, 50), np.uint8)
    annotated = [Sample(image, mask) for image in images]
    found = find_value_range([Sample(tmp_path / "broken.tif"), *annotated])
    assert found == find_value_range(annotated)
    assert found.value_range is not None
    with_broken = find_value_range([Sample(tmp_path / "broken.tif", mask), *annotated])
    assert with_broken.value_range == found.value_range
    assert "seen in 6 of 7 images" in with_broken.note
    assert find_value_range([Sample(tmp_path / "broken.tif"), *map(Sample, images)]).value_range == found.value_range
    assert find_value_range([Sample(tmp_path / "broken.tif", mask)]).value_range is None
    assert find_value_range([]).value_range is None


def test_images_inside_json_files(tmp_path: Path) -> None:
    """A picture of 12 bits that lies in a JSON file is scaled as one in a file of its own."""
    (pixels,) = _noise(0, 4095, "uint16", count=1)
    write_image(tmp_path / "whole.png", pixels[..., 0])
    text = base64.b64encode((tmp_path / "whole.png").read_bytes()).decode()
    (tmp_path / "inside.json").write_text(json.dumps({"imageData": text}), encoding="utf-8")
    mask = np.zeros((40, 50), np.uint8)
    mask[5:9] = 1
    own, inside = (
        as_dataset([Sample(image, mask)], classes=["one"])
        for image in (tmp_path / "whole.png", EmbeddedImage(tmp_path / "inside.json"))
    )
    assert inside.value_range == own.value_range is not None
    np.testing.assert_array_equal(inside.image(0), own.image(0))
    assert inside.image(0).max() == 255
    copy = load_dataset(inside.to_masks(tmp_path / "copy"), split="train")
    np.testing.assert_array_equal(copy.image(0), own.image(0))
