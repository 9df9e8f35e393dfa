"""TIFF files of any number of bands and any type of numbers, sound and not."""

from __future__ import annotations

import io
import itertools
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiff_files import PACKINGS, tiff_bytes

from easyseg.errors import OutputError, SampleError
from easyseg.io import tiff
from easyseg.io.images import check_image, image_size, number_type, read_image, read_mask, read_numbers, write_image

TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32", "float64")


def _values(dtype: str, bands: int, seed: int = 0, size_hw: tuple[int, int] = (19, 23)) -> np.ndarray:
    numbers = np.random.default_rng(seed).normal(0, 60, (*size_hw, bands))
    return (np.abs(numbers) if dtype.startswith("u") else np.clip(numbers, -128, 127)).astype(dtype)


def _decoded(data: bytes) -> np.ndarray:
    path = Path("file.tif")
    facts = tiff.read_facts(path, io.BytesIO(data))
    return tiff.decode(path, data, facts)


@pytest.fixture
def save(tmp_path: Path) -> Any:
    """Return a function that writes a TIFF file and returns its path."""

    def write(values: np.ndarray, **options: Any) -> Path:
        path = tmp_path / f"picture_{len(list(tmp_path.iterdir()))}.tif"
        path.write_bytes(tiff_bytes(values, **options))
        return path

    return write


@pytest.mark.parametrize("dtype", TYPES)
def test_every_kind_of_file_gives_the_numbers_in_it(dtype: str) -> None:
    """Both byte orders and sizes of files, strips and tiles, planes and pixels, all packings and predictors."""
    kinds = itertools.product("<>", (False, True), (False, True), (0, 16), PACKINGS, (1, 2, 3))
    for order, is_big, is_separate, tile, packing, predictor in kinds:
        if predictor == 3 and not dtype.startswith("float"):
            continue
        bands = 3 if is_separate else 2
        values = _values(dtype, bands)
        found = _decoded(
            tiff_bytes(
                values,
                order=order,
                is_big=is_big,
                is_separate=is_separate,
                tile=tile,
                packing=packing,
                predictor=predictor,
            )
        )
        assert found.dtype == values.dtype
        assert np.array_equal(found, values), (order, is_big, is_separate, tile, packing, predictor)


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5, 8, 16])
def test_any_number_of_bands_is_read(save: Any, bands: int) -> None:
    """All bands are read, in their order, and as an image where so many are asked for."""
    values = _values("uint8", bands)
    for is_separate in (False, True):
        path = save(values, is_separate=is_separate)
        assert np.array_equal(read_numbers(path), values)
        assert np.array_equal(read_image(path, channels=bands), values)
        assert image_size(path) == check_image(path) == (19, 23)


@pytest.mark.parametrize("dtype", TYPES)
def test_types_are_known_from_the_header(save: Any, dtype: str) -> None:
    """The type of the numbers is told without decoding them."""
    assert number_type(save(_values(dtype, 2))) == np.dtype(dtype)


def test_types_of_other_files_are_known(tmp_path: Path) -> None:
    """PNG files hold 8 or 16 bits, all others bytes."""
    grey = np.zeros((4, 5), np.uint8)
    for name, array, expected in (
        ("a.jpg", grey, np.uint8),
        ("b.png", grey, np.uint8),
        ("c.png", grey.astype(np.uint16), np.uint16),
        ("d.tif", grey.astype(np.uint16), np.uint16),
    ):
        write_image(tmp_path / name, array)
        assert number_type(tmp_path / name) == expected


def test_deep_colours_keep_all_bits(tmp_path: Path) -> None:
    """16-bit RGB, as PNG and as TIFF, gives all 16 bits in the order red, green, blue, and as bytes the upper ones."""
    import cv2

    deep = np.random.default_rng(0).integers(0, 1 << 16, (6, 7, 3)).astype(np.uint16)
    for name in ("deep.png", "deep.tif"):
        cv2.imwrite(str(tmp_path / name), deep[..., ::-1])
        assert np.array_equal(read_numbers(tmp_path / name), deep)
        assert np.array_equal(read_image(tmp_path / name), deep >> 8)


def test_pictures_are_turned_upright(save: Any) -> None:
    """The orientation in the file is applied to the numbers and to the size."""
    values = _values("int16", 3)
    for orientation, expected in ((1, values), (3, values[::-1, ::-1]), (6, np.rot90(values, -1))):
        path = save(values, tags={274: orientation})
        assert np.array_equal(read_numbers(path), expected)
        assert image_size(path) == expected.shape[:2]
    assert np.array_equal(read_numbers(save(values, tags={274: 99})), values)


def test_dark_may_be_stored_as_white(save: Any) -> None:
    """Where 0 is white, the numbers are turned around; those with a sign have no such meaning."""
    values = _values("uint16", 2)
    assert np.array_equal(read_numbers(save(values, tags={262: 0})), 65535 - values)
    assert np.array_equal(read_numbers(save(values.astype(np.int16), tags={262: 0})), values)


def test_other_number_of_channels_is_told(save: Any) -> None:
    """Sixteen bands are no colours, and are never cut down to three in silence; nor is a second band."""
    for bands in (2, 16):
        with pytest.raises(SampleError, match=rf"has {bands} channels, 3 are needed\. Type in_channels={bands}\."):
            read_image(save(_values("uint8", bands)))


def test_several_pages_are_refused(save: Any) -> None:
    """Pages of one size are images of their own; a preview and a smaller page are not."""
    values = _values("uint16", 5)
    with pytest.raises(SampleError, match=r"several pages\. Save each page"):
        read_numbers(save(values, pages=2))
    assert read_numbers(save(values, pages=2, tags={254: 1})).shape == values.shape


@pytest.mark.parametrize("bands", [3, 4])
def test_colours_in_planes_are_read(save: Any, bands: int) -> None:
    """Red, green and blue in planes of their own are put together, with alpha where there is some."""
    values = _values("uint8", bands)
    path = save(values, is_separate=True, tags={262: 2, **({338: 2} if bands == 4 else {})})
    assert np.array_equal(read_numbers(path), values)
    assert np.array_equal(read_image(path), values[..., :3])


def test_a_pointer_to_nowhere_is_no_second_page(save: Any) -> None:
    """A file whose last directory names a next one beyond its end is read."""
    values = _values("int16", 5)
    assert np.array_equal(read_numbers(save(values, following=1 << 30)), values)


def test_strange_tags_do_not_matter(save: Any) -> None:
    """A tag whose content lies beyond the end of the file is passed over."""
    values = _values("int16", 5)
    data = bytearray(tiff_bytes(values, tags={65000: 0}))
    at = data.index((65000).to_bytes(2, "little"))
    data[at + 4 : at + 12] = (100).to_bytes(4, "little") + (1 << 30).to_bytes(4, "little")
    path = save(values)
    path.write_bytes(data)
    assert np.array_equal(read_numbers(path), values)


def test_tags_larger_than_the_file_take_no_memory(save: Any) -> None:
    """A tag of thousands of millions of numbers is passed over before it is read."""
    data = bytearray(tiff_bytes(_values("int16", 5), tags={65000: 0}))
    at = data.index((65000).to_bytes(2, "little"))
    data[at + 2 : at + 12] = (16).to_bytes(2, "little") + b"\xff\xff\xff\x3f" + (8).to_bytes(4, "little")
    path = save(_values("int16", 5))
    path.write_bytes(data)
    tracemalloc.start()
    try:
        assert number_type(path) == np.int16
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_directories_larger_than_the_file_are_refused(save: Any) -> None:
    """A directory of a million million tags is refused before it is read."""
    path = save(_values("int16", 5), is_big=True)
    data = bytearray(path.read_bytes())
    at = int.from_bytes(data[8:16], "little")
    data[at : at + 8] = (10**12).to_bytes(8, "little")
    path.write_bytes(data)
    with pytest.raises(SampleError, match="a directory of 1000000000000 tags in a file of"):
        read_numbers(path)


@pytest.mark.parametrize("length", [3, 5, 8, 20])
def test_beginnings_of_files_are_told(tmp_path: Path, length: int) -> None:
    """A file cut off within its header is an error that names it."""
    path = tmp_path / "start.tif"
    path.write_bytes(tiff_bytes(_values("int16", 5))[:length])
    for read in (read_numbers, image_size, number_type):
        with pytest.raises(SampleError, match=r"start\.tif: (the picture is damaged|this is no picture)"):
            read(path)


def test_masks_in_planes_are_read(save: Any) -> None:
    """A mask of an unusual type keeps its values; one of several bands is refused."""
    ids = np.array([[[0], [7], [300]]], np.uint32)
    assert read_mask(save(ids)).values.tolist() == [[0, 7, 300]]
    with pytest.raises(SampleError, match="a mask of 2 channels of type uint16"):
        read_mask(save(_values("uint16", 2)))


def test_unknown_packings_are_explained(save: Any) -> None:
    """A packing or predictor nobody knows is told with its number and the way out."""
    with pytest.raises(SampleError, match=r"5 bands of type int16 .*compression 7, predictor 1.*deflate or LZW"):
        read_numbers(save(_values("int16", 5), tags={259: 7}))
    with pytest.raises(SampleError, match=r"compression 1, predictor 9"):
        read_numbers(save(_values("int16", 5), tags={317: 9}))


@pytest.mark.parametrize(
    ("tags", "problem"),
    [
        ({256: 10**6, 257: 10**6}, "1000000 x 1000000 pixels of 5 bands"),
        ({256: 20_000, 257: 8_000, 277: 60}, "bytes are decoded. Cut it into tiles first"),
        ({256: 18_000, 257: 10_000, 277: 1}, "18000 x 10000 pixels of 1 bands"),
        ({256: 0}, "0 x 19 pixels"),
        ({277: 0}, "of 0 bands"),
        ({278: 0}, "strips or tiles of 23 x 0"),
        ({257: 190}, "its parts do not cover the picture"),
        ({273: 1 << 30}, "damaged"),
        ({279: 1 << 30}, "damaged"),
    ],
)
def test_false_sizes_are_refused(save: Any, tags: dict[int, int], problem: str) -> None:
    """A file that claims what it does not hold is refused before memory is taken for it."""
    with pytest.raises(SampleError, match=problem):
        read_numbers(save(_values("int16", 5), tags=tags))


def test_rows_that_are_not_there_are_no_black_rows(save: Any) -> None:
    """Also of a plain grey file, which Pillow would fill up without a word."""
    path = save(_values("uint8", 1), tags={257: 190})
    for read in (read_numbers, read_image, read_mask, image_size):
        with pytest.raises(SampleError, match="its parts do not cover the picture"):
            read(path)


def test_tiles_far_larger_than_the_picture_are_refused(save: Any) -> None:
    """Tiles reach beyond a picture, but not by gigabytes."""
    with pytest.raises(SampleError, match="tiles of 60000 x 60000 pixels for a picture of 23 x 19"):
        read_numbers(save(_values("int16", 5), tile=32, tags={322: 60_000, 323: 60_000}))


@pytest.mark.parametrize("packing", [1, 5, 8])
def test_cut_off_files_are_told(save: Any, packing: int) -> None:
    """A strip that lacks its end, or whose bytes lie beyond the file's end, is damaged, however it is packed."""
    values = _values("float32", 6)
    whole = tiff_bytes(values, packing=packing, strip_rows=19)
    facts = tiff.read_facts(Path("whole.tif"), io.BytesIO(whole))
    (start,), (length,) = facts.tags[273], facts.tags[279]
    for tags in ({279: length // 2}, {273: len(whole) + start - length // 2}):
        with pytest.raises(SampleError, match="damaged or incomplete"):
            read_numbers(save(values, packing=packing, strip_rows=19, tags=tags))


def test_mutated_files_never_crash(tmp_path: Path) -> None:
    """Whatever is done to a file, it gives numbers of the size its header says, or an error that names it."""
    generator = np.random.default_rng(0)
    path = tmp_path / "mutated.tif"
    read = named = 0
    for number in range(400):
        options: dict[str, Any] = {"packing": (1, 5, 8)[number % 3], "tile": (0, 16)[number % 2]}
        data = bytearray(tiff_bytes(_values("uint16", 5), is_big=number % 5 == 0, **options))
        tail = len(data) // 4 if number % 4 else len(data)
        for _ in range(int(generator.integers(1, 4))):
            data[-int(generator.integers(1, tail))] = int(generator.integers(0, 256))
        path.write_bytes(data[: len(data) - int(generator.choice([0, 0, 0, 5]))])
        try:
            size_hw = image_size(path)
            values = read_numbers(path)
        except SampleError as error:
            named += error.path == path
            continue
        assert values.shape[:2] == size_hw
        read += 1
    assert 20 < read < 380
    assert read + named == 400


def test_real_files_of_several_bands(shared_data: Path) -> None:
    """The numbers of real files, of floats and of whole numbers with a sign, are read as another decoder reads them."""
    import cv2

    paths = sorted((shared_data / "icevision_samples").rglob("*_bands_*.tif"))
    assert len(paths) >= 4
    for path in paths:
        theirs = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        ours = read_numbers(path).squeeze()
        if theirs.ndim == 3:
            assert np.array_equal(ours, theirs[..., ::-1])
        elif ours.ndim == 2:  # of several whole numbers with a sign, OpenCV makes a grey picture
            assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("bands", [1, 2, 3, 4, 9])
def test_what_is_written_is_read(dtype: str, bands: int, tmp_path: Path) -> None:
    """All types of numbers and any number of bands, also of an array that is not contiguous."""
    values = _values(dtype, bands)
    tiff.write_tiff(tmp_path / "new/a.tif", values[::-1])
    data = (tmp_path / "new/a.tif").read_bytes()
    np.testing.assert_array_equal(_decoded(data), values[::-1])
    assert check_image(tmp_path / "new/a.tif") == (19, 23)


def test_other_readers_read_what_is_written(tmp_path: Path) -> None:
    """Pillow reads a single band, and GDAL all of them."""
    values = _values("uint16", 7)
    tiff.write_tiff(tmp_path / "a.tif", values[..., 0])
    with Image.open(tmp_path / "a.tif") as picture:
        np.testing.assert_array_equal(np.asarray(picture), values[..., 0])
    rasterio = pytest.importorskip("rasterio")
    tiff.write_tiff(tmp_path / "b.tif", values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it lies nowhere on the earth
        with rasterio.open(tmp_path / "b.tif") as raster:
            np.testing.assert_array_equal(np.moveaxis(raster.read(), 0, -1), values)


@pytest.mark.parametrize("shape", [(2, 2, 2, 2), (0, 3), (4,)])
def test_arrays_that_are_no_images_are_not_written(shape: tuple[int, ...], tmp_path: Path) -> None:
    """Nor are those of other kinds, or too large ones."""
    with pytest.raises(OutputError, match=r"a\.tif: an array of shape .* cannot be written as TIFF"):
        tiff.write_tiff(tmp_path / "a.tif", np.zeros(shape))
    with pytest.raises(OutputError, match="type complex"):
        tiff.write_tiff(tmp_path / "a.tif", np.zeros((2, 2), complex))
    with pytest.raises(OutputError, match="4 GB at the most"):
        tiff.write_tiff(tmp_path / "a.tif", np.broadcast_to(np.zeros(1), (1 << 15, 1 << 15)))
    assert not (tmp_path / "a.tif").exists()
