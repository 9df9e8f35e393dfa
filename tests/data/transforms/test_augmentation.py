"""Random changes of training images: presets, the user's own, and that they depend on (seed, epoch, index) alone."""

from __future__ import annotations

import random
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import albumentations as A
import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from easyseg.data.transforms.augmentation import PRESETS, build_augmentation
from easyseg.errors import ConfigError, DataError, UnknownNameError
from easyseg.preprocessing import PAD_VALUE, Preprocessing

CANVAS = (48, 64)
CHANGING = [name for name in PRESETS if name != "none"]


def build(augment, *, resize="pad", size=CANVAS, channels=3, seed=5):
    """Build an augmentation for a small canvas."""
    return build_augmentation(augment, preprocessing=Preprocessing(size, resize, channels), seed=seed)


def picture(height=48, width=64, channels=3, classes=0):
    """Return a smooth image and a mask that is 1 exactly where the first channel is 200 or more."""
    rows, columns = np.mgrid[0:height, 0:width]
    inside = (rows - height * 0.4) ** 2 + (columns - width * 0.6) ** 2 < (height * 0.3) ** 2
    image = np.repeat(np.where(inside, 220, 30)[..., None], channels, axis=2).astype(np.uint8)
    mask = inside.astype(np.uint8)
    return image, np.repeat(mask[..., None], classes, axis=2) if classes else mask


def outcome(augment, epoch, index):
    """Return both results as bytes; a top-level function, so that other processes can run it."""
    image, mask = build(augment)(*picture(), epoch=epoch, index=index)
    return image.tobytes() + mask.tobytes()


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("name", PRESETS)
def test_presets_keep_the_kind_of_arrays(name, channels, classes):
    """Any number of channels and classes comes back as uint8 of the canvas size, ids stay ids."""
    augment = build(name, channels=channels)
    image, mask = picture(channels=channels, classes=classes)
    image.setflags(write=False)
    mask.setflags(write=False)
    for index in range(25):
        new_image, new_mask = augment(image, mask, epoch=0, index=index)
        assert new_image.shape == image.shape
        assert new_mask.shape == mask.shape
        assert new_image.dtype == new_mask.dtype == np.uint8
        assert new_image.flags.c_contiguous
        assert new_mask.flags.c_contiguous
        assert set(np.unique(new_mask)) <= {0, 1, 255}


def test_none_changes_nothing():
    """The preset "none" leaves an image on the canvas as it is."""
    image, mask = picture()
    new_image, new_mask = build("none")(image, mask, epoch=3, index=4)
    assert (new_image == image).all()
    assert (new_mask == mask).all()


@pytest.mark.parametrize("name", CHANGING)
def test_image_and_mask_move_together(name):
    """After any preset the mask still lies where the object is; blurred and warped borders aside."""
    augment = build(name)
    image, mask = picture()
    agreement = []
    for index in range(60):
        new_image, new_mask = augment(image, mask, epoch=0, index=index)
        valid = new_mask != 255
        pixels = new_image[..., 0].astype(float)
        threshold = (np.percentile(pixels[valid], 2) + np.percentile(pixels[valid], 98)) / 2
        if new_mask[valid].mean() > 0.05:
            agreement.append(((pixels > threshold) == new_mask)[valid].mean())
    assert len(agreement) > 40
    assert np.mean(agreement) > 0.96


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("name", CHANGING)
def test_invented_pixels_never_count(name, classes):
    """Where no pixel of the image lies, every class's mask is 255; nowhere does it turn into background."""
    image = np.full((*CANVAS, 3), 255, np.uint8)
    mask = np.ones((*CANVAS, classes) if classes else CANVAS, np.uint8)
    augment = build(name)
    invented = 0
    for index in range(80):
        new_image, new_mask = augment(image, mask, epoch=0, index=index)
        assert not (new_mask == 0).any()
        if classes:
            assert (new_mask == new_mask[..., :1]).all()
        void = new_mask[..., 0] == 255 if classes else new_mask == 255
        invented += void.sum()
        # grey fills all channels alike: none is left black
        assert np.ptp(new_image[void].astype(int), axis=1).max(initial=0) < 100
    assert invented > 0


def test_filled_up_with_grey():
    """Zoomed out, what surrounds the image is the same grey that preprocessing pads with."""
    augment = build("light")
    image, mask = np.zeros((*CANVAS, 3), np.uint8), np.zeros(CANVAS, np.uint8)
    results = [augment(image, mask, epoch=0, index=index) for index in range(60)]
    plain = [(i, m) for i, m in results if set(np.unique(i)) == {0, PAD_VALUE}]
    assert plain
    assert all(((i[..., 0] == PAD_VALUE) == (m == 255)).all() for i, m in plain)


def test_zoomed_out_images_lie_anywhere():
    """An image smaller than the canvas is put at any place in it, not always into a corner or the middle."""
    augment = build("none", resize="crop")
    image, mask = np.zeros((46, 62, 3), np.uint8), np.zeros((46, 62), np.uint8)
    places = set()
    for index in range(200):
        _, new_mask = augment(image, mask, epoch=0, index=index)
        rows, columns = np.nonzero(new_mask == 0)
        assert (np.ptp(rows), np.ptp(columns)) == (45, 61)
        places.add((int(rows[0]), int(columns[0])))
    assert places == {(row, column) for row in range(3) for column in range(3)}


@pytest.mark.parametrize("name", CHANGING)
def test_function_of_seed_epoch_and_index(name):
    """The same key gives the same bytes from a fresh object in any order; another key gives others."""
    keys = [(epoch, index) for epoch in range(3) for index in range(6)]
    forward = {key: outcome(name, *key) for key in keys}
    augment = build(name)
    for epoch, index in reversed(keys):
        image, mask = augment(*picture(), epoch=epoch, index=index)
        assert image.tobytes() + mask.tobytes() == forward[epoch, index]
    assert len(set(forward.values())) > 0.9 * len(keys)
    other = build(name, seed=6)
    assert any(
        other(*picture(), epoch=e, index=i)[0].tobytes() != build(name)(*picture(), epoch=e, index=i)[0].tobytes()
        for e, i in keys
    )


def test_other_processes_make_the_same_images():
    """Worker processes, started afresh, give what this process gives."""
    keys = [(0, 0), (0, 1), (2, 5)]
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        theirs = list(pool.map(outcome, ["strong"] * 3, [e for e, _ in keys], [i for _, i in keys]))
    assert theirs == [outcome("strong", *key) for key in keys]


def test_decisions_are_independent():
    """Two changes of probability 1/2 happen together in a quarter of the draws, not in half of them."""
    augment = build(A.Compose([A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5), A.InvertImg(p=0.5)], seed=1))
    image = np.zeros((*CANVAS, 3), np.uint8)
    image[0, 0] = 100
    mask = np.zeros(CANVAS, np.uint8)
    decisions = []
    for index in range(1000):
        new_image, _ = augment(image, mask, epoch=0, index=index)
        inverted = new_image.mean() > 128
        row, column = np.argwhere(new_image[..., 0] == (155 if inverted else 100))[0]
        decisions.append((row > 0, column > 0, inverted))
    decisions = np.array(decisions)
    assert np.abs(decisions.mean(axis=0) - 0.5).max() < 0.06
    for first, second in ((0, 1), (0, 2), (1, 2)):
        both = (decisions[:, first] & decisions[:, second]).mean()
        assert abs(both - 0.25) < 0.05


def test_preset_flips_are_independent_and_even():
    """Aerial images are seen in all eight positions, equally often."""
    augment = build("aerial", size=(16, 16))
    image = np.zeros((16, 16, 3), np.uint8)
    image[:8, :4] = 255  # no symmetry
    seen = []
    for index in range(800):
        new_image, new_mask = augment(image, np.zeros((16, 16), np.uint8), epoch=0, index=index)
        corners = new_image[..., 0].astype(float) - np.where(new_mask == 255, PAD_VALUE, 0)
        top, left = corners[:8].sum() > corners[8:].sum(), corners[:, :8].sum() > corners[:, 8:].sum()
        rows, columns = np.argwhere(corners > 100).T if (corners > 100).any() else (np.zeros(1), np.zeros(1))
        seen.append((top, left, np.ptp(rows) > np.ptp(columns)))
    _, counts = np.unique(np.array(seen), axis=0, return_counts=True)
    assert len(counts) == 8
    assert counts.min() > 50


@pytest.mark.parametrize("shape", [(90, 120), (20, 30), (90, 30)])
@pytest.mark.parametrize("name", PRESETS)
def test_crop_gives_the_canvas_from_any_size(name, shape):
    """With resize="crop" larger images are cut, smaller ones filled up, to exactly the image size."""
    augment = build(name, resize="crop")
    for index in range(20):
        image, mask = augment(*picture(*shape), epoch=0, index=index)
        assert image.shape == (*CANVAS, 3)
        assert mask.shape == CANVAS


def test_plain_crop_copies_pixels_from_everywhere():
    """A crop without zoom is a window of the image, and over many draws every pixel is in one."""
    image = np.arange(60 * 70).reshape(60, 70)
    coded = np.stack([image // 256, image % 256, image * 0], axis=-1).astype(np.uint8)
    augment = build("none", resize="crop")
    seen = np.zeros((60, 70), bool)
    for index in range(1500):
        crop, mask = augment(coded, np.zeros((60, 70), np.uint8), epoch=0, index=index)
        first = int(crop[0, 0, 0]) * 256 + int(crop[0, 0, 1])
        row, column = divmod(first, 70)
        assert (crop == coded[row : row + 48, column : column + 64]).all()
        assert not mask.any()
        seen[row : row + 48, column : column + 64] = True
    assert seen.all()


@pytest.mark.parametrize("name", PRESETS)
def test_native_size_stays(name):
    """With resize=None every image keeps its own size, quarter turns or not."""
    augment = build(name, resize=None, size=None)
    for shape in ((33, 57), (57, 33)):
        for index in range(10):
            image, mask = augment(*picture(*shape), epoch=0, index=index)
            assert image.shape == (*shape, 3)
            assert mask.shape == shape


def test_own_pipeline_is_copied_not_changed():
    """The user's Compose keeps its own random state: using it elsewhere still gives what its seed promises."""
    own, twin = (A.Compose([A.HorizontalFlip(p=0.5), A.Rotate(p=0.5)], seed=3) for _ in range(2))
    augment = build(own)
    image, mask = picture()
    results = {augment(image, mask, epoch=0, index=index)[0].tobytes() for index in range(20)}
    assert len(results) > 5
    for _ in range(5):
        assert (own(image=image)["image"] == twin(image=image)["image"]).all()


@pytest.mark.parametrize(
    "own", [A.HorizontalFlip(p=1), A.OneOf([A.HorizontalFlip(p=1)], p=1)], ids=["single", "one of"]
)
def test_single_transforms_are_taken_too(own):
    """A transform need not stand in a Compose."""
    image, mask = picture()
    new_image, new_mask = build(own)(image, mask, epoch=0, index=0)
    assert (new_image == image[:, ::-1]).all()
    assert (new_mask == mask[:, ::-1]).all()


def test_own_pipeline_fills_every_class():
    """In multilabel masks, a warp's fill reaches all classes, not only the first."""
    own = A.Compose([A.GridDistortion(distort_limit=(0.9, 0.9), normalized=False, fill_mask=255, p=1)])
    image, mask = picture(classes=3)
    _, new_mask = build(own)(image, mask, epoch=0, index=0)
    assert (new_mask == 255).any()
    assert (new_mask == new_mask[..., :1]).all()


def shared_chance(image, mask):
    """Use all three shared generators, and write into the arrays, as careless functions do."""
    image[0, 0] = random.randrange(256), np.random.randint(256), int(torch.randint(256, ()))
    mask[0, 0] = 1
    return image, mask


def test_own_function_is_repeatable_and_harmless():
    """A function's chance follows the key; it changes neither the arrays given nor anyone else's random numbers."""
    augment = build(shared_chance)
    image, mask = picture()
    before = image.copy(), mask.copy()
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    expected = random.random(), np.random.rand(), torch.rand(()).item()
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    first = augment(image, mask, epoch=0, index=0)[0][0, 0].tolist()
    assert (random.random(), np.random.rand(), torch.rand(()).item()) == expected
    again = build(shared_chance)(image, mask, epoch=0, index=0)[0][0, 0].tolist()
    other = augment(image, mask, epoch=0, index=1)[0][0, 0].tolist()
    assert first == again != other
    assert (image == before[0]).all()
    assert (mask == before[1]).all()


@pytest.mark.parametrize("classes", [0, 3])
def test_torchvision_transforms_move_both(classes):
    """A torchvision v2 transform gets tensors it understands, so image and mask move together, repeatably."""
    augment = build(v2.Compose([v2.RandomHorizontalFlip(p=0.5)]))
    image, mask = picture(classes=classes)
    flipped = 0
    for index in range(40):
        new_image, new_mask = augment(image, mask, epoch=0, index=index)
        if (new_image == image[:, ::-1]).all():
            flipped += 1
            assert (new_mask == mask[:, ::-1]).all()
        else:
            assert (new_image == image).all()
            assert (new_mask == mask).all()
        assert (augment(image, mask, epoch=0, index=index)[0] == new_image).all()
    assert 8 < flipped < 32


def no_tuple(image, mask):
    """Return something else than a pair."""
    return {"image": image, "mask": mask}


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        (no_tuple, r"augment=no_tuple returned dict; it must return \(image, mask\)"),
        (A.Compose([A.Normalize()]), "the image as float32; a uint8 array is expected. Take Normalize"),
        (lambda image, mask: (image, torch.from_numpy(mask)), "the mask as Tensor; a uint8 array"),
        (lambda image, mask: (image[..., :1], mask), r"turned the image from shape \(48, 64, 3\) into \(48, 64, 1\)"),
        (A.RandomCrop(32, 32), r"from 48 × 64 into 32 × 32 pixels.*image_size=\(32, 32\) and resize='crop'"),
    ],
)
def test_unusable_results_are_explained(augment, message):
    """What cannot be trained on is refused with what was found and what to change."""
    with pytest.raises(DataError, match=message):
        build(augment)(*picture(), epoch=0, index=0)


def test_free_size_still_needs_image_and_mask_to_match():
    """With resize=None a transform may change the size, but of both."""
    image, mask = build(A.CenterCrop(20, 20), resize=None, size=None)(*picture(), epoch=0, index=0)
    assert image.shape == (20, 20, 3)
    assert mask.shape == (20, 20)
    with pytest.raises(DataError, match="that differ"):
        build(lambda i, m: (i[:20], m), resize=None, size=None)(*picture(), epoch=0, index=0)


def test_unknown_presets_are_named():
    """A wrong name is answered with the nearest one, anything else with what is possible."""
    with pytest.raises(UnknownNameError, match=r"No augmentation named 'stong'\. Did you mean 'strong'"):
        build("stong")
    with pytest.raises(ConfigError, match="augment=3 is neither a name"):
        build(3)
