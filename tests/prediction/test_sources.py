"""Finding what to predict on, and reading it ahead: lazily, in order, with bounded memory."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from easyseg.brightness import ValueRange
from easyseg.errors import DataError, SampleError
from easyseg.io.images import write_image
from easyseg.prediction.sources import Source, ahead, find_sources, is_single

RGB = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with images in it and below it, and other files."""
    for name in ("b.png", "a.JPG", "inner/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_image((tmp_path / name).with_suffix(".png"), RGB)
        (tmp_path / name).with_suffix(".png").rename(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def names(source: object, **options: bool) -> list[str]:
    """Return the file names of the sources found."""
    return [one.path.name if one.path else "array" for one in find_sources(source, **options)]


def test_folder_gives_its_images_in_order(folder: Path) -> None:
    """Sorted by path, in folders below too unless told otherwise; other files are passed over."""
    assert names(folder) == ["a.JPG", "b.png", "c.png"]
    assert names(str(folder), recursive=False) == ["a.JPG", "b.png"]


def test_hidden_files_are_passed_over(folder: Path) -> None:
    """What other programs leave beside images, under names that begin with a dot, is no image."""
    (folder / ".cache").mkdir()
    for name in ("._a.JPG", ".cache/b.png"):
        (folder / name).write_bytes(b"no image")
    assert names(folder) == ["a.JPG", "b.png", "c.png"]
    assert names(folder, recursive=False) == ["a.JPG", "b.png"]


def test_images_below_a_hidden_folder_are_found_where_it_is_named(tmp_path: Path) -> None:
    """Only what lies below the folder given counts as hidden."""
    (tmp_path / ".photos").mkdir()
    write_image(tmp_path / ".photos" / "a.png", RGB)
    assert names(tmp_path / ".photos") == ["a.png"]


def test_pattern_gives_the_images_that_match(folder: Path) -> None:
    """A glob pattern finds images only; ** reaches below."""
    assert names(str(folder / "*")) == ["a.JPG", "b.png"]
    assert names(folder / "**" / "*.png") == ["b.png", "c.png"]


def test_name_with_brackets_is_a_file_before_it_is_a_pattern(tmp_path: Path) -> None:
    """A file that exists is never taken for a pattern."""
    path = tmp_path / "scan[1].png"
    write_image(path, RGB)
    assert names(path) == ["scan[1].png"]
    assert is_single(str(path))


def test_lists_may_be_mixed(folder: Path) -> None:
    """Files, folders, arrays and pictures in one list come out in its order."""
    mixed = [folder / "b.png", RGB, str(folder / "inner"), Image.fromarray(RGB), np.stack([RGB, RGB])]
    assert names(mixed) == ["b.png", "array", "c.png", "array", "array", "array"]


def test_sources_are_found_one_at_a_time() -> None:
    """An endless iterable can be drawn from."""
    found = find_sources(RGB for _ in itertools.count())
    assert next(found).path is None
    assert np.array_equal(next(found).pixels(3), RGB)


@pytest.mark.parametrize(
    ("array", "channels", "expected"),
    [
        (RGB, 3, RGB),
        (RGB[..., 0], 3, np.repeat(RGB[..., :1], 3, axis=2)),
        (RGB[..., :1], 3, np.repeat(RGB[..., :1], 3, axis=2)),
        (RGB[..., 0], 1, RGB[..., :1]),
        (np.dstack([RGB, RGB[..., :1]]), 3, RGB),
        (np.dstack([RGB, RGB]), 6, np.dstack([RGB, RGB])),
        (RGB[::-1, :, ::-1], 3, RGB[::-1, :, ::-1]),
    ],
)
def test_array_comes_with_the_channels_the_model_takes(array: np.ndarray, channels: int, expected: np.ndarray) -> None:
    """Grey is repeated, alpha left out; the result is contiguous."""
    (source,) = find_sources(array)
    pixels = source.pixels(channels)
    assert np.array_equal(pixels, expected)
    assert pixels.flags.c_contiguous


def test_wrong_number_of_channels_is_refused() -> None:
    """The error names both numbers."""
    (source,) = find_sources(RGB)
    with pytest.raises(DataError, match=r"has 3 channels, but the model takes 5\. .*\(H, W, 5\)"):
        source.pixels(5)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_picture_of_any_mode_is_one_image(mode: str) -> None:
    """Palettes and bit maps become what one sees; the size stays."""
    picture = Image.new("RGB", (5, 4), (255, 255, 255)).convert(mode)
    (source,) = find_sources(picture)
    assert source.pixels(3).shape == (4, 5, 3)
    assert (source.pixels(3) == 255).all()
    assert picture.mode == mode


def test_wide_and_turned_pictures_are_read_like_files(tmp_path: Path) -> None:
    """16-bit pictures keep their upper byte, and EXIF says which side is up."""
    values = np.array([[0, 256, 65535]])
    (source,) = find_sources(Image.frombytes("I;16", (3, 1), values.astype("<u2").tobytes()))
    assert source.pixels(1)[..., 0].tolist() == [[0, 1, 255]]
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RGB).save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as picture:
        (source,) = find_sources(picture)
        assert np.array_equal(source.pixels(3), np.rot90(RGB, -1))
    (file,) = find_sources(tmp_path / "turned.png")
    assert np.array_equal(file.pixels(3), source.pixels(3))
    (source,) = find_sources(Image.fromarray(values.astype(np.int32)))
    with pytest.raises(DataError, match="PIL image: the values of type int32 reach from 0 to 65535"):
        source.pixels(3)


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.zeros((4, 4, 3)), "float64"),
        (np.zeros((4, 4, 3), np.int64), "int64"),
        (np.zeros((4,), np.uint8), r"\(4,\)"),
        (np.zeros((0, 4, 3), np.uint8), r"\(0, 4, 3\)"),
        (np.zeros((1, 1, 2, 2, 3), np.uint8), r"\(1, 1, 2, 2, 3\)"),
    ],
)
def test_array_that_is_no_image_is_refused(array: np.ndarray, found: str) -> None:
    """The error says shape and type found, those expected, and how to convert."""
    with pytest.raises(DataError, match=rf"{found}.*expected \(H, W\) or \(H, W, C\) uint8.*astype\('uint8'\)"):
        [source.pixels(3) for source in find_sources(array)]


@pytest.mark.parametrize(("kind", "place"), [("tif", r"dark\.tif"), ("png", r"dark\.png"), ("PIL", "PIL image")])
def test_unused_bits_are_refused_where_no_range_is_known(tmp_path: Path, kind: str, place: str) -> None:
    """12 bits in files of 16 would be nearly black for a model of bytes; with its range, or brighter, they are read."""

    def source_of(values: np.ndarray) -> Source:
        picture = Image.fromarray(values)
        if kind == "PIL":
            return next(find_sources(picture))
        picture.save(tmp_path / f"dark.{kind}")
        return next(find_sources(tmp_path / f"dark.{kind}"))

    dark = np.array([[0, 2047, 4095]], np.uint16)
    with pytest.raises(SampleError, match=rf"{place}: its 16-bit values reach up to 4095 only.*as an 8-bit image"):
        source_of(dark).pixels(1)
    assert source_of(dark + 1).pixels(1).ravel().tolist() == [0, 8, 16]
    scaled = source_of(dark).pixels(1, ValueRange((0.0,), (4095.0,), "integers"))
    assert scaled.ravel().tolist() == [0, 127, 255]


def test_arrays_are_scaled_as_the_network_knows_them() -> None:
    """Arrays of the network's kind of numbers are scaled; arrays of bytes are bytes in any case."""
    value_range = ValueRange((-1.0,), (3.0,), "floats")
    (source,) = find_sources(np.array([[[-1.0], [1.0], [5.0]]]))
    assert source.pixels(3, value_range)[0].tolist() == [[0] * 3, [128] * 3, [255] * 3]
    (source,) = find_sources(RGB)
    assert np.array_equal(source.pixels(3, value_range), RGB)


@pytest.mark.parametrize("thing", [3, None, [None], torch.zeros(3, 4, 4), [torch.zeros(3, 4, 4)], {"a": RGB}, b"bytes"])
def test_thing_of_another_kind_is_refused(thing: object) -> None:
    """The error names the type and what to give instead."""
    with pytest.raises(DataError, match=r"Cannot predict on a \w+\. Give a file, a folder"):
        list(find_sources(thing))


def test_a_tensor_is_one_thing() -> None:
    """So that what is wrong with it is said at once, and not when the first of three results is asked for."""
    assert is_single(torch.zeros(3, 4, 4))


def test_missing_file_is_named_with_the_nearest_one(folder: Path) -> None:
    """A misspelt name is answered with the file that is meant."""
    with pytest.raises(DataError, match=r"no file or folder '.*bb\.png'\. Did you mean 'b\.png'\?"):
        list(find_sources(folder / "bb.png"))
    with pytest.raises(DataError, match=r"no file or folder '.*x\.png'\. Check the path"):
        list(find_sources(folder / "none" / "x.png"))


def test_nothing_to_predict_on_is_an_error(tmp_path: Path) -> None:
    """An empty folder and a pattern without a match are mistakes; an empty list is what it is."""
    with pytest.raises(DataError, match=r"holds no image \(\.bmp, "):
        list(find_sources(tmp_path))
    with pytest.raises(DataError, match=r"The pattern '.*\*\.png' matches no image"):
        list(find_sources(tmp_path / "*.png"))
    assert list(find_sources([])) == []


def test_one_image_is_told_from_several(folder: Path) -> None:
    """What is single gives a result, all else an iterator of results."""
    assert is_single(folder / "b.png")
    assert is_single("missing.png")
    assert is_single(RGB)
    assert is_single(RGB[..., 0])
    assert is_single(Image.fromarray(RGB))
    assert not is_single(folder)
    assert not is_single(str(folder / "*.png"))
    assert not is_single(np.stack([RGB]))
    assert not is_single([RGB])


def test_outcomes_come_in_order_whoever_is_first() -> None:
    """A slow first item does not let the others pass."""

    def prepare(number: int) -> int:
        time.sleep(0.05 if number == 0 else 0)
        return number * number

    assert list(ahead(range(20), prepare, threads=4, depth=lambda _: 6)) == [number * number for number in range(20)]


def test_reading_stays_a_bounded_way_ahead() -> None:
    """However slowly outcomes are used, no more than `depth` and the one in hand have been drawn."""
    drawn: list[int] = []

    def items() -> Iterator[int]:
        for number in itertools.count():
            drawn.append(number)
            yield number

    outcomes = ahead(items(), lambda number: number, threads=2, depth=lambda _: 3)
    assert not drawn
    for used in range(10):
        assert next(outcomes) == used
        assert len(drawn) <= used + 1 + 3
    outcomes.close()
    assert len(drawn) == 13


def test_large_outcomes_are_fewer() -> None:
    """How far to be ahead follows what came last, and is small until something has."""
    drawn: list[int] = []

    def items() -> Iterator[int]:
        for number in itertools.count():
            drawn.append(number)
            yield number

    outcomes = ahead(items(), lambda number: number, threads=2, depth=lambda number: 9 if number < 5 else 1)
    assert next(outcomes) == 0
    assert len(drawn) == 1 + 2
    for used in range(1, 20):
        assert next(outcomes) == used
        assert len(drawn) <= used + 1 + (9 if used <= 5 else max(1, 15 - used))
    assert len(drawn) == 21
    outcomes.close()


@pytest.mark.parametrize("at", [0, 1, 5])
def test_error_comes_after_the_outcomes_before_it(at: int) -> None:
    """A broken item is raised in its turn, whether preparing it fails or getting it."""

    def prepare(number: int) -> int:
        if number == at:
            raise SampleError("five.png", "is broken")
        return number

    def broken_items() -> Iterator[int]:
        yield from range(at)
        raise DataError("no more")

    for outcomes, kind in (
        (ahead(range(9), prepare, threads=2, depth=lambda _: 4), SampleError),
        (ahead(broken_items(), lambda number: number, threads=2, depth=lambda _: 4), DataError),
    ):
        seen: list[int] = []
        with pytest.raises(kind):
            seen.extend(outcomes)
        assert seen == list(range(at))


def test_threads_end_with_the_generator() -> None:
    """Whoever stops drawing leaves no thread behind."""
    before = threading.active_count()
    outcomes = ahead(range(100), lambda number: number, threads=3, depth=lambda _: 5)
    next(outcomes)
    assert threading.active_count() > before
    outcomes.close()
    assert threading.active_count() == before
