"""Arrays, tensors, PIL images and datasets of pairs become samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from easyseg.data import memory
from easyseg.data.memory import image_array, samples_from_memory
from easyseg.data.reading import as_dataset
from easyseg.errors import DataError, SampleError
from easyseg.structures import Sample

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (6, 8, 3)).astype(np.uint8)
IDS = RNG.integers(0, 3, (6, 8)).astype(np.uint8)


class Pairs(torch.utils.data.Dataset[Any]):
    """A map-style dataset that returns one pair again and again."""

    def __init__(self, image: Any, mask: Any, count: int = 3) -> None:
        self.pair = (image, mask)
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        return self.pair


@pytest.mark.parametrize(
    "image",
    [
        PIXELS,
        PIXELS.astype(np.int64),
        PIXELS.astype(np.float32),
        PIXELS.astype(np.float64) / 255,
        PIXELS.astype(np.uint16) << 8,
        Image.fromarray(PIXELS),
        torch.from_numpy(PIXELS).permute(2, 0, 1),
        torch.from_numpy(PIXELS).permute(2, 0, 1) / 255,
    ],
    ids=["uint8", "int64", "float 255", "float 1", "uint16", "PIL", "tensor", "float tensor"],
)
@pytest.mark.parametrize(
    "mask",
    [
        IDS,
        IDS.astype(np.int64),
        IDS[..., None],
        Image.fromarray(IDS),
        torch.from_numpy(IDS),
        torch.from_numpy(IDS)[None],
    ],
    ids=["uint8", "int64", "last axis", "PIL", "tensor", "first axis"],
)
def test_pairs_of_every_kind_give_the_same_pixels(image: Any, mask: Any) -> None:
    """Whatever the container, image and ids come out equal."""
    dataset = as_dataset(Pairs(image, mask))
    assert len(dataset) == 3
    assert dataset.task == "multiclass"
    assert np.array_equal(dataset.image(1), PIXELS)
    assert np.array_equal(dataset.mask(1), IDS)
    assert dataset.samples[1].name == "item 1"


def test_a_pair_of_stacks() -> None:
    """Images (N, H, W, C) and masks (N, H, W) are one sample per N."""
    dataset = as_dataset((np.stack([PIXELS, PIXELS[::-1]]), np.stack([IDS, IDS[::-1]])))
    assert len(dataset) == 2
    assert np.array_equal(dataset.image(1), PIXELS[::-1])
    assert np.array_equal(dataset.mask(1), IDS[::-1])
    assert dataset.splits() == {}
    assert dataset.with_splits().splits() == {"train": 1, "val": 1}


@pytest.mark.parametrize("as_stack", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
def test_images_of_a_float_stack_stay_alike(as_stack: Any) -> None:
    """White is found once for all images: one that is nearly black stays so beside a bright one."""
    dark, bright = np.full((3, 6, 8), 0.5, np.float32), np.full((3, 6, 8), 254.6, np.float32)
    images = np.stack([dark, bright])
    images = images if as_stack is torch.from_numpy else np.moveaxis(images, 1, -1)
    dataset = as_dataset((as_stack(images), as_stack(np.stack([IDS, IDS]))))
    assert dataset.image(0).max() <= 1
    assert (dataset.image(1) == 255).all()
    halves = as_dataset((as_stack(images / 509.2), as_stack(np.stack([IDS, IDS]))))
    assert (halves.image(1) == 128).all()


def test_empty_float_stacks_are_refused() -> None:
    """Images without a pixel are an error, not a crash."""
    with pytest.raises(DataError, match="array 0: an image of shape"):
        samples_from_memory((np.zeros((2, 0, 8, 3)), np.zeros((2, 0, 8))))


def test_tensors_as_stacks_put_channels_first() -> None:
    """A stack of tensors is (N, C, H, W)."""
    images = torch.from_numpy(np.stack([PIXELS, PIXELS])).permute(0, 3, 1, 2)
    dataset = as_dataset((images, torch.from_numpy(np.stack([IDS, IDS]))))
    assert np.array_equal(dataset.image(0), PIXELS)


def test_bool_masks_per_class_are_multilabel() -> None:
    """Masks (N, classes, H, W) overlap."""
    masks = np.stack([np.stack([IDS == 1, IDS > 0])])
    dataset = as_dataset((PIXELS[None], masks), classes=["one", "some"])
    assert dataset.task == "multilabel"
    assert np.array_equal(dataset.mask(0), np.stack([IDS == 1, IDS > 0], axis=-1).astype(np.uint8))


def test_grey_stacks_and_other_channel_counts() -> None:
    """Grey images become RGB where asked; five channels stay five and are refused as three."""
    dataset = as_dataset((PIXELS[None, ..., 0], IDS[None]))
    assert np.array_equal(dataset.image(0), np.repeat(PIXELS[..., :1], 3, axis=2))
    five = as_dataset([(np.concatenate([PIXELS, PIXELS[..., :2]], axis=2), IDS)])
    assert five.image(0, channels=5).shape == (6, 8, 5)
    with pytest.raises(SampleError, match=r"item 0: the image has 5 channels, 3 are needed. Type in_channels=5"):
        five.image(0)
    four = as_dataset([(np.dstack([PIXELS, IDS]), IDS)])
    assert np.array_equal(four.image(0), PIXELS)


def test_lists_of_samples_and_of_paths(tmp_path: Path) -> None:
    """Samples are taken as they are; pairs of paths are read later."""
    sample = Sample(PIXELS, IDS, label="mine")
    assert samples_from_memory([sample]) == (sample,)
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    Image.fromarray(IDS).save(tmp_path / "b.png")
    dataset = as_dataset([(str(tmp_path / "a.png"), tmp_path / "b.png")])
    assert np.array_equal(dataset.image(0), PIXELS)
    assert np.array_equal(dataset.mask(0), IDS)
    assert samples_from_memory([(PIXELS, None)])[0].mask is None


def test_samples_of_strings_and_pictures_are_read(tmp_path: Path) -> None:
    """A Sample of strings or PIL images gives the pixels of its files, turned upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PIXELS).save(tmp_path / "a.png", exif=exif)
    Image.fromarray(IDS).save(tmp_path / "b.png", exif=exif)
    named = Sample(str(tmp_path / "a.png"), str(tmp_path / "b.png"))
    opened = Sample(Image.open(tmp_path / "a.png"), Image.open(tmp_path / "b.png"))
    pair = (Image.open(tmp_path / "a.png"), Image.open(tmp_path / "b.png"))
    dataset = as_dataset([named, opened, *samples_from_memory([pair])])
    dataset.verify()
    for at in range(3):
        assert np.array_equal(dataset.image(at), np.rot90(PIXELS, -1))
        assert np.array_equal(dataset.mask(at), np.rot90(IDS, -1))


def test_wide_pictures_take_the_rule_of_files() -> None:
    """16-bit PIL images keep their upper byte, floats their 0..1, and numbers of no brightness are refused."""
    values = np.array([[0, 256, 65535]])
    deep = Image.frombytes("I;16", (3, 1), values.astype("<u2").tobytes())
    assert image_array(deep, name="x").tolist() == [[[0], [1], [255]]]
    assert as_dataset([Sample(deep, np.array([[0, 1, 1]]))]).image(0, channels=1).tolist() == [[[0], [1], [255]]]
    unit = Image.fromarray(np.array([[0, 0.5, 1]], np.float32))
    assert image_array(unit, name="x").tolist() == [[[0], [128], [255]]]
    with pytest.raises(DataError, match=r"x: the values of type int32 reach from 0 to 65535"):
        image_array(Image.fromarray(values.astype(np.int32)), name="x")


def test_datasets_may_return_samples() -> None:
    """A dataset of Sample works like a list of them."""

    class Samples:
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> Sample:
            return Sample(PIXELS, IDS)

    assert len(as_dataset(Samples())) == 2


def test_palette_and_colour_masks_from_pillow() -> None:
    """PIL palette masks give indices, RGB ones colours, 1-bit ones 0 and 1."""
    palette = Image.fromarray(IDS).convert("P")
    palette.putdata(IDS.reshape(-1).tolist())
    assert np.array_equal(as_dataset([(PIXELS, palette)]).mask(0), IDS)
    red = np.zeros((6, 8, 3), np.uint8)
    red[..., 0] = (IDS > 0) * 255
    assert as_dataset([(PIXELS, Image.fromarray(red))]).class_map.encoding == "colors"
    bits = as_dataset([(PIXELS, Image.fromarray(IDS > 0))])
    assert np.array_equal(bits.mask(0), (IDS > 0).astype(np.uint8))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "RGBA"])
def test_pillow_images_of_every_mode(mode: str) -> None:
    """PIL images of any mode become (H, W, C) bytes."""
    image = (
        Image.fromarray(PIXELS).convert("L").convert(mode) if mode == "LA" else Image.fromarray(PIXELS).convert(mode)
    )
    pixels = image_array(image, name="x")
    assert pixels.dtype == np.uint8
    assert pixels.shape[:2] == (6, 8)
    if mode == "1":
        assert set(np.unique(pixels)) == {0, 255}


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (PIXELS.astype(np.float32) - 128, "as 8 bit, before any normalisation"),
        (PIXELS.astype(np.int32) * 300, "expected 0 to 255"),
        (np.full((6, 8, 3), np.nan), "reach from nan to nan"),
        (PIXELS / 2, "with fractions; expected 0 to 1, or whole numbers 0 to 255"),
        (np.zeros((3, 60, 80), np.uint8), "channels come last"),
        (np.zeros((2, 3, 4, 5), np.uint8), "expected .H, W, C."),
        (np.zeros((0, 8, 3), np.uint8), "expected .H, W, C."),
        (np.array([["a"]]), "expected .H, W, C. numbers"),
    ],
)
def test_images_that_are_none_are_refused(image: Any, words: str) -> None:
    """Values or shapes of no image are errors that name the item."""
    with pytest.raises(DataError, match=f"item 4: .*{words}"):
        image_array(image, name="item 4")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (3, "of type int; expected a folder's path"),
        ({"a": 1}, "of type dict"),
        (b"bytes", "of type bytes"),
        ([], "is empty"),
        ([1, 2, 3], "Item 0 of the data given .* is a int; expected a pair"),
        ([(PIXELS, IDS, 3)], "Item 0 .* is a tuple; expected a pair"),
        ((PIXELS[None], IDS), "Item 0 of the data given"),
        ((np.zeros((2, 6, 8, 3), np.uint8), np.zeros((3, 6, 8), np.uint8)), r"shapes \(2, 6, 8, 3\) and \(3, 6, 8\)"),
        ([(PIXELS, np.zeros((2, 3, 4, 5), np.uint8))], r"item 0: the mask has shape \(2, 3, 4, 5\)"),
    ],
)
def test_what_is_no_dataset_is_refused(data: Any, words: str) -> None:
    """Other types and shapes are errors that say what was given and what is accepted."""
    with pytest.raises(DataError, match=words):
        samples_from_memory(data)


def test_fractions_in_masks_are_refused() -> None:
    """A mask scaled to 0..1 has lost its ids; the error says so."""
    mask = torch.from_numpy(IDS)[None] / 255
    with pytest.raises(SampleError, match="holds fractions"):
        as_dataset(Pairs(PIXELS, mask))


def test_what_would_fill_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A huge dataset of arrays is refused after its first item."""
    monkeypatch.setattr(memory, "MOST_BYTES", 10 * PIXELS.nbytes)
    assert len(samples_from_memory(Pairs(PIXELS, IDS, 10))) == 10
    with pytest.raises(DataError, match="would fill the memory"):
        samples_from_memory(Pairs(PIXELS, IDS, 11))


def test_arrays_given_are_left_as_they_are() -> None:
    """Reading changes nothing in the user's arrays."""
    images: npt.NDArray[np.uint8] = PIXELS[None].copy()
    masks = IDS[None].copy()
    dataset = as_dataset((images, masks))
    dataset.image(0)
    dataset.mask(0)
    assert np.array_equal(images[0], PIXELS)
    assert np.array_equal(masks[0], IDS)
