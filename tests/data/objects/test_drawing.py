"""Shapes become pixels exactly, and malformed ones errors that name the object."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from easyseg.data.objects import drawing
from easyseg.data.objects.drawing import draw_classes, draw_instances, single_objects
from easyseg.data.objects.shape_pixels import shape_mask
from easyseg.errors import DataError, SampleError
from easyseg.geometry import RunLengths, coco_rings_to_run_lengths
from easyseg.structures import (
    IGNORE_INDEX,
    BoxShape,
    ClassMap,
    LabelledObject,
    MaskPart,
    NumberedObjects,
    Polygons,
    Sample,
)

SIZE = (10, 12)
SQUARE = np.array([[2, 3], [7, 3], [7, 8], [2, 8]], np.float64)
INSIDE = np.zeros(SIZE, bool)
INSIDE[3:8, 2:7] = True
IMAGE = np.zeros((*SIZE, 3), np.uint8)
MAP = ClassMap("multiclass", ("background", "a", "b"), "names", object_names=((), ("a",), ("b",)))


def test_shapes_of_all_kinds() -> None:
    """One square as a polygon, by either rule, as shares, run lengths, box, mask and part of a mask."""
    hole = np.array([[3, 4], [5, 4], [5, 6], [3, 6]], np.float64)
    with_hole = INSIDE.copy()
    with_hole[4:6, 3:5] = False
    for shape, expected in (
        (Polygons(((SQUARE,),)), INSIDE),
        (Polygons(((SQUARE,),), rule="coco"), INSIDE),
        (Polygons(((SQUARE / (12, 10),),), is_relative=True), INSIDE),
        (Polygons(((SQUARE, hole),)), with_hole),
        (Polygons(((SQUARE, hole), (hole,))), INSIDE),
        (RunLengths.from_mask(INSIDE), INSIDE),
        (BoxShape(2, 3, 7, 8), INSIDE),
        (MaskPart(INSIDE), INSIDE),
        (MaskPart(INSIDE.astype(np.uint8) * 255), INSIDE),
        (MaskPart(INSIDE.astype(np.uint8) * 7, value=7), INSIDE),
        (MaskPart(np.ones((5, 5), np.uint8), offset_xy=(2, 3)), INSIDE),
        (MaskPart(np.kron(INSIDE, np.ones((3, 3), bool)), is_scaled=True), INSIDE),
        (Polygons(()), np.zeros(SIZE, bool)),
    ):
        np.testing.assert_array_equal(shape_mask(shape, SIZE), expected, err_msg=str(shape))


def test_the_coco_rule_is_cocos() -> None:
    """Polygons of COCO files are drawn by its own rule, which differs from that of pixel centres."""
    rng = np.random.default_rng(0)
    differ = 0
    for _ in range(50):
        ring = rng.uniform(-2, 13, (5, 2))
        found = shape_mask(Polygons(((ring,),), rule="coco"), SIZE)
        np.testing.assert_array_equal(found, coco_rings_to_run_lengths([ring], SIZE).to_mask())
        differ += (found != shape_mask(Polygons(((ring,),)), SIZE)).any()
    assert differ > 10


@pytest.mark.parametrize(
    ("offset", "rows", "columns"),
    [((-2, -3), (0, 2), (0, 3)), ((10, 8), (8, 10), (10, 12)), ((50, 0), (0, 0), (0, 0)), ((0, -9), (0, 0), (0, 0))],
)
def test_masks_that_reach_beyond(offset: tuple[int, int], rows: tuple[int, int], columns: tuple[int, int]) -> None:
    """What lies outside of the image is cut off."""
    expected = np.zeros(SIZE, bool)
    expected[slice(*rows), slice(*columns)] = True
    np.testing.assert_array_equal(shape_mask(MaskPart(np.ones((5, 5), bool), offset_xy=offset), SIZE), expected)


def test_grey_masks_are_cut_at_half() -> None:
    """Antialiased masks count from 128 on; masks of 0 and 1 from 1 on."""
    grey = np.array([[0, 1, 127, 128, 255]], np.uint8)
    assert shape_mask(MaskPart(grey), (1, 5)).tolist() == [[False, False, False, True, True]]
    assert shape_mask(MaskPart(np.array([[0, 1]], np.uint8)), (1, 2)).tolist() == [[False, True]]


def test_order_crowds_and_void() -> None:
    """Later objects cover earlier ones; crowds lie below all; what does not count covers in its order."""
    left, right = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    left[:, :8], right[:, 4:] = True, True
    void, a, b = (LabelledObject(name, MaskPart(mask)) for name, mask in (("void", right), ("a", left), ("b", right)))
    crowd = LabelledObject("b", MaskPart(right), is_crowd=True)
    for objects, expected in (
        ((a, b), [1, 2, 2]),
        ((b, a), [1, 1, 2]),
        ((a, crowd), [1, 1, IGNORE_INDEX]),
        ((crowd, a), [1, 1, IGNORE_INDEX]),
        ((a, void), [1, IGNORE_INDEX, IGNORE_INDEX]),
        ((void, a), [1, 1, IGNORE_INDEX]),
        ((), [0, 0, 0]),
    ):
        found = draw_classes(Sample(IMAGE, objects=objects), MAP, SIZE)
        assert found[0, [0, 5, 10]].tolist() == expected
    binary = ClassMap("binary", ("a",), "names", object_names=(("a",),), background_names=("b",))
    found = draw_classes(Sample(IMAGE, objects=(a, b, void)), binary, SIZE)
    assert found[0, [0, 5, 10]].tolist() == [1, IGNORE_INDEX, IGNORE_INDEX]
    several = ClassMap("multilabel", ("a", "b"), "names", object_names=(("a",), ("b",)))
    planes = draw_classes(Sample(IMAGE, objects=(a, b, void)), several, SIZE)
    assert planes[0, [0, 5, 10]].tolist() == [[1, 0], [1, 1], [IGNORE_INDEX, 1]]


def test_instances_leave_out_what_covers_nothing() -> None:
    """Objects without a pixel, and those that do not count, are no instances; none at all is an empty record."""
    far = LabelledObject("a", BoxShape(50, 50, 60, 60))
    near = LabelledObject("b", Polygons(((SQUARE,),)))
    found = draw_instances(Sample(IMAGE, objects=(far, near, LabelledObject("void", near.shape))), MAP, SIZE)
    assert found.class_ids.tolist() == [1]
    assert found.boxes.tolist() == [[2, 3, 7, 8]]
    empty = draw_instances(Sample(IMAGE, objects=()), MAP, SIZE)
    assert (empty.masks.shape, empty.boxes.shape, len(empty)) == ((0, *SIZE), (0, 4), 0)


def test_too_many_instances(monkeypatch: pytest.MonkeyPatch) -> None:
    """Masks that would fill the memory are refused before they do."""
    monkeypatch.setattr(drawing, "MOST_INSTANCE_BYTES", 300)
    item = LabelledObject("a", MaskPart(INSIDE))
    assert len(draw_instances(Sample(IMAGE, objects=(item,) * 2), MAP, SIZE)) == 2
    with pytest.raises(SampleError, match="more than 2 objects in an image of 12 x 10 pixels"):
        draw_instances(Sample(IMAGE, objects=(item,) * 3), MAP, SIZE)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        (RunLengths.from_mask(np.ones((4, 4), bool)), "object 0, a 'a': its mask has 4 x 4 pixels, the image 12 x 10"),
        (MaskPart(np.zeros((*SIZE, 3), np.uint8)), "object 0, a 'a': its mask has shape"),
        (Polygons(((SQUARE * np.nan,),), rule="coco"), "object 0, a 'a': "),
        (
            MaskPart(np.ones((5, 5), np.uint8)),
            r"object 0, a 'a': its mask has 5 x 5 pixels, .* 12 x 10; .*offset_xy=\(x, y",
        ),
        (MaskPart(np.ones((5, 5), np.uint8), value=1), "its mask has 5 x 5 pixels, its image 12 x 10"),
        (MaskPart(b"nothing"), r"no picture of a known format.*\(object 0 of array\)"),
    ],
)
def test_malformed_shapes(shape: object, words: str) -> None:
    """Each error names the object, its class and the image."""
    sample = Sample(IMAGE, objects=(LabelledObject("a", shape),))  # type: ignore[arg-type]
    for draw in (draw_classes, draw_instances):
        with pytest.raises(SampleError, match=words):
            draw(sample, MAP, SIZE)


def test_an_object_of_no_class() -> None:
    """The error names the object and says how to leave it out."""
    sample = Sample(Path("x.png"), objects=(LabelledObject("cow", BoxShape(0, 0, 1, 1)),))
    with pytest.raises(SampleError, match=r"x\.png: object 0: there is an object of class 'cow'.*ignore=\['cow'\]"):
        draw_classes(sample, MAP, SIZE)


def test_object_files_of_another_size(tmp_path: Path) -> None:
    """A mask file that should cover the image but does not is named."""
    Image.fromarray(np.full((4, 4), 255, np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png: the mask has 4 x 4 pixels, its image 12 x 10"):
        shape_mask(MaskPart(tmp_path / "a.png"), SIZE)


def test_numbers_that_hold_classes() -> None:
    """Numbers from 1000 on hold class and object; smaller ones of things are crowds; the rest is nothing."""
    numbers = np.array([[0, 26, 26001, 26002, 24000, 7, 7000]], np.int32)
    objects = NumberedObjects(numbers, None, {26: "car", 24: "person"}, 1000)
    sample = Sample(np.zeros((1, 7, 3), np.uint8), objects=objects)
    found = [(item.class_name, item.is_crowd) for item in single_objects(sample, MAP)]
    assert found == [("car", True), ("person", False), ("car", False), ("car", False)]


def test_classes_by_the_mask_below() -> None:
    """Each object takes the class of most of its pixels; background and void have no say; void numbers are none."""
    numbers = np.array([[1, 1, 1, 1, 2, 2, 3, 255]], np.uint8)
    classes = np.array([[0, 0, 2, 1, 255, 1, 255, 1]], np.uint8)
    sample = Sample(np.zeros((1, 8, 3), np.uint8), objects=NumberedObjects(numbers, None, void=(255,)))
    found = draw_instances(sample, MAP, (1, 8), class_mask=classes)
    assert found.class_ids.tolist() == [0, 0]
    binary = ClassMap("binary", ("a",))
    found = draw_instances(sample, binary, (1, 8), class_mask=(classes == 1).astype(np.uint8))
    assert found.class_ids.tolist() == [0, 0]
    with pytest.raises(SampleError, match="pixels, its mask of classes 2 x 2"):
        draw_instances(sample, MAP, (1, 8), class_mask=np.zeros((2, 2), np.uint8))
    wrong = Sample(sample.image, objects=NumberedObjects(np.zeros((1, 8, 3), np.uint8)))
    with pytest.raises(SampleError, match="has one channel, not RGB"):
        single_objects(wrong, MAP)


def square(name: str, start: int, stop: int) -> LabelledObject:
    """Return an object that covers rows and columns from `start` up to `stop`."""
    ring = np.array([(start, start), (stop, start), (stop, stop), (start, stop)], np.float64)
    return LabelledObject(name, Polygons(((ring,),)))


@pytest.mark.parametrize(
    ("class_map", "value"),
    [
        (MAP, 1),
        (ClassMap("binary", ("a",), "names", object_names=(("a",),), background_names=("other",)), 1),
        (replace(MAP, background_names=("other",)), 1),
        (
            ClassMap("multiclass", ("a",), "names", object_names=(("a",),), uncovered=255, background_names=("other",)),
            0,
        ),
    ],
)
@pytest.mark.parametrize("name", ["other", "_background_"])
def test_objects_of_no_class_cover_those_below(class_map: ClassMap, value: int, name: str) -> None:
    """What is in front of a car is no car, whether or not its class is asked for; what lies above it is drawn."""
    if name == "other" and "other" not in class_map.background_names:
        class_map = replace(class_map, background_names=("other",))
    sample = Sample(np.zeros((9, 9, 3), np.uint8), objects=[square("a", 0, 9), square(name, 2, 7), square("a", 4, 5)])
    mask = draw_classes(sample, class_map, (9, 9))
    expected = np.full((9, 9), value)
    expected[2:7, 2:7] = class_map.uncovered
    expected[4, 4] = value
    np.testing.assert_array_equal(mask, expected)
    assert draw_instances(sample, class_map, (9, 9)).masks.sum(axis=(1, 2)).tolist() == [81, 1]


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 2), (0, 3), (0, 100), (0, 255), (0, 65535)])
def test_masks_of_any_two_values_hold_their_object(low: int, high: int) -> None:
    """The brighter one, however bright it is."""
    part = MaskPart(np.where(INSIDE, high, low).astype(np.uint16))
    np.testing.assert_array_equal(shape_mask(part, SIZE), INSIDE)
    empty = MaskPart(np.zeros(SIZE, np.uint8))
    assert not shape_mask(empty, SIZE).any()
