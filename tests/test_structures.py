"""Samples, class maps and batches keep their promises."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from easyseg.errors import ClassMapError, DataError
from easyseg.structures import (
    IGNORE_INDEX,
    MAX_CLASSES,
    Batch,
    ClassMap,
    InstanceTarget,
    RawObjects,
    Sample,
    default_colors,
)


def ids(*values: int, dtype: Any = np.uint8) -> np.ndarray[Any, Any]:
    """Return a mask of one row."""
    return np.array([values], dtype)


def test_samples_are_called_by_label_file_or_kind() -> None:
    """A label wins over the file's name; arrays have none of their own."""
    array = np.zeros((2, 2), np.uint8)
    assert Sample(Path("a/b.png"), label="first").name == "first"
    assert Sample(Path("a/b.png")).name == "b.png"
    assert Sample(array).name == "array"


def test_samples_take_strings_lists_and_pictures() -> None:
    """What people type becomes paths, tuples and arrays."""
    sample = Sample("a/b.png", ["b.png", Path("c.png"), np.zeros((2, 2), bool)])
    assert sample.image == Path("a/b.png")
    assert isinstance(sample.mask, tuple)
    assert sample.mask[:2] == (Path("b.png"), Path("c.png"))
    assert Sample("a.png", "a_mask.png").mask == Path("a_mask.png")
    palette = Image.frombytes("P", (3, 1), bytes([0, 2, 1]))
    palette.putpalette([9, 9, 9, 50, 0, 0, 0, 60, 0])
    pictures = Sample(palette, palette)
    assert isinstance(pictures.image, np.ndarray)
    assert pictures.image.tolist() == [[[9, 9, 9], [0, 60, 0], [50, 0, 0]]]
    assert isinstance(pictures.mask, np.ndarray)
    assert pictures.mask.tolist() == [[0, 2, 1]]


@pytest.mark.parametrize(
    ("image", "mask", "words"),
    [
        (None, None, "image of a Sample is a NoneType; expected a file's path, a numpy array or a PIL image"),
        (torch.zeros(3, 2, 2), None, r"is a Tensor; .*tensor\.permute\(1, 2, 0\)\.numpy\(\)"),
        (np.zeros((2, 2)), torch.zeros(2, 2), r"mask of a Sample is a Tensor; .*give tensor\.numpy\(\)"),
        (np.zeros((2, 2)), [np.zeros((2, 2)), 7], "mask of a Sample is a int"),
    ],
)
def test_samples_of_something_else_are_refused(image: Any, mask: Any, words: str) -> None:
    """The error says what was given and what to give instead."""
    with pytest.raises(DataError, match=words):
        Sample(image, mask)


def test_multiclass_ids_follow_the_values() -> None:
    """Each value becomes the position of its class; ignored ones become 255."""
    class_map = ClassMap("multiclass", ("sky", "road"), values=(7, 3), ignored=(9,))
    assert class_map.num_classes == 2
    encoded = class_map.encode(ids(3, 7, 9))
    assert encoded.tolist() == [[1, 0, IGNORE_INDEX]]
    assert encoded.dtype == np.uint8


def test_values_default_to_the_class_numbers() -> None:
    """Without values, multiclass ids are 0..N-1 and the binary class is 1."""
    assert ClassMap("multiclass", ("a", "b", "c")).values == (0, 1, 2)
    assert ClassMap("binary", ("a",)).values == (1,)


def test_binary_ids_have_a_background() -> None:
    """The class is 1, background values 0."""
    class_map = ClassMap("binary", ("roof",), values=(4,), background=(0, 2))
    assert class_map.encode(ids(0, 2, 4)).tolist() == [[0, 0, 1]]


def test_multilabel_masks_are_binary_each() -> None:
    """A class's own mask gives 0 and 1."""
    class_map = ClassMap("multilabel", ("a", "b"), values=(1,))
    assert class_map.encode(ids(0, 1)).tolist() == [[0, 1]]


@pytest.mark.parametrize(("inverted", "expected"), [(False, [0, 0, 1, 1]), (True, [1, 1, 0, 0])])
def test_threshold_may_be_inverted(inverted: bool, expected: list[int]) -> None:
    """The class is where the value reaches the threshold, or where it stays below."""
    class_map = ClassMap("binary", ("roof",), "threshold", inverted=inverted)
    assert class_map.encode(ids(0, 127, 128, 255)).tolist() == [expected]


def test_threshold_can_ignore_values() -> None:
    """Ignored values of threshold masks become 255."""
    class_map = ClassMap("binary", ("roof",), "threshold", ignored=(100,))
    assert class_map.encode(ids(0, 100, 255)).tolist() == [[0, IGNORE_INDEX, 1]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64])
def test_every_integer_type_gives_the_same_ids(dtype: Any) -> None:
    """The fast table for bytes and the general way agree."""
    class_map = ClassMap("multiclass", ("a", "b"), values=(0, 200), ignored=(255,))
    assert class_map.encode(ids(200, 0, 255, dtype=dtype)).tolist() == [[1, 0, IGNORE_INDEX]]


def test_values_beyond_a_byte_are_kept_apart() -> None:
    """256 is not 0, 300 is not 44."""
    class_map = ClassMap("multiclass", ("a", "b", "c"), values=(0, 256, 300))
    assert class_map.encode(ids(300, 256, 0, dtype=np.uint16)).tolist() == [[2, 1, 0]]
    with pytest.raises(ClassMapError, match="44"):
        class_map.encode(ids(44, dtype=np.uint8))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_unknown_values_are_listed_with_pixels_and_way_out(dtype: Any) -> None:
    """The error names value, pixels, what was expected, and ignore= to type."""
    class_map = ClassMap("multiclass", ("a", "b"))
    with pytest.raises(ClassMapError) as caught:
        class_map.encode(ids(0, 1, 7, 7, 9, dtype=dtype))
    message = str(caught.value)
    assert "7 (2 px), 9 (1 px)" in message
    assert "expected 0, 1" in message
    assert "ignore=[7, 9]" in message


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_many_values_cost_no_more_than_few(dtype: Any) -> None:
    """A mask is gone through once, however many values stand for the background."""
    mask = np.ones((600, 600), dtype)

    def seconds(background: tuple[int, ...]) -> float:
        class_map = ClassMap("binary", ("car",), values=(1,), background=background)
        times = []
        for _ in range(3):
            started = time.perf_counter()
            class_map.encode(mask)
            times.append(time.perf_counter() - started)
        return min(times)

    assert seconds((0, *range(2, 2000))) < 10 * seconds((0,))


def test_many_unknown_values_are_cut_short() -> None:
    """Beyond five, unknown values are counted."""
    with pytest.raises(ClassMapError, match="and 3 more"):
        ClassMap("binary", ("a",)).encode(ids(*range(10)))


def test_colours_become_ids() -> None:
    """RGB masks are read by exact colour, in every task."""
    red, blue, grey = (255, 0, 0), (0, 0, 255), (9, 9, 9)
    mask = np.array([[red, blue, grey]], np.uint8)
    several = ClassMap("multiclass", ("sea", "road"), "colors", colors=(blue, red), ignored_colors=(grey,))
    assert several.encode(mask).tolist() == [[1, 0, IGNORE_INDEX]]
    one = ClassMap("binary", ("road",), "colors", colors=(red,), background_colors=(blue, grey))
    assert one.encode(mask).tolist() == [[1, 0, 0]]


def test_unknown_colours_are_listed() -> None:
    """A colour no class has is an error that shows it."""
    class_map = ClassMap("multiclass", ("a",), "colors", colors=((1, 2, 3),))
    with pytest.raises(ClassMapError, match=r"colours that no class has \(1\), such as \(4, 5, 6\).*ignore="):
        class_map.encode(np.array([[(1, 2, 3), (4, 5, 6)]], np.uint8))


def test_masks_of_the_wrong_shape_are_refused() -> None:
    """Colours for ids and ids for colours are errors that say what to type."""
    with pytest.raises(ClassMapError, match=r"shape \(1, 1, 3\).*class_map="):
        ClassMap("binary", ("a",)).encode(np.zeros((1, 1, 3), np.uint8))
    with pytest.raises(ClassMapError, match=r"an \(H, W, 3\) mask of RGB colours is expected"):
        ClassMap("binary", ("a",), "colors").encode(np.zeros((1, 1), np.uint8))


@pytest.mark.parametrize(
    ("task", "names", "arguments", "words"),
    [
        ("multiclass", (), {}, "at least one class"),
        ("multiclass", tuple(map(str, range(MAX_CLASSES + 1))), {}, "at most 255"),
        ("multiclass", ("a", "b", "a"), {}, "more than once in the list: a"),
        ("binary", ("a", "b"), {}, "task='multiclass'"),
        ("multiclass", ("a", "b"), {"values": (1,)}, "1 mask values"),
        ("multiclass", ("a", "b"), {"colors": ((1, 2, 3),)}, "1 colours"),
    ],
)
def test_impossible_maps_are_refused(task: Any, names: tuple[str, ...], arguments: dict[str, Any], words: str) -> None:
    """Contradictions are found when the map is made."""
    with pytest.raises(ClassMapError, match=words):
        ClassMap(task, names, **arguments)


@pytest.mark.parametrize(
    "class_map",
    [
        ClassMap("binary", ("roof",), "threshold", threshold=3, inverted=True, note="said"),
        ClassMap("multiclass", ("a", "b"), values=(4, 9), ignored=(255,)),
        ClassMap("multiclass", ("a", "b"), "colors", colors=((1, 2, 3), (4, 5, 6)), ignored_colors=((7, 8, 9),)),
    ],
)
def test_maps_survive_a_dictionary(class_map: ClassMap) -> None:
    """What to_dict writes, from_dict reads, the note included."""
    again = ClassMap.from_dict(class_map.to_dict())
    assert again == class_map
    assert again.note == class_map.note


def test_dictionaries_of_something_else_are_refused() -> None:
    """Unknown keys are an error."""
    with pytest.raises(ClassMapError, match="not a class map"):
        ClassMap.from_dict({"task": "binary", "names": ["a"], "size": 3})


def test_maps_that_find_the_same_classes_read_alike() -> None:
    """What does not count, notes and colours for drawing may differ; task, names, values and threshold may not."""
    ids = ClassMap("multiclass", ("a", "b"), values=(4, 9))
    colors = ((1, 2, 3), (4, 5, 6))
    assert ids.reads_like(ClassMap("multiclass", ("a", "b"), values=(4, 9), ignored=(255,), colors=colors))
    assert not ids.reads_like(ClassMap("multiclass", ("a", "b"), values=(9, 4)))
    assert not ids.reads_like(ClassMap("multiclass", ("b", "a"), values=(4, 9)))
    one = ClassMap("binary", ("a",), "threshold")
    assert not one.reads_like(ClassMap("binary", ("a",)))
    assert not one.reads_like(ClassMap("binary", ("a",), "threshold", inverted=True))
    assert not one.reads_like(ClassMap("multilabel", ("a",), "threshold"))
    red = ClassMap("binary", ("a",), "colors", colors=((255, 0, 0),))
    assert not red.reads_like(ClassMap("binary", ("a",), "colors", colors=((0, 0, 255),)))


def test_notes_do_not_make_maps_differ() -> None:
    """Two maps that translate alike are equal."""
    assert ClassMap("binary", ("a",), note="x") == ClassMap("binary", ("a",), note="y")


def test_batches_have_the_length_of_their_images() -> None:
    """A batch counts its images."""
    batch = Batch(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.zeros(2, 4, 4, dtype=torch.uint8), (5, 6))
    assert len(batch) == 2


class Recorder:
    """Stands for a tensor and notes what is asked of it."""

    def __init__(self, place: object = "memory") -> None:
        self.place = place

    def to(self, device: object, *, non_blocking: bool) -> Recorder:
        return Recorder((device, non_blocking))

    def pin_memory(self) -> Recorder:
        return Recorder("pinned")


def test_batches_move_as_a_whole() -> None:
    """Images and targets go to a device, or into page-locked memory, together; the indices stay."""
    tensor: Any = Recorder()
    batch: Any = Batch(tensor, tensor, (3,))
    moved, pinned = batch.to("cuda"), batch.pin_memory()
    assert moved.images.place == moved.targets.place == ("cuda", True)
    assert pinned.images.place == pinned.targets.place == "pinned"
    assert moved.indices == pinned.indices == (3,)
    assert batch.images.place == "memory"


def objects_of(**fields: Any) -> InstanceTarget:
    """Return one object."""
    whole = {
        "boxes": torch.tensor([[0.0, 0, 2, 2]]),
        "class_ids": torch.tensor([0]),
        "masks": torch.ones(1, 4, 4, dtype=torch.uint8),
        "is_crowd": torch.tensor([False]),
    }
    return InstanceTarget(**(whole | fields))


def test_batches_of_objects_move_as_a_whole() -> None:
    """All fields of all images go along, and the batch that was there stays."""
    recorders: Any = {name: Recorder() for name in ("boxes", "class_ids", "masks", "is_crowd")}
    batch: Any = Batch(Recorder(), (objects_of(**recorders), objects_of(**recorders)), (3, 4))  # type: ignore[arg-type]
    moved, pinned = batch.to("cuda"), batch.pin_memory()
    for each, place in ((moved, ("cuda", True)), (pinned, "pinned"), (batch, "memory")):
        assert each.images.place == place
        assert [getattr(target, name).place for target in each.targets for name in recorders] == [place] * 8
        assert each.indices == (3, 4)
    real = Batch(torch.zeros(1, 3, 4, 4), (objects_of(),), (0,)).to("cpu")
    assert isinstance(real.targets, tuple)
    assert len(real.targets[0]) == 1
    assert torch.equal(real.targets[0].boxes, torch.tensor([[0.0, 0, 2, 2]]))


def test_batches_of_objects_are_cut() -> None:
    """Each piece has the objects of its own images."""
    targets = tuple(objects_of(class_ids=torch.tensor([number])) for number in range(5))
    pieces = Batch(torch.zeros(5, 3, 4, 4), targets, tuple(range(5))).pieces(2)
    assert [len(piece) for piece in pieces] == [3, 2]
    assert [[int(target.class_ids) for target in piece.targets] for piece in pieces] == [[0, 1, 2], [3, 4]]


def test_raw_objects_have_a_length() -> None:
    """As many as there are scores."""
    assert len(RawObjects(torch.zeros(2, 4), torch.zeros(2), torch.zeros(2, dtype=torch.int64), None)) == 2


def test_a_background_is_black_unless_it_has_a_colour():
    """A class named background is drawn black; a colour given is kept."""
    assert ClassMap("multiclass", ("Background", "road")).colors == ((0, 0, 0), default_colors(2)[1])
    given = ((9, 9, 9), (1, 2, 3))
    assert ClassMap("multiclass", ("background", "road"), colors=given).colors == given


def test_default_colours_differ_and_stay() -> None:
    """255 classes get colours that are all different; a longer list begins with the shorter one."""
    colors = default_colors(60)
    assert len(set(colors)) == 60
    assert default_colors(5) == colors[:5]
    assert all(0 <= part <= 255 for color in colors for part in color)
    assert default_colors(0) == ()
