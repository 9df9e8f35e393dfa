"""Images come out as RGB bytes, masks as stored, damaged files as errors that name them."""

from __future__ import annotations

import io
import resource
import struct
import time
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from easyseg.errors import OutputError, SampleError
from easyseg.io import decoding
from easyseg.io.images import (
    IMAGE_SUFFIXES,
    RawMask,
    check_image,
    image_size,
    read_image,
    read_mask,
    to_bytes,
    write_image,
)
from easyseg.io.inspection import inspect_image, inspect_mask

ImageArray = npt.NDArray[np.uint8]


@pytest.fixture
def photo() -> ImageArray:
    """A colourful (37, 53, 3) image without symmetry."""
    rows, columns = np.mgrid[0:37, 0:53]
    return np.stack([rows * 6, columns * 4, (rows * columns) % 256], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp"])
def test_lossless_formats_round_trip(tmp_path: Path, photo: ImageArray, suffix: str) -> None:
    """What is written is read back, pixel by pixel, in RGB order."""
    path = tmp_path / f"photo{suffix}"
    if suffix == ".webp":
        Image.fromarray(photo).save(path, lossless=True)
    else:
        write_image(path, photo)
    assert np.array_equal(read_image(path), photo)
    assert image_size(path) == check_image(path) == (37, 53)


def test_jpeg_round_trip_is_close(tmp_path: Path) -> None:
    """A smooth JPEG comes back nearly unchanged and in RGB order."""
    image = np.full((32, 48, 3), (200, 100, 30), np.uint8)
    write_image(tmp_path / "photo.jpg", image)
    assert np.abs(read_image(tmp_path / "photo.jpg").astype(int) - image).max() <= 4
    assert image_size(tmp_path / "photo.jpg") == check_image(tmp_path / "photo.jpg") == (32, 48)


def test_fast_decoding_equals_pillow(tmp_path: Path, photo: ImageArray) -> None:
    """The fast path gives the pixels that Pillow gives, for PNG and JPEG, in grey and colour."""
    for mode in ("RGB", "L"):
        for suffix in ("png", "jpg"):
            path = tmp_path / f"{mode}.{suffix}"
            Image.fromarray(photo).convert(mode).save(path)
            with Image.open(path) as image:
                assert np.array_equal(read_image(path), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_every_mode_becomes_rgb_grey_or_rgba(tmp_path: Path, photo: ImageArray, mode: str) -> None:
    """All of Pillow's modes give 1, 3 and 4 channels of bytes."""
    image = Image.fromarray(photo)
    if mode == "I;16":
        image = Image.fromarray(photo[..., 0].astype(np.uint16) * 257)
    else:
        image = image.convert("L").convert(mode) if mode == "LA" else image.convert(mode)
    path = tmp_path / ("image.tif" if mode in ("CMYK", "YCbCr") else "image.png")
    image.save(path)
    for channels in (1, 3, 4):
        pixels = read_image(path, channels=channels)
        assert pixels.shape == (37, 53, channels)
        assert pixels.dtype == np.uint8
        assert pixels.flags.c_contiguous


def test_grey_is_repeated_and_alpha_dropped(tmp_path: Path, photo: ImageArray) -> None:
    """Grey fills three channels; RGBA loses alpha and keeps colours, even where transparent; RGB gains full alpha."""
    write_image(tmp_path / "grey.png", photo[..., 0])
    assert np.array_equal(read_image(tmp_path / "grey.png"), np.repeat(photo[..., :1], 3, axis=2))
    assert np.array_equal(read_image(tmp_path / "grey.png", channels=1), photo[..., :1])
    rgba = np.dstack([photo, np.zeros((37, 53), np.uint8)])
    write_image(tmp_path / "clear.png", rgba)
    assert np.array_equal(read_image(tmp_path / "clear.png"), photo)
    assert np.array_equal(read_image(tmp_path / "clear.png", channels=4), rgba)
    write_image(tmp_path / "photo.png", photo)
    assert (read_image(tmp_path / "photo.png", channels=4)[..., 3] == 255).all()


def test_16_bit_images_keep_their_upper_byte(tmp_path: Path) -> None:
    """Scaling depends on the number type, never on the image's own extremes."""
    values = np.array([[0, 255, 256], [4096, 32768, 65535]], np.uint16)
    write_image(tmp_path / "deep.png", values)
    assert read_image(tmp_path / "deep.png", channels=1)[..., 0].tolist() == [[0, 0, 1], [16, 128, 255]]


def test_float_images_hold_0_to_1_or_whole_numbers_to_255(tmp_path: Path) -> None:
    """Float TIFFs in either range are read; those of another range or of unclear white are refused in words."""
    for name, values in (("unit", [0, 0.5, 1]), ("bytes", [0, 128, 255])):
        Image.fromarray(np.array([values], np.float32)).save(tmp_path / f"{name}.tif")
        assert read_image(tmp_path / f"{name}.tif", channels=1)[..., 0].tolist() == [[0, 128, 255]]
    Image.fromarray(np.array([[-5.0, 900.0]], np.float32)).save(tmp_path / "height.tif")
    with pytest.raises(SampleError, match=r"height\.tif: the values of type float32 reach from -5\.0 to 900\.0"):
        read_image(tmp_path / "height.tif")
    Image.fromarray(np.array([[0.25, 3.5]], np.float32)).save(tmp_path / "bright.tif")
    with pytest.raises(SampleError, match=r"bright\.tif: .*3\.5, with fractions; expected 0 to 1.*np\.rint"):
        read_image(tmp_path / "bright.tif")


def test_16_bit_files_of_either_byte_order_are_read(tmp_path: Path) -> None:
    """A big-endian TIFF holds the same image and mask as a little-endian one."""
    values = np.array([[0, 256, 65535]])
    for mode, dtype in (("I;16", "<u2"), ("I;16B", ">u2")):
        path = tmp_path / "deep.tif"
        Image.frombytes(mode, (3, 1), values.astype(dtype).tobytes()).save(path)
        assert read_image(path, channels=1)[..., 0].tolist() == [[0, 1, 255]]
        assert read_mask(path).values.tolist() == values.tolist()


@pytest.mark.parametrize(
    ("values", "white", "expected"),
    [
        (np.array([False, True]), None, [0, 255]),
        (np.array([0, 1, 255], np.int64), None, [0, 1, 255]),
        (np.array([0, 1.0]), None, [0, 255]),
        (np.array([0, 1.0]), 255, [0, 1]),
        (np.array([0.4, 200.6]), 255, [0, 201]),
    ],
)
def test_brightness_of_every_type_becomes_bytes(
    values: npt.NDArray[np.generic], white: float | None, expected: list[int]
) -> None:
    """Types decide on the scale; for floats one may say what is white."""
    assert to_bytes(values, "x", white=white).tolist() == expected


def test_nan_pixels_are_refused(tmp_path: Path) -> None:
    """An image with NaN is an error, not a black pixel."""
    Image.fromarray(np.array([[0.5, np.nan]], np.float32)).save(tmp_path / "hole.tif")
    with pytest.raises(SampleError, match="nan"):
        read_image(tmp_path / "hole.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_orientation_is_applied_to_images_and_masks(
    tmp_path: Path, photo: ImageArray, orientation: int, suffix: str
) -> None:
    """A turned picture comes out upright, as Pillow turns it, in size and pixels."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned{suffix}"
    Image.fromarray(photo).save(path, exif=exif)
    with Image.open(path) as image:
        from PIL import ImageOps

        expected = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(read_image(path), expected)
    assert image_size(path) == expected.shape[:2]
    if suffix == ".png":
        assert np.array_equal(read_mask(path).values, expected)


def test_damaged_exif_does_not_matter(tmp_path: Path, photo: ImageArray) -> None:
    """A broken EXIF block leaves the pixels usable."""
    Image.fromarray(photo).save(tmp_path / "photo.png", exif=b"nonsense")
    assert np.array_equal(read_image(tmp_path / "photo.png"), photo)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp", ".webp", ".gif"])
@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.97])
def test_cut_off_files_are_named(tmp_path: Path, photo: ImageArray, suffix: str, part: float) -> None:
    """A file cut off anywhere is an error that names it, for images and for masks."""
    path = tmp_path / f"half{suffix}"
    Image.fromarray(photo).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    for read in (read_image, read_mask):
        with pytest.raises(SampleError) as caught:
            read(path)
        assert caught.value.path == path
        assert str(path) in str(caught.value)


def test_cut_off_png_and_jpeg_are_found_without_decoding(tmp_path: Path, photo: ImageArray) -> None:
    """The cheap check finds files that end too early."""
    for suffix in (".png", ".jpg"):
        path = tmp_path / f"half{suffix}"
        Image.fromarray(photo).save(path)
        path.write_bytes(path.read_bytes()[:-30])
        with pytest.raises(SampleError, match="half"):
            check_image(path)


def test_jpeg_with_appended_data_is_fine(tmp_path: Path, photo: ImageArray) -> None:
    """Phones append videos to their photos; the photo stays readable."""
    path = tmp_path / "motion.jpg"
    Image.fromarray(photo).save(path)
    expected = read_image(path)
    path.write_bytes(path.read_bytes() + bytes(100_000))
    assert check_image(path) == (37, 53)
    assert np.array_equal(read_image(path), expected)


def test_flipped_bits_in_a_png_are_found(tmp_path: Path, photo: ImageArray) -> None:
    """A PNG whose bytes changed fails its checksum instead of giving other pixels."""
    path = tmp_path / "bits.png"
    write_image(path, photo)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    for read in (read_image, read_mask):
        with pytest.raises(SampleError, match=r"bits\.png: the PNG file is damaged"):
            read(path)


def mutate_pictures(folder: Path, photo: ImageArray, count: int) -> tuple[Counter[str], float]:
    """Read mutated files of each format in every way; return how many were read and refused, and the longest time."""
    rng = np.random.default_rng(count)
    outcomes: Counter[str] = Counter()
    longest = 0.0
    for suffix in (".png", ".jpg", ".tif", ".bmp", ".webp", ".gif", ".ppm"):
        stream = io.BytesIO()
        Image.fromarray(photo).save(stream, Image.registered_extensions()[suffix])
        path = folder / f"mutated{suffix}"
        for _ in range(count):
            data = bytearray(stream.getvalue())
            for at in rng.integers(0, min(len(data), 400), 6):
                data[at] = rng.integers(0, 256)
            path.write_bytes(bytes(data))
            for read in (read_image, read_mask, image_size, check_image, inspect_image, inspect_mask):
                begin = time.perf_counter()
                try:
                    read(path)
                    outcomes["read"] += 1
                except SampleError as error:
                    outcomes["refused" if Path(error.path) == path else "refused by another name"] += 1
                longest = max(longest, time.perf_counter() - begin)
    return outcomes, longest


def test_random_bytes_raise_only_sample_errors(tmp_path: Path, photo: ImageArray) -> None:
    """Mutated files of every format give an image or a SampleError that names them, nothing else."""
    outcomes, _ = mutate_pictures(tmp_path, photo, 40)
    assert outcomes.keys() == {"read", "refused"}
    assert min(outcomes.values()) > 50


@pytest.mark.slow
def test_ten_thousand_mutated_pictures(tmp_path: Path, photo: ImageArray) -> None:
    """None takes 5 s, and the memory stays below 1 GB."""
    outcomes, longest = mutate_pictures(tmp_path, photo, 1450)
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"{dict(outcomes)}, the longest took {longest:.2f} s, peak {peak_bytes / 2**20:.0f} MiB")
    assert outcomes.keys() == {"read", "refused"}
    assert min(outcomes.values()) > 2000
    assert longest < 5
    assert peak_bytes < 1 << 30


def test_missing_file_names_its_neighbour(tmp_path: Path, photo: ImageArray) -> None:
    """A missing file is named, and the nearest name offered."""
    write_image(tmp_path / "street_01.png", photo)
    with pytest.raises(SampleError, match=r"street_1\.png: the file does not exist\. .*'street_01\.png'"):
        read_image(tmp_path / "street_1.png")
    with pytest.raises(SampleError, match="Its folder does not exist"):
        read_image(tmp_path / "none" / "street_1.png")


def test_empty_files_folders_and_other_files_are_named(tmp_path: Path) -> None:
    """What is no picture is refused with what was found instead."""
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "page.png").write_bytes(b"<html>no</html>")
    (tmp_path / "pointer.png").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    (tmp_path / "folder.png").mkdir()
    for name, words in (
        ("empty.png", "empty"),
        ("page.png", "starts with the bytes b'<html>no'"),
        ("pointer.png", "git lfs pull"),
        ("folder.png", "this is a folder"),
    ):
        for read in (read_image, read_mask, image_size, check_image):
            with pytest.raises(SampleError, match=words):
                read(tmp_path / name)


def test_huge_images_are_refused_before_decoding(tmp_path: Path) -> None:
    """A small file that claims to hold a huge image is an error, at once."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )
    (tmp_path / "bomb.png").write_bytes(data)
    for read in (read_image, read_mask, image_size):
        with pytest.raises(SampleError, match="60000 x 60000 pixels; at most"):
            read(tmp_path / "bomb.png")


def test_stacks_of_pages_are_refused(tmp_path: Path, photo: ImageArray) -> None:
    """A TIFF of several equal pages is refused, one with a preview page is read."""
    page = Image.fromarray(photo)
    page.save(tmp_path / "stack.tif", save_all=True, append_images=[page, page])
    with pytest.raises(SampleError, match="3 pages"):
        read_image(tmp_path / "stack.tif")
    page.save(tmp_path / "preview.tif", save_all=True, append_images=[page.resize((10, 10))])
    assert np.array_equal(read_image(tmp_path / "preview.tif"), photo)


def test_number_of_channels_must_be_one_an_image_file_has(tmp_path: Path, photo: ImageArray) -> None:
    """Five channels are refused with the way out."""
    write_image(tmp_path / "photo.png", photo)
    with pytest.raises(SampleError, match=r"has 3 channels, 5 are needed\. Type in_channels=3"):
        read_image(tmp_path / "photo.png", channels=5)


def test_grey_masks_keep_every_value(tmp_path: Path) -> None:
    """8-bit and 16-bit values come back as stored, above 255 as well."""
    small = np.array([[0, 1, 254, 255]], np.uint8)
    large = np.array([[0, 255, 256, 300, 65535]], np.uint16)
    write_image(tmp_path / "small.png", small)
    write_image(tmp_path / "large.png", large)
    assert np.array_equal(read_mask(tmp_path / "small.png").values, small)
    mask = read_mask(tmp_path / "large.png")
    assert np.array_equal(mask.values, large)
    assert mask.kind == "grey"


def test_palette_masks_give_indices_and_colours(tmp_path: Path) -> None:
    """A palette file gives its indices, not its colours or their grey values, for all 256 entries."""
    rng = np.random.default_rng(0)
    indices = np.arange(256, dtype=np.uint8).reshape(16, 16)
    palette = rng.integers(0, 256, (256, 3)).astype(np.uint8)
    image = Image.frombytes("P", (16, 16), indices.tobytes())
    image.putpalette(palette.tobytes())
    image.save(tmp_path / "mask.png")
    mask = read_mask(tmp_path / "mask.png")
    assert mask.kind == "palette"
    assert np.array_equal(mask.values, indices)
    assert mask.palette is not None
    assert np.array_equal(np.array(mask.palette), palette)
    assert np.array_equal(mask.as_rgb(), palette[indices])


def test_one_bit_masks_give_0_and_1(tmp_path: Path) -> None:
    """Black and white files of one bit become 0 and 1."""
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "bits.png")
    assert read_mask(tmp_path / "bits.png").values.tolist() == [[1, 0]]


def test_colour_masks_stay_colours_unless_grey(tmp_path: Path, photo: ImageArray) -> None:
    """RGB and RGBA masks keep colours; where all channels agree they are grey."""
    write_image(tmp_path / "color.png", photo)
    assert np.array_equal(read_mask(tmp_path / "color.png").values, photo)
    assert read_mask(tmp_path / "color.png").kind == "rgb"
    grey = np.repeat(photo[..., :1], 3, axis=2)
    write_image(tmp_path / "grey.png", np.dstack([grey, photo[..., 0]]))
    mask = read_mask(tmp_path / "grey.png")
    assert mask.kind == "grey"
    assert np.array_equal(mask.values, photo[..., 0])
    Image.fromarray(photo[..., 0]).convert("LA").save(tmp_path / "la.png")
    assert np.array_equal(read_mask(tmp_path / "la.png").values, photo[..., 0])


def test_raw_masks_show_their_colours() -> None:
    """Grey and RGB masks give the colours one sees."""
    grey = RawMask(np.array([[7]], np.uint8), "grey")
    assert grey.as_rgb().tolist() == [[[7, 7, 7]]]
    color = np.array([[[1, 2, 3]]], np.uint8)
    assert np.array_equal(RawMask(color, "rgb").as_rgb(), color)


def test_float_masks_must_hold_whole_numbers(tmp_path: Path) -> None:
    """Whole numbers in a float file are ids, fractions an error."""
    Image.fromarray(np.array([[0, 7, 300]], np.float32)).save(tmp_path / "ids.tif")
    assert read_mask(tmp_path / "ids.tif").values.tolist() == [[0, 7, 300]]
    Image.fromarray(np.array([[0.5]], np.float32)).save(tmp_path / "soft.tif")
    with pytest.raises(SampleError, match=r"soft\.tif: the mask holds fractions"):
        read_mask(tmp_path / "soft.tif")


def test_jpeg_masks_of_several_values_are_refused(tmp_path: Path, photo: ImageArray) -> None:
    """JPEG changes ids, so such masks are refused with the reason."""
    write_image(tmp_path / "mask.jpg", photo[..., 0])
    with pytest.raises(SampleError, match=r"JPEG file cannot hold a mask of several classes.*PNG"):
        read_mask(tmp_path / "mask.jpg")


def test_tiff_that_only_opencv_knows_is_read_or_explained(tmp_path: Path) -> None:
    """Three float bands, which Pillow cannot open, become an image where they hold 0..1, and never a mask."""
    import cv2

    bands = np.zeros((4, 5, 3), np.float32)
    bands[..., 0] = 1.0  # blue in OpenCV's order
    cv2.imwrite(str(tmp_path / "bands.tif"), bands)
    assert read_image(tmp_path / "bands.tif")[0, 0].tolist() == [0, 0, 255]
    with pytest.raises(SampleError, match="3 channels of type float32"):
        read_mask(tmp_path / "bands.tif")


def test_writing_refuses_what_is_no_image(tmp_path: Path) -> None:
    """Wrong suffixes, types and shapes are errors that name the file, and nothing is written."""
    with pytest.raises(OutputError, match=r"cannot be written as '\.xyz'; expected one of \.png"):
        write_image(tmp_path / "mask.xyz", np.zeros((2, 2), np.uint8))
    for array in (
        np.zeros((2, 2), np.float32),
        np.zeros((2, 2, 2), np.uint8),
        np.zeros((0, 2), np.uint8),
        np.zeros((4,), np.uint8),
    ):
        with pytest.raises(OutputError, match="is no image"):
            write_image(tmp_path / "mask.png", array)
    with pytest.raises(OutputError, match="is no image"):
        write_image(tmp_path / "deep.jpg", np.zeros((2, 2), np.uint16))
    assert list(tmp_path.iterdir()) == []


def test_suffixes_are_lower_case_and_read() -> None:
    """Suffixes are given in one form."""
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in IMAGE_SUFFIXES)


def test_the_limit_is_the_one_checked(tmp_path: Path, photo: ImageArray, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image of exactly the limit is read, one above refused."""
    write_image(tmp_path / "photo.png", photo)
    monkeypatch.setattr(decoding, "MAX_PIXELS", 37 * 53)
    assert read_image(tmp_path / "photo.png").shape == (37, 53, 3)
    monkeypatch.setattr(decoding, "MAX_PIXELS", 37 * 53 - 1)
    with pytest.raises(SampleError, match="at most"):
        read_image(tmp_path / "photo.png")


def test_real_files_of_all_kinds(shared_data: Path) -> None:
    """Every real image is read at the size its header says, or refused because its values are no brightness."""
    paths = [path for path in sorted((shared_data / "icevision_samples").rglob("*")) if path.suffix in IMAGE_SUFFIXES]
    refused = {path for path in paths if "bands_float" in path.name or "bands_int" in path.name}
    refused |= {path for path in paths if "bands_int32" in path.name or path.name == "test_3_bands_int8.tif"}
    assert len(paths) > 20
    for path in paths:
        if path in refused:
            with pytest.raises(SampleError, match="the values of type"):
                read_image(path)
        else:
            assert read_image(path).shape == (*image_size(path), 3)
