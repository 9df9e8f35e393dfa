"""Random changes of images and their objects: presets, the user's own, and what is left of objects."""

from __future__ import annotations

from dataclasses import replace

import albumentations as A
import cv2
import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from easyseg.data.objects.canvas_objects import Annotated, CanvasObject, to_masks
from easyseg.data.transforms import instance_augmentation
from easyseg.data.transforms.augmentation import PRESETS, build_augmentation
from easyseg.data.transforms.instance_augmentation import InstanceAugmentation, build_instance_augmentation, most_learnt
from easyseg.data.transforms.object_moves import still_counts
from easyseg.errors import ConfigError, DataError, UnknownNameError
from easyseg.preprocessing import PAD_VALUE, Preprocessing

CANVAS = (64, 80)
PADDED = Preprocessing(CANVAS)
CHANGING = [name for name in PRESETS if name != "none"]


def build(augment: object, preprocessing: Preprocessing = PADDED, **given: int) -> InstanceAugmentation:
    """Build an augmentation for a small canvas."""
    return build_instance_augmentation(augment, preprocessing=preprocessing, **{"seed": 5} | given)


def disc(row: int, column: int, radius: int, *, class_id: int = 0, is_crowd: bool = False) -> CanvasObject:
    """Return a disc."""
    rows, columns = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    mask = (rows**2 + columns**2 <= radius**2).astype(np.uint8)
    return CanvasObject(mask, row - radius, column - radius, class_id, is_crowd, int(mask.sum()))


def scene(number: int = 0, channels: int = 3, hw: tuple[int, int] = CANVAS) -> Annotated:
    """Return a dark image whose objects are bright: three discs, each image's at other places."""
    places = np.random.default_rng(number).permutation([[20, 20], [20, 55], [45, 20], [45, 55]])[:3].tolist()
    objects = tuple(disc(row, column, 9, class_id=at) for at, (row, column) in enumerate(places))
    image = np.full((*hw, channels), 40, np.uint8)
    for item in objects:
        image[item.rows, item.columns][item.mask > 0] = 220
    return image, objects


def run(augment: InstanceAugmentation, given: Annotated, *, epoch: int = 0, index: int = 0) -> Annotated:
    """Augment one image of a dataset of eight scenes."""
    return augment(
        *given,
        epoch=epoch,
        index=index,
        read=lambda number: scene(number, given[0].shape[2]),
        num_images=8,
    )


def as_bytes(result: Annotated) -> bytes:
    """Return everything about an image and its objects as bytes."""
    image, objects = result
    facts = [(item.top, item.left, item.class_id, item.is_crowd, item.mask.shape) for item in objects]
    return image.tobytes() + repr(facts).encode() + b"".join(item.mask.tobytes() for item in objects)


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("name", PRESETS)
def test_presets_keep_the_kind_of_arrays(name: str, channels: int) -> None:
    """Images of any number of channels, also without objects, stay uint8 of the canvas size; nothing is written to."""
    augment = build(name, Preprocessing(CANVAS, in_channels=channels))
    image, objects = scene(0, channels)
    image.setflags(write=False)
    for item in objects:
        item.mask.setflags(write=False)
    for index in range(20):
        for given in (objects, ()):
            found, left = run(augment, (image, given), index=index)
            assert found.shape == image.shape
            assert found.dtype == np.uint8
            assert found.flags.c_contiguous
            for item in left:
                assert item.mask.dtype == np.uint8
                assert item.mask.max() == 1
                assert item.mask.any(axis=1)[[0, -1]].all()
                assert item.mask.any(axis=0)[[0, -1]].all()
                assert 0 <= item.top <= CANVAS[0] - item.mask.shape[0]
                assert 0 <= item.left <= CANVAS[1] - item.mask.shape[1]
                assert item.is_crowd is not still_counts(item)


def test_none_changes_nothing() -> None:
    """The preset "none" leaves an image on the canvas and its objects as they are."""
    given = scene()
    assert as_bytes(run(build("none"), given, index=3)) == as_bytes(given)


@pytest.mark.parametrize("name", CHANGING)
def test_image_and_objects_move_together(name: str) -> None:
    """After any preset the objects still lie where the image is bright, and together they are all that is bright."""
    augment = build(name)
    agreement = []
    for index in range(60):
        image, objects = run(augment, scene(index % 8), index=index % 8, epoch=index // 8)
        inside = to_masks(objects, CANVAS).any(axis=0)
        valid = np.abs(image[..., 0].astype(int) - PAD_VALUE) > 3
        pixels = image[..., 0].astype(float)
        threshold = (np.percentile(pixels[valid], 2) + np.percentile(pixels[valid], 98)) / 2
        agreement.append(((pixels > threshold) == inside)[valid].mean())
    assert np.median(agreement) > 0.97
    assert np.mean(agreement) > 0.95


@pytest.mark.parametrize("name", CHANGING)
def test_function_of_seed_epoch_and_index(name: str) -> None:
    """The same key gives the same bytes from a fresh object in any order; another key gives others."""
    keys = [(epoch, index) for epoch in range(2) for index in range(6)]
    forward = {key: as_bytes(run(build(name), scene(key[1]), epoch=key[0], index=key[1])) for key in keys}
    augment = build(name)
    for epoch, index in reversed(keys):
        assert as_bytes(run(augment, scene(index), epoch=epoch, index=index)) == forward[epoch, index]
    assert len(set(forward.values())) > 0.9 * len(keys)
    other = build(name, seed=6)
    changed = [as_bytes(run(other, scene(index), epoch=epoch, index=index)) for epoch, index in keys]
    assert sum(changed[at] == forward[key] for at, key in enumerate(keys)) <= 1


def test_flips_and_turns_are_those_of_masks() -> None:
    """The same key moves objects as it moves a mask of classes: one lattice for both."""
    masks_of_classes = build_augmentation("light", preprocessing=Preprocessing(CANVAS), seed=5)
    for index in range(10):
        image, objects = scene(index)
        one = to_masks(objects, CANVAS).any(axis=0).astype(np.uint8)
        _, mask = masks_of_classes(image, one, epoch=1, index=index)
        _, found = run(build("light"), (image, objects), epoch=1, index=index)
        assert np.array_equal(to_masks(found, CANVAS).any(axis=0), mask == 1)


def test_crops_keep_an_object() -> None:
    """However small the crop and lonely the object, some object is in it."""
    augment = build("standard", Preprocessing((24, 24), "crop"))
    image = np.zeros((200, 300, 3), np.uint8)
    objects = (disc(150, 250, 6), disc(100, 100, 90, is_crowd=True))
    for index in range(60):
        found, left = run(augment, (image, objects), index=index)
        assert found.shape == (24, 24, 3)
        assert any(not item.is_crowd for item in left)


def test_images_without_objects_stay_negatives() -> None:
    """There is nothing to aim at, so the crop falls anywhere."""
    augment = build("aerial", Preprocessing((24, 24), "crop"))
    assert run(augment, (np.zeros((60, 60, 3), np.uint8), ()), index=1)[1] == ()
    crowd = (disc(30, 30, 9, is_crowd=True),)
    assert all(item.is_crowd for item in run(augment, (np.zeros((60, 60, 3), np.uint8), crowd), index=1)[1])


def test_slivers_are_crowds() -> None:
    """What a crop leaves of an object at its edge is learnt where it is a fair share, and is a crowd elsewhere."""
    augment = build("none", Preprocessing((40, 40), "crop"))
    image = np.zeros((60, 60, 3), np.uint8)
    seen = set()
    for index in range(150):
        _, left = run(augment, (image, (disc(30, 30, 3), disc(50, 30, 8))), index=index)
        for item in left:
            share = item.area / item.whole_area
            assert item.is_crowd == (share < 0.3 or (item.area < 9 and share < 0.9))
            seen.add((item.is_crowd, share < 1))
    assert {(True, True), (False, True), (False, False)} <= seen


def test_copy_paste() -> None:
    """Only "strong" puts objects of one other image in, in about half of the images."""
    more = {}
    for name in CHANGING:
        augment = build(name)
        results = [run(augment, (np.full((*CANVAS, 3), 40, np.uint8), ()), index=3, epoch=e) for e in range(80)]
        more[name] = sum(bool(objects) for _, objects in results)
    assert 25 <= more.pop("strong") <= 55
    assert not any(more.values())


def test_copy_paste_asks_for_another_image_once() -> None:
    """It never takes objects of the same image, takes every other one some time, and none where there is no other."""
    asked: list[int] = []

    def read(number: int) -> Annotated:
        asked.append(number)
        return scene(number)

    augment = build("strong")
    for epoch in range(120):
        before = len(asked)
        augment(*scene(2), epoch=epoch, index=2, read=read, num_images=4)
        assert len(asked) - before <= 1
    assert set(asked) == {0, 1, 3}
    asked.clear()
    for epoch in range(20):
        augment(*scene(0), epoch=epoch, index=0, read=read, num_images=1)
    assert not asked


def test_nothing_to_paste() -> None:
    """An image without objects, or with crowds only, gives none."""
    for others in ((), (disc(30, 30, 9, is_crowd=True),)):
        augment = build("strong")
        for epoch in range(10):
            given = (np.full((*CANVAS, 3), 40, np.uint8), ())
            other = (np.full((*CANVAS, 3), 90, np.uint8), others)
            found = augment(*given, epoch=epoch, index=0, read=lambda number, o=other: o, num_images=2)
            assert found[1] == ()


def test_at_least_one_object_is_put_in() -> None:
    """Also where the other image has a single one, half of all images get it, not a quarter."""
    augment = build("strong")
    given, other = (np.full((*CANVAS, 3), 40, np.uint8), ()), (scene()[0], scene()[1][:1])
    found = [augment(*given, epoch=e, index=0, read=lambda number: other, num_images=2)[1] for e in range(200)]
    assert 78 <= sum(map(bool, found)) <= 122


def test_dropped_rectangles_take_pixels_from_objects() -> None:
    """What cannot be seen any more is not to be found."""
    augment = build("strong")
    image = np.full((*CANVAS, 3), 220, np.uint8)
    objects = (CanvasObject(np.ones(CANVAS, np.uint8), 0, 0, 0, is_crowd=False, whole_area=5120.0),)
    holes = 0
    for epoch in range(60):
        found, left = augment(image, objects, epoch=epoch, index=0, read=scene, num_images=1)
        grey = cv2.erode((found == PAD_VALUE).all(axis=2).astype(np.uint8), np.ones((3, 3))) > 0
        inside = to_masks(left, CANVAS).any(axis=0)
        holes += bool(grey.any())
        assert not inside[grey].any()
    assert holes > 20


MANY = tuple(disc(4 + 6 * (at // 12), 4 + 6 * (at % 12), 2, class_id=at) for at in range(100))


@pytest.mark.parametrize("name", ["none", "strong"])
def test_of_very_many_objects_some_are_crowds(name: str) -> None:
    """Never more to learn than asked for, none taught as background; others in every epoch, repeatably."""
    image = np.zeros((*CANVAS, 3), np.uint8)
    augment = build(name, most_objects=30)
    results = [run(augment, (image, MANY), epoch=epoch)[1] for epoch in (0, 1, 0)]
    learnt = [[item.class_id for item in found if not item.is_crowd] for found in results]
    assert all(len(each) <= 30 for each in learnt)
    assert learnt[0] == learnt[2] != learnt[1]
    if name == "none":
        assert [len(each) for each in learnt] == [30] * 3
        for found in results:
            assert as_bytes((image, tuple(replace(item, is_crowd=False) for item in found))) == as_bytes((image, MANY))


def test_crowds_take_no_place_from_objects() -> None:
    """What counts are objects; crowds have no masks."""
    crowds = tuple(replace(item, is_crowd=True) for item in MANY[:60])
    found = run(build("none", most_objects=40), (np.zeros((*CANVAS, 3), np.uint8), (*crowds, *MANY[60:])))[1]
    assert [item.is_crowd for item in found] == [True] * 60 + [False] * 40


def test_no_more_objects_than_have_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers of 16 bits hold no more; a network would see none of them as anything but noise."""
    monkeypatch.setattr(instance_augmentation, "MOST_NUMBERS", 60)
    assert len(run(build("none", most_objects=30), (np.zeros((*CANVAS, 3), np.uint8), MANY))[1]) == 60


def test_own_transforms_get_few_masks_of_many_crowds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Crowds share some, and come back as crowds wherever the transform has moved them."""
    monkeypatch.setattr(instance_augmentation, "FEWEST_MASKS", 20)
    monkeypatch.setattr(instance_augmentation, "MASK_BYTES", 1)
    shapes = []

    def mirrored(image: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shapes.append(masks.shape)
        return image[:, ::-1], masks[:, :, ::-1]

    _, found = run(build(mirrored), (np.zeros((*CANVAS, 3), np.uint8), MANY))
    ((count, *_),) = shapes
    assert 20 < count <= 28
    assert [item.is_crowd for item in found] == [False] * 20 + [True] * 80
    places = {(item.top, CANVAS[1] - item.left - item.mask.shape[1]) for item in found}
    assert places == {(item.top, item.left) for item in MANY}


def test_how_many_objects_are_learnt_from() -> None:
    """As many as the memory for their masks has room for, and fifty on however large a canvas."""
    assert [most_learnt((side, side)) for side in (1, 320, 512, 1024, 4000)] == [2**16 - 1, 976, 381, 95, 50]
    augment = build("none", Preprocessing((1600, 1600)))
    given = (np.zeros((1600, 1600, 3), np.uint8), MANY)
    assert sum(not item.is_crowd for item in run(augment, given)[1]) == 50
    assert not any(item.is_crowd for item in run(build("none"), (np.zeros((*CANVAS, 3), np.uint8), MANY))[1])


def test_a_limit_out_of_range_is_refused() -> None:
    """By its name."""
    for wrong in (0, 2**16):
        with pytest.raises(ConfigError, match=f"most_objects={wrong}"):
            build("none", most_objects=wrong)


def test_own_albumentations() -> None:
    """A user's pipeline gets a mask for each object, is seeded by the image, and stays as it is."""
    own = A.Compose([A.HorizontalFlip(p=1.0), A.Rotate((30, 30), p=1.0, fill_mask=0)])
    augment = build(own)
    image, objects = run(augment, scene())
    assert [item.class_id for item in objects] == [0, 1, 2]
    inside = to_masks(objects, CANVAS).any(axis=0)
    assert (image[..., 0][inside] > 130).mean() > 0.9
    assert as_bytes(run(build(own), scene())) == as_bytes((image, objects))
    assert run(augment, (scene()[0], ()))[1] == ()
    noise = build(A.GaussNoise(p=1.0))
    assert as_bytes(run(noise, scene(), index=1)) == as_bytes(run(noise, scene(), index=1))
    assert as_bytes(run(noise, scene(), index=1)) != as_bytes(run(noise, scene(), index=2))


def test_own_crop_makes_no_crowds_of_zoomed_objects() -> None:
    """How far a user's own transform zooms is his affair; only slivers become crowds."""
    small = build(A.Affine(scale=0.5, p=1.0, fill_mask=0))
    image, objects = scene()
    _, left = run(small, (image, objects))
    assert [item.is_crowd for item in left] == [False] * 3
    _, left = run(build(A.Affine(scale=0.12, p=1.0, fill_mask=0)), (image, objects))
    assert left
    assert all(item.is_crowd for item in left)


def test_what_a_crop_has_cut_stays_a_crowd() -> None:
    """A transform of the user's own makes no objects of the slivers that the crop before it left."""
    own, plain = (build(augment, Preprocessing((40, 40), "crop")) for augment in (lambda *pair: pair, "none"))
    crowds = 0
    for index in range(60):
        given = (np.zeros((60, 60, 3), np.uint8), (disc(30, 30, 3), disc(50, 30, 8)))
        left = run(own, given, index=index)[1]
        assert as_bytes((given[0], left)) == as_bytes((given[0], run(plain, given, index=index)[1]))
        crowds += sum(item.is_crowd and item.area > 9 for item in left)
    assert crowds > 3


def test_own_function_and_torchvision() -> None:
    """A function gets (N, H, W) masks; torchvision's transforms get its own tensors."""
    shapes = []

    def flipped(image: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shapes.append(masks.shape)
        masks[:, :, :3] = 0
        return image[:, ::-1], masks[:, :, ::-1]

    given = scene()
    by_function = run(build(flipped), given)
    assert shapes == [(3, *CANVAS)]
    by_torchvision = run(build(v2.RandomHorizontalFlip(p=1.0)), given)
    assert as_bytes(by_function) == as_bytes(by_torchvision)
    assert run(build(v2.RandomHorizontalFlip(p=1.0)), (given[0], ()))[1] == ()
    assert as_bytes(given) == as_bytes(scene())


def removed(image: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lose an object."""
    return image, masks[1:]


def shrunk(image: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Change the size."""
    return image[:20], masks[:, :20]


def parted(image: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Change the size of the masks only."""
    return image, masks[:, :20]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (removed, r"augment=removed turned the masks of 3 objects from shape \(3, 64, 80\) into \(2, 64, 80\)"),
        (shrunk, "augment=shrunk turned the image from 64 × 80 into 20 × 80"),
        (parted, "augment=parted turned the mask from 64 × 80 into 20 × 80"),
        (lambda image, masks: image, "returned ndarray; it must return"),
        (lambda image, masks: (image, masks.astype(float)), "returned the mask as float64"),
        (lambda image, masks: (image, None), "returned the mask as NoneType"),
        (lambda image, masks: (image, masks[0]), r"into \(64, 80\)"),
        (A.Compose([A.CenterCrop(10, 10)]), "augment=Compose turned the image from 64 × 80 into 10 × 10"),
        (v2.ToDtype(torch.float32), "augment=ToDtype returned the"),
    ],
)
def test_own_transforms_that_cannot_be_trained_on(function: object, message: str) -> None:
    """What came back is named, with what was expected."""
    with pytest.raises(DataError, match=message):
        run(build(function), scene())


def test_own_list_of_masks() -> None:
    """A list of masks is as good as an array."""
    assert len(run(build(lambda image, masks: (image, list(masks))), scene())[1]) == 3


def test_what_is_no_augmentation() -> None:
    """Unknown names, other things, and pipelines that want boxes are refused when they are given."""
    with pytest.raises(UnknownNameError, match="standard"):
        build("standart")
    with pytest.raises(ConfigError, match=r"\(image, masks\) -> \(image, masks\)"):
        build(3)
    boxes = A.Compose([A.HorizontalFlip()], bbox_params=A.BboxParams("pascal_voc", label_fields=[]))
    with pytest.raises(ConfigError, match="wants bboxes"):
        build(boxes)


def test_images_of_their_own_size() -> None:
    """With `resize=None`, images keep their size, and pasted objects come cut or put anywhere into it."""
    augment = build("strong", Preprocessing(None, None))
    for index in range(10):
        assert run(augment, scene(1, hw=(70, 90)), index=index)[0].shape == (70, 90, 3)
