"""Images go onto the network's canvas, and logits come back to exactly where they were."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
import torch

from easyseg.errors import CheckpointError
from easyseg.preprocessing import PAD_VALUE, Preprocessing, nearest_sources, resize_image, resize_mask
from easyseg.structures import IGNORE_INDEX

Resize = Literal["pad", "crop", "stretch"] | None
MODES: list[Resize] = ["pad", "stretch", "crop", None]


def random_sizes(count: int) -> list[tuple[int, int]]:
    """Return heights and widths of 1..513, extremes included."""
    rng = np.random.default_rng(0)
    drawn = [(int(height), int(width)) for height, width in rng.integers(1, 514, (count, 2))]
    return [(1, 1), (1, 513), (513, 1), (513, 513), *drawn]


@pytest.mark.parametrize("resize", MODES)
def test_placement_lies_on_the_canvas(resize: Resize) -> None:
    """For all sizes the scaled image is not empty, fits, and is centred to the pixel."""
    for original in random_sizes(500):
        for canvas in ((64, 96), (33, 33), (512, 512)):
            placement = Preprocessing(canvas, resize).place(original)
            assert placement.original_hw == original
            for scaled, offset, side in zip(placement.scaled_hw, placement.offset_hw, placement.canvas_hw, strict=True):
                assert 1 <= scaled <= side
                assert offset == (side - scaled) // 2
            if resize in ("crop", None):
                assert placement.scaled_hw == placement.canvas_hw == original
            elif resize == "stretch":
                assert placement.scaled_hw == canvas
            else:
                assert placement.canvas_hw == canvas
                assert any(scaled == side for scaled, side in zip(placement.scaled_hw, canvas, strict=True))


def test_padding_keeps_the_aspect_ratio() -> None:
    """Both sides are scaled alike, but for rounding to whole pixels."""
    for height, width in random_sizes(300):
        scaled_height, scaled_width = Preprocessing((256, 384)).place((height, width)).scaled_hw
        scale = min(256 / height, 384 / width)
        assert abs(scaled_height - height * scale) <= max(0.5, 1 - height * scale)
        assert abs(scaled_width - width * scale) <= max(0.5, 1 - width * scale)


@pytest.mark.parametrize("resize", MODES)
def test_the_way_back_has_the_original_size(resize: Resize) -> None:
    """Logits of the canvas come back at the image's own size, whatever it is."""
    preprocessing = Preprocessing((48, 64), resize)
    for original in random_sizes(25):
        placement = preprocessing.place(original)
        logits = preprocessing.logits_to_original(torch.zeros(2, *placement.canvas_hw), placement)
        assert logits.shape == (2, *original)
        assert logits.dtype == torch.float32


@pytest.mark.parametrize("resize", MODES)
def test_the_way_back_undoes_the_placement_exactly_without_scaling(resize: Resize) -> None:
    """Where no side is scaled, every pixel comes back where and as it was, also from a padded network output."""
    rng = np.random.default_rng(1)
    for height, width in random_sizes(60):
        longest = max(height, width)
        canvas = (height, width) if resize == "stretch" else (longest, longest)
        preprocessing = Preprocessing(canvas, resize)
        image = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
        placement = preprocessing.place((height, width))
        assert placement.scaled_hw == (height, width)
        laid = preprocessing.image_to_canvas(image)
        output = torch.nn.functional.pad(torch.from_numpy(laid).permute(2, 0, 1), (0, 5, 0, 3))
        back = preprocessing.logits_to_original(output, placement)
        assert np.array_equal(back.permute(1, 2, 0).numpy(), image)


@pytest.mark.parametrize("resize", ["pad", "stretch"])
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_masks_survive_whole_number_scaling(resize: Resize, factor: int) -> None:
    """Enlarging by a whole number and coming back gives every pixel its class again: nothing is shifted."""
    rng = np.random.default_rng(factor)
    for height, width in [(5, 7), (8, 8), (1, 6), (13, 4)]:
        mask = rng.integers(0, 4, (height, width)).astype(np.uint8)
        canvas = (height * factor, width * factor)
        preprocessing = Preprocessing(canvas, resize)
        laid = preprocessing.mask_to_canvas(mask)
        assert np.array_equal(laid, np.kron(mask, np.ones((factor, factor), np.uint8)))
        one_hot = torch.nn.functional.one_hot(torch.from_numpy(laid).long(), 4).permute(2, 0, 1).float()
        back = preprocessing.logits_to_original(one_hot, preprocessing.place((height, width)))
        assert np.array_equal(back.argmax(0).numpy(), mask)


def test_images_and_masks_stay_on_top_of_each_other() -> None:
    """A bright square and its mask still cover each other after scaling and padding."""
    for height, width in [(97, 61), (40, 200), (301, 299)]:
        mask = np.zeros((height, width), np.uint8)
        mask[height // 4 : height // 2, width // 3 : width // 2] = 1
        preprocessing = Preprocessing((128, 128))
        image = preprocessing.image_to_canvas(np.repeat(mask[..., None] * 255, 3, axis=2))
        laid = preprocessing.mask_to_canvas(mask)
        inside = laid != IGNORE_INDEX
        agree = (image[..., 0] > 127)[inside] == (laid == 1)[inside]
        assert agree.mean() > 0.99


def test_padding_is_grey_and_never_counts() -> None:
    """Around the image lies the grey value, around the mask the ignored id, split evenly."""
    preprocessing = Preprocessing((10, 10))
    image = preprocessing.image_to_canvas(np.zeros((5, 10, 3), np.uint8))
    mask = preprocessing.mask_to_canvas(np.zeros((5, 10), np.uint8))
    assert (image[:2] == PAD_VALUE).all()
    assert (image[7:] == PAD_VALUE).all()
    assert (image[2:7] == 0).all()
    assert (mask[:2] == IGNORE_INDEX).all()
    assert (mask[7:] == IGNORE_INDEX).all()
    assert (mask[2:7] == 0).all()


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 12])
def test_any_number_of_channels_is_scaled(channels: int) -> None:
    """Each channel is scaled as it would be alone; multilabel masks likewise."""
    rng = np.random.default_rng(channels)
    image = rng.integers(0, 256, (9, 14, channels)).astype(np.uint8)
    for size in ((20, 30), (4, 6), (9, 30)):
        scaled = resize_image(image, size)
        masks = resize_mask(image, size)
        assert scaled.shape == masks.shape == (*size, channels)
        for at in range(channels):
            assert np.array_equal(scaled[..., at], resize_image(image[..., at : at + 1], size)[..., 0])
            assert np.array_equal(masks[..., at], resize_mask(image[..., at], size))


def test_scaling_masks_invents_no_class() -> None:
    """Only ids of the mask occur in the scaled one."""
    rng = np.random.default_rng(0)
    mask = rng.choice([0, 7, 200, 255], (31, 47)).astype(np.uint8)
    for size in ((100, 90), (10, 12), (31, 90)):
        assert set(np.unique(resize_mask(mask, size))) <= {0, 7, 200, 255}


def test_equal_sizes_are_not_copied() -> None:
    """An image that has the size already is passed on as it is."""
    image = np.zeros((4, 4, 3), np.uint8)
    assert resize_image(image, (4, 4)) is image
    assert resize_mask(image[..., 0], (4, 4)).base is image
    assert Preprocessing((4, 4)).image_to_canvas(image) is image


def test_shrinking_averages() -> None:
    """A fine pattern becomes its mean instead of flickering."""
    checkerboard = (np.indices((16, 16)).sum(axis=0) % 2 * 200).astype(np.uint8)[..., None]
    assert (resize_image(checkerboard, (4, 4)) == 100).all()


@pytest.mark.parametrize(
    "preprocessing", [Preprocessing(), Preprocessing(None, None, 1), Preprocessing((3, 5), "crop")]
)
def test_preprocessing_survives_a_checkpoint(preprocessing: Preprocessing) -> None:
    """What to_dict writes, from_dict reads."""
    assert Preprocessing.from_dict(preprocessing.to_dict()) == preprocessing


@pytest.mark.parametrize("values", [{}, {"image_size": [1], "resize": None, "in_channels": 3}, {"image_size": 3}])
def test_broken_headers_are_refused(values: dict[str, Any]) -> None:
    """A header that is no preprocessing is an error that shows it."""
    with pytest.raises(CheckpointError, match="preprocessing"):
        Preprocessing.from_dict(values)


@pytest.mark.parametrize("lengths", [(7, 7), (7, 20), (20, 7), (1, 9), (9, 1), (500, 333), (333, 500)])
def test_sources_of_a_scaled_mask(lengths: tuple[int, int]) -> None:
    """Taking these places from a mask is scaling it."""
    mask = np.random.default_rng(0).integers(0, 256, (lengths[0], 3)).astype(np.uint8)
    places = nearest_sources(*lengths)
    assert places.dtype == np.int64
    assert np.array_equal(mask[places], resize_mask(mask, (lengths[1], 3)))


@pytest.mark.parametrize("resize", ["pad", "stretch", "crop"])
@pytest.mark.parametrize("size_hw", [(50, 80), (300, 70)])
def test_boxes_come_back_to_where_they_were(resize: Resize, size_hw: tuple[int, int]) -> None:
    """A box moved to the canvas by hand comes back; what lies beyond the image is cut off."""
    preprocessing = Preprocessing((96, 128), resize)
    placement = preprocessing.place(size_hw)
    height, width = size_hw
    scale = np.array([placement.scaled_hw[1] / width, placement.scaled_hw[0] / height] * 2)
    offset = np.array([placement.offset_hw[1], placement.offset_hw[0]] * 2)
    boxes = np.array([[3, 4, 20, 30.5], [0, 0, width, height]])
    found = preprocessing.boxes_to_original((boxes * scale + offset).astype(np.float32), placement)
    assert found.dtype == np.float32
    assert found == pytest.approx(boxes, abs=1e-3)
    beyond = preprocessing.boxes_to_original(np.array([[-500.0, -500, 900, 900]]), placement)
    assert beyond.tolist() == [[0, 0, width, height]]
    assert preprocessing.boxes_to_original(np.zeros((0, 4), np.float32), placement).shape == (0, 4)
