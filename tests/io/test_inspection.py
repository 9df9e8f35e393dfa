"""Looking at very many files: quickly, and with the same judgement as the careful reading."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from easyseg.data.shapes import draw_shapes
from easyseg.errors import SampleError
from easyseg.io import inspection, plain_png
from easyseg.io.images import decode_image, read_image, read_mask
from easyseg.io.inspection import LEAST_SIDE, as_picture, inspect_image, inspect_mask, is_cut_off

Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Return a function that saves an array as a picture and returns its path."""

    def write(name: str, values: np.ndarray, **options: object) -> Path:
        path = tmp_path / name
        Image.fromarray(values).save(path, **options)
        return path

    return write


def photo(size: int = 80) -> np.ndarray:
    """Draw a picture, (size, size, 3) uint8."""
    return draw_shapes(size, np.random.default_rng(1))[0]


def with_exif(orientation: int) -> Image.Exif:
    """Return an EXIF block that turns a picture."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.tif", "a.webp"])
def test_images_of_every_format(save: Save, name: str) -> None:
    """Size, brightness and digest are those of the file, whichever way it is read."""
    path = save(name, photo())
    facts = inspect_image(path)
    assert facts.size_hw == (80, 80)
    assert (facts.orientation, facts.numbers, facts.highest) == (1, "bytes", 0)
    assert facts.sha256 == hashlib.sha256(path.read_bytes()).digest()
    assert np.abs(facts.grey.astype(int) - read_image(path, channels=1)[..., 0]).mean() < 1.5


def test_large_jpeg_files_are_decoded_smaller(save: Save) -> None:
    """The size is the whole picture's, the brightness that of a smaller one."""
    path = save("a.jpg", photo(600))
    facts = inspect_image(path)
    assert facts.size_hw == (600, 600)
    assert LEAST_SIDE <= min(facts.grey.shape) < 600
    whole = read_image(path, channels=1)[..., 0]
    smaller = cv2.resize(whole, facts.grey.shape[::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(facts.grey.astype(int) - smaller).mean() < 2


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_exif_turns_are_seen(save: Save, name: str, orientation: int) -> None:
    """A turned picture is upright in the facts, and how it was turned is told."""
    path = save(name, photo()[:50], exif=with_exif(orientation))
    facts = inspect_image(path)
    assert facts.orientation == orientation
    assert facts.size_hw == read_image(path).shape[:2]
    assert inspect_mask(save("m.png", photo()[:50, :, 0], exif=with_exif(orientation))).orientation == orientation


def test_unusual_jpeg_files_go_the_careful_way(save: Save, tmp_path: Path) -> None:
    """CMYK pictures, and those with data behind their end, are read as a training reads them."""
    cmyk = tmp_path / "cmyk.jpg"
    Image.fromarray(photo()).convert("CMYK").save(cmyk)
    trailing = save("trailing.jpg", photo())
    trailing.write_bytes(trailing.read_bytes() + b"appended" * 9)
    for path in (cmyk, trailing):
        assert (inspect_image(path).grey == read_image(path, channels=1)[..., 0]).all()


def test_16_bit_images_tell_their_highest_value(save: Save) -> None:
    """Numbers that are no bytes are reported before they are brought to these."""
    facts = inspect_image(save("wide.png", np.full((9, 9), 4000, np.uint16)))
    assert (facts.numbers, facts.highest) == ("integers", 4000)
    facts = inspect_image(save("float.tif", np.full((9, 9), 0.5, np.float32)))
    assert (facts.numbers, facts.highest) == ("floats", 0.5)


def test_tiff_files_that_pillow_does_not_know(tmp_path: Path) -> None:
    """A float TIFF of three bands has no header for Pillow, and facts all the same."""
    path = tmp_path / "bands.tif"
    cv2.imwrite(str(path), np.full((7, 8, 3), 0.25, np.float32))
    facts = inspect_image(path)
    assert facts.size_hw == (7, 8)
    assert facts.orientation == 1


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("grey.png", np.arange(48, dtype=np.uint8).reshape(6, 8)),
        ("wide.png", np.arange(48, dtype=np.uint16).reshape(6, 8) * 1000),
        ("rgb.png", photo(8)),
        ("bits.png", np.eye(8, dtype=bool)),
        ("grey.tif", np.arange(48, dtype=np.uint8).reshape(6, 8)),
    ],
)
def test_masks_hold_the_same_values(save: Save, name: str, values: np.ndarray) -> None:
    """The short way and the careful way give one and the same mask."""
    path = save(name, values)
    facts, mask = inspect_mask(path), read_mask(path)
    assert (facts.mask.values == mask.values).all()
    assert facts.mask.kind == mask.kind


def test_palettes_stay_palettes(save: Save, tmp_path: Path) -> None:
    """A palette mask gives its indices and its colours."""
    picture = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8))
    picture.putpalette([9, 8, 7, 0, 255, 0, 1, 2, 3])
    picture.save(tmp_path / "p.png")
    mask = inspect_mask(tmp_path / "p.png").mask
    assert mask.kind == "palette"
    assert mask.values.tolist() == [[0, 1], [2, 1]]
    assert mask.palette is not None
    assert mask.palette[1] == (0, 255, 0)


@pytest.mark.parametrize("content", [None, b"", b"no picture at all"], ids=["missing", "empty", "text"])
def test_what_is_no_picture_is_refused_in_words(tmp_path: Path, content: bytes | None) -> None:
    """A file that is not there, empty or text is refused with the words of the careful reading."""
    path = tmp_path / "a.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SampleError) as expected:
        read_image(path)
    for inspect in (inspect_image, inspect_mask):
        with pytest.raises(SampleError) as refused:
            inspect(path)
        assert str(refused.value) == str(expected.value)


def test_folders_are_no_files(tmp_path: Path) -> None:
    """A folder in the place of an image is told as such."""
    with pytest.raises(SampleError, match="folder"):
        inspect_image(tmp_path)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.webp", "a.tif"])
def test_files_that_lack_their_end(save: Save, name: str) -> None:
    """Half a file of any format is known for what it is, a whole one is not."""
    path = save(name, photo())
    assert not is_cut_off(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert is_cut_off(path)


def test_other_damage_is_not_a_missing_end(tmp_path: Path) -> None:
    """Text, an empty file and a missing one are damaged in other ways."""
    for name, content in (("a.png", b"text"), ("b.png", b"")):
        (tmp_path / name).write_bytes(content)
        assert not is_cut_off(tmp_path / name)
    assert not is_cut_off(tmp_path / "gone.png")


def test_a_picture_too_large_is_not_decoded(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit on pixels holds on the short way, too."""
    image, mask = save("a.png", photo()), save("m.png", photo()[..., 0])
    jpeg = save("a.jpg", photo())
    for module in (inspection, plain_png):
        monkeypatch.setattr(module, "MAX_PIXELS", 6399)
    for path in (image, jpeg):
        assert inspection._plain_image(path.read_bytes()) is None
    assert plain_png.plain_png(mask.read_bytes()) is None


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Return a file's bytes cut off, with one bit changed, or with a hole."""
    at = chance.randrange(1, len(data))
    kind = chance.randrange(3)
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
    return data[:at] + bytes(len(data[at : at + 40])) + data[at + 40 :]


def test_the_short_way_accepts_nothing_that_the_careful_way_refuses(save: Save) -> None:
    """Of hundreds of damaged files, none slips through, and none changes its size."""
    chance = random.Random(0)
    files = [save(name, photo()) for name in ("a.png", "a.jpg")] + [save("m.png", photo()[..., 0] // 80)]
    taken = 0
    for path in files:
        data = path.read_bytes()
        for _ in range(150):
            changed = damaged(data, chance)
            facts = inspection._plain_image(changed)
            if facts is not None:
                taken += 1
                assert decode_image(path, changed).shape[:2] == facts.size_hw
    assert taken > 50, "some damage does no harm, or nothing was tried"


def test_the_short_way_of_masks_reads_what_the_careful_way_reads(tmp_path: Path) -> None:
    """Damaged masks that OpenCV wrote are refused, or have the values that the careful way finds."""
    chance = random.Random(1)
    path, refused = tmp_path / "m.png", 0
    cv2.imwrite(str(path), photo()[..., 0] // 80)
    data = path.read_bytes()
    for _ in range(150):
        path.write_bytes(damaged(data, chance))
        try:
            values = inspect_mask(path).mask.values
        except SampleError:
            refused += 1
        else:
            assert (values == read_mask(path).values).all()
    assert refused > 50


@pytest.mark.parametrize("values", [[np.nan] * 4, [np.nan, 1.0, 2.0, np.inf], [1e308, -1e308, 0.0, 5.0], [7.0] * 4])
def test_numbers_that_are_none_make_no_noise(values: list[float]) -> None:
    """They become some shade of grey, without a warning."""
    picture = as_picture(np.array(values).reshape(2, 2))
    assert picture.dtype == np.uint8
    assert picture.shape == (2, 2)


def test_numbers_are_spread_from_black_to_white() -> None:
    """Bytes stay as they are, everything else from its lowest to its highest value."""
    assert as_picture(np.array([[3, 9]], np.uint8)).tolist() == [[3, 9]]
    assert as_picture(np.array([[100, 160, 200]], np.int32)).tolist() == [[0, 153, 255]]
    assert as_picture(np.array([[True, False]])).tolist() == [[255, 0]]
