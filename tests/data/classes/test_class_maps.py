"""What mask values mean is found out, said in one line, or refused with the argument that settles it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from easyseg.data.classes import mask_values
from easyseg.data.classes.class_maps import infer_class_map
from easyseg.data.formats.layout import Layout
from easyseg.errors import ClassMapError, SampleError
from easyseg.structures import ClassMap, Sample

IMAGE = np.zeros((4, 8, 3), np.uint8)


def grey(*values: int, dtype: npt.DTypeLike = np.uint8) -> Sample:
    """Return a sample whose mask holds each of the values once."""
    return Sample(IMAGE, np.array([values], dtype))


def colored(*colors: tuple[int, int, int]) -> Sample:
    """Return a sample whose mask holds each of the colours once."""
    return Sample(IMAGE, np.array([colors], np.uint8))


def infer(*samples: Sample, **arguments: Any) -> ClassMap:
    """Infer the class map of some samples."""
    return infer_class_map(samples, **arguments)


def encoded(found: ClassMap, *values: int, dtype: npt.DTypeLike = np.uint8) -> list[int]:
    """Return the class ids of some mask values."""
    return [int(value) for value in found.encode(np.array([values], dtype))[0]]


def smooth(share: float = 0.04) -> Sample:
    """Return an antialiased 0/255 mask with a share of in-between values."""
    mask = np.zeros((100, 100), np.uint8)
    mask[:30] = 255
    between = np.random.default_rng(0).integers(1, 255, int(10_000 * share))
    mask.reshape(-1)[: len(between)] = between
    return Sample(IMAGE, mask)


def test_black_and_white_masks_are_binary() -> None:
    """0/255 is one class, called foreground, where the mask is white."""
    found = infer(grey(0, 0, 0, 255), grey(0, 0, 0, 0))
    assert (found.task, found.names, found.encoding) == ("binary", ("foreground",), "threshold")
    assert encoded(found, 0, 127, 128, 255) == [0, 0, 1, 1]
    assert found.note == "0/255 masks: 255 is 'foreground' (12.5% of the pixels)"


def test_mostly_white_masks_say_how_to_invert_them() -> None:
    """Where white is the greater part, a hint gives the argument for the other reading, and it works."""
    samples = [grey(0, 255, 255, 255)]
    found = infer(*samples)
    assert "75.0%" in found.note
    (hint,) = found.hints
    assert hint.startswith("Note: the value 255, 75.0% of the pixels, is taken for 'foreground'")
    assert hint.endswith("if the class is the black part (0), type class_map={'foreground': 0}")
    inverted = infer(*samples, class_map={"membrane": 0})
    assert inverted.names == ("membrane",)
    assert encoded(inverted, 0, 255) == [1, 0]
    assert inverted.note == "0/255 masks: 0 is 'membrane' (25.0% of the pixels)"
    assert inverted.hints == ()
    assert infer(*samples, class_map={"cell": 255}).hints == ()
    assert infer(grey(0, 0, 0, 255)).hints == ()


def test_ones_in_the_greater_part_say_how_to_take_the_zeros() -> None:
    """The same hint stands where the class is 1, and its argument works."""
    samples = [grey(0, 1, 1, 1)]
    (hint,) = infer(*samples, classes=["membrane"]).hints
    assert "the value 1, 75.0% of the pixels" in hint
    assert "type class_map={'membrane': 0}" in hint
    assert encoded(infer(*samples, class_map={"membrane": 0}), 0, 1) == [1, 0]


def test_antialiased_masks_get_a_threshold_and_say_so() -> None:
    """Grey edges are cut at 128, with the share of in-between values."""
    found = infer(smooth())
    assert found.encoding == "threshold"
    assert found.threshold == 128
    assert found.note.startswith("grey masks with 4.0% in-between values (antialiased): values >= 128 are 'foreground'")


def test_nearly_black_and_white_masks_get_a_threshold() -> None:
    """Values that miss 0 and 255 by a little mean the same."""
    assert infer(grey(0, 1, 254, 255)).encoding == "threshold"


def test_antialiased_masks_cannot_be_multiclass() -> None:
    """Asking for classes by value in antialiased masks is refused."""
    with pytest.raises(ClassMapError, match=r"antialiased.*task='binary'"):
        infer(smooth(), task="multiclass")
    with pytest.raises(ClassMapError, match="antialiased"):
        infer(smooth(), class_map={"roof": 200})


def test_zero_and_one_is_binary() -> None:
    """0/1 is one class; other values are errors later."""
    found = infer(grey(0, 1))
    assert (found.task, found.values) == ("binary", (1,))
    assert encoded(found, 0, 1) == [0, 1]


def test_two_values_of_any_size_are_binary() -> None:
    """0 and one more value, of 8 or 16 bits, is one class."""
    assert encoded(infer(grey(0, 38)), 0, 38) == [0, 1]
    assert encoded(infer(grey(0, 65535, dtype=np.uint16)), 0, 65535, dtype=np.uint16) == [0, 1]


def test_void_border_does_not_count() -> None:
    """255 beside other ids is the border of no class."""
    binary = infer(grey(0, 1, 255))
    assert encoded(binary, 0, 1, 255) == [0, 1, 255]
    several = infer(grey(0, 1, 2, 255))
    assert (several.task, several.ignored) == ("multiclass", (255,))
    assert encoded(several, 0, 1, 2, 255) == [0, 1, 2, 255]
    assert "255 does not count" in several.note


def test_ones_in_some_files_and_whites_in_others_mean_the_same() -> None:
    """Masks of 0/1 beside masks of 0/255 are one class, and the note says so."""
    found = infer(grey(0, 1), grey(0, 255))
    assert encoded(found, 0, 1, 255) == [0, 1, 1]
    assert "some masks store 'foreground' as 1, others as 255" in found.note


def test_ids_without_gaps_are_classes() -> None:
    """0..N-1 are N classes named after their values."""
    found = infer(grey(0, 1, 2), grey(3, 1))
    assert (found.task, found.names) == ("multiclass", ("class_0", "class_1", "class_2", "class_3"))
    assert "0 20.0%, 1 40.0%" in found.note
    (hint,) = found.hints
    assert "type classes=[...] with 4 of them; if a value such as 3 stands for no class" in hint
    assert "type ignore=[3]" in hint
    assert "ignore" not in infer(grey(0, 1, 2, 3), ignore=[3]).hints[0]


def test_sparse_ids_are_mapped_and_keep_their_number_as_name() -> None:
    """4, 8, 30 become 0, 1, 2; 16-bit ids as well."""
    found = infer(grey(4, 8, 30))
    assert found.names == ("class_4", "class_8", "class_30")
    assert encoded(found, 30, 4, 8) == [2, 0, 1]
    deep = infer(grey(0, 256, 1000, dtype=np.uint16))
    assert encoded(deep, 1000, 0, 256, dtype=np.uint16) == [2, 0, 1]
    assert "each mask value is a class" in deep.note


def test_evenly_spaced_greys_are_classes() -> None:
    """0, 128, 255 are three drawn classes, 255 among them."""
    assert infer(grey(0, 128, 255)).values == (0, 128, 255)


def test_many_values_without_names_are_refused() -> None:
    """More than 64 values need names or an explanation."""
    with pytest.raises(ClassMapError, match=r"100 different values.*classes=\[\.\.\.\].*task='binary'"):
        infer(grey(*range(100)))
    assert infer(grey(*range(100)), classes=[f"c{at}" for at in range(100)]).num_classes == 100


def test_single_values_are_refused_with_a_way_out() -> None:
    """Masks of one value teach nothing; naming the expected class settles it."""
    for samples, value in ((grey(0, 0), 255), (grey(7), 7), (grey(255), 255)):
        for arguments in ({}, {"task": "binary"}, {"classes": ["foreground"]}):
            with pytest.raises(ClassMapError, match=f"one value only.*class_map={{'foreground': {value}}}"):
                infer(samples, **arguments)
    assert encoded(infer(grey(0), class_map={"foreground": 255}), 0, 255) == [0, 1]
    assert encoded(infer(grey(0), class_map={"foreground": 1}), 0, 1) == [0, 1]
    assert encoded(infer(grey(7), class_map={"foreground": 7}), 7, 0) == [1, 0]
    with pytest.raises(ClassMapError, match=r"ignored values only; ignore=\[3\] leaves none"):
        infer(grey(3), ignore=[3])


def test_ignored_values_do_not_count() -> None:
    """ignore= takes values, one or several, and they become 255."""
    found = infer(grey(0, 1, 11), ignore=[11])
    assert (found.task, found.ignored) == ("binary", (11,))
    assert encoded(found, 0, 1, 11) == [0, 1, 255]
    assert encoded(infer(grey(0, 1, 2, 11), ignore=11), 2, 11) == [2, 255]
    assert encoded(infer(grey(0, 128, 255), ignore=[128]), 0, 128, 255) == [0, 255, 1]


@pytest.mark.parametrize("wrong", [["road"], [(1, 2)], "road"])
def test_wrong_ignore_is_refused(wrong: Any) -> None:
    """ignore= of anything but values and colours is an error that shows it."""
    with pytest.raises(ClassMapError, match="expected mask values or RGB colours"):
        infer(grey(0, 1), ignore=wrong)


def test_names_are_given_in_the_order_of_values() -> None:
    """classes= names 0..N-1, absent ones included, or as many sparse values."""
    assert infer(grey(0, 2), classes=["sky", "road", "car"]).values == (0, 1, 2)
    sparse = infer(grey(1, 5, 9), classes=["sky", "road", "car"])
    assert sparse.values == (1, 5, 9)
    assert "1 sky, 5 road, 9 car" in sparse.note
    two = infer(grey(0, 255), classes=["background", "roof"])
    assert (two.task, two.values) == ("multiclass", (0, 255))


def test_border_is_no_class_where_one_is_absent() -> None:
    """Ids below the number of names are class numbers, and 255 is void, even if the count of values fits the names."""
    found = infer(grey(0, 2, 255), classes=["sky", "road", "car"])
    assert (found.values, found.ignored) == ((0, 1, 2), (255,))
    assert encoded(found, 0, 2, 255) == [0, 2, 255]
    assert "numbers of the 3 names; 255 does not count" in found.note
    listed = Layout((), names=("sky", "road", "car"), names_source="classes.txt")
    assert encoded(infer(grey(0, 2, 255), layout=listed), 0, 2, 255) == [0, 2, 255]


def test_white_after_all_numbers_but_the_last_is_refused() -> None:
    """0, 1, 255 with three names can be read in two ways; both arguments that the error gives settle it."""
    names = ["sky", "road", "car"]
    words = r"255 may be 'car'.*ignore=\[255\].*class_map={'sky': 0, 'road': 1, 'car': 255}"
    with pytest.raises(ClassMapError, match=words):
        infer(grey(0, 1, 255), classes=names)
    listed = Layout((), names=tuple(names), names_source="classes.txt")
    with pytest.raises(ClassMapError, match=r"255 may be 'car' from classes\.txt"):
        infer(grey(0, 1, 255), layout=listed)
    assert encoded(infer(grey(0, 1, 255), classes=names, ignore=[255]), 0, 1, 255) == [0, 1, 255]
    drawn = infer(grey(0, 1, 255), class_map={"sky": 0, "road": 1, "car": 255})
    assert encoded(drawn, 0, 1, 255) == [0, 1, 2]


def test_white_is_a_class_where_values_are_no_numbers() -> None:
    """Among values that are beyond the number of names, 255 gets the last name, as do evenly spaced greys."""
    assert infer(grey(0, 128, 255), classes=["sky", "road", "car"]).values == (0, 128, 255)
    assert infer(grey(3, 7, 255), classes=["sky", "road", "car"]).values == (3, 7, 255)
    assert infer(grey(3, 7, 255), classes=["sky", "road"]).ignored == (255,)


def test_one_name_is_a_binary_class() -> None:
    """A single name makes the task binary, with ids, 0/255 and antialiased masks."""
    for sample in (grey(0, 1), grey(0, 255), smooth()):
        found = infer(sample, classes=["roof"])
        assert (found.task, found.names) == ("binary", ("roof",))
    with pytest.raises(ClassMapError, match=r"One class is expected.*class_map={'roof': value}"):
        infer(grey(0, 1, 2), classes=["roof"])


def test_value_without_name_is_refused_with_the_arguments() -> None:
    """Twelve values and eleven names: the message gives ignore= and, where 0 covers most, a background."""
    with pytest.raises(ClassMapError) as caught:
        infer(grey(*range(12)), classes=[f"c{at}" for at in range(11)])
    message = str(caught.value)
    assert "11 is in the masks but has no class" in message
    assert "ignore=[11]" in message
    assert f"If 0 is the background, type classes={['background', *(f'c{at}' for at in range(11))]}." in message
    with pytest.raises(ClassMapError, match=r"ignore=\[2\]\.$"):
        infer(grey(0, 1, 1, 2), classes=["sky", "road"])
    assert infer(grey(*range(12)), classes=[f"c{at}" for at in range(11)], ignore=[11]).num_classes == 11


def test_far_too_few_names_are_refused() -> None:
    """Where names and values differ by more than one, the message shows both."""
    with pytest.raises(ClassMapError, match=r"4 mask values \(.*\) but 2 class names.*class_map={'a': 3, 'b': 5}"):
        infer(grey(3, 5, 7, 9), classes=["a", "b"])


@pytest.mark.parametrize("wrong", ["road", [], [1, 2]])
def test_wrong_classes_are_refused(wrong: Any) -> None:
    """classes= must be a list of names."""
    with pytest.raises(ClassMapError, match="expected a list of names"):
        infer(grey(0, 1), classes=wrong)


def test_class_maps_name_values() -> None:
    """class_map= chooses values and their order; 255 stays void."""
    found = infer(grey(0, 3, 7, 255), class_map={"road": 7, "sky": 3, "rest": 0})
    assert (found.task, found.names, found.values, found.ignored) == (
        "multiclass",
        ("road", "sky", "rest"),
        (7, 3, 0),
        (255,),
    )
    swapped = infer(grey(0, 3, 7), class_map={0: "rest", 3: "sky", 7: "road"}, classes=["road", "sky", "rest"])
    assert swapped.names == ("road", "sky", "rest")
    assert swapped.values == (7, 3, 0)


def test_one_class_of_many_values_is_one_against_the_rest() -> None:
    """class_map={"car": 8} takes one value for the class and everything else for background."""
    found = infer(grey(0, 3, 8, 255), class_map={"car": 8})
    assert found.task == "binary"
    assert encoded(found, 0, 3, 8, 255, 77) == [0, 0, 1, 255, 0]
    with pytest.raises(ClassMapError, match="do not hold the value 9 of 'car'"):
        infer(grey(0, 3, 8), class_map={"car": 9})


def test_values_without_class_are_refused() -> None:
    """A value that class_map leaves out is an error with its share and the ignore= to type."""
    with pytest.raises(ClassMapError, match=r"does not name: 5 25\.0%\. Add them; to .*type ignore=\[5\]"):
        infer(grey(0, 1, 2, 5), class_map={"a": 0, "b": 1, "c": 2})
    with pytest.raises(ClassMapError, match=r"None of the values.*class_map={'a': 0, 'b': 255}"):
        infer(grey(0, 255), class_map={"a": 1, "b": 2})


def test_contradicting_arguments_are_refused() -> None:
    """Different names in classes= and class_map= are an error."""
    with pytest.raises(ClassMapError, match="name different classes"):
        infer(grey(0, 1), classes=["a", "b"], class_map={"a": 0, "c": 1})
    with pytest.raises(ClassMapError, match="task='binary' has one class, but 2 names"):
        infer(grey(0, 1), classes=["a", "b"], task="binary")
    with pytest.raises(ClassMapError, match="task='multilabel' needs one mask per class"):
        infer(grey(0, 1), task="multilabel")


def test_a_class_map_is_taken_as_it_is() -> None:
    """A ClassMap settles everything; no mask is read."""
    wanted = ClassMap("binary", ("roof",))
    assert infer(Sample(Path("none.png"), Path("none.png")), class_map=wanted) is wanted


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"classes": ["a"]}, "classes="),
        ({"task": "multiclass"}, "task="),
        ({"ignore": [7]}, "ignore="),
        ({"ignore": [(1, 2, 3)], "classes": ["a"]}, "classes= and ignore="),
    ],
)
def test_a_class_map_is_not_changed_silently(arguments: dict[str, Any], named: str) -> None:
    """Other arguments that a ClassMap contradicts are refused, by name."""
    ready = ClassMap("binary", ("roof",), ignored=(255,))
    words = rf"class_map= is a ClassMap, and {named} would change it.*ignores 255\. Give class_map= alone"
    with pytest.raises(ClassMapError, match=words):
        infer(grey(0, 1), class_map=ready, **arguments)


def test_arguments_that_say_what_a_class_map_says_are_fine() -> None:
    """The settings a map came from may stand beside it; a number may mean a colour of a palette."""
    ready = ClassMap("binary", ("roof",), ignored=(255,))
    assert infer(grey(0, 1), class_map=ready, classes=["roof"], task="binary", ignore=255) is ready
    colors = ClassMap("binary", ("roof",), "colors", colors=((9, 0, 0),), ignored_colors=((1, 2, 3),))
    assert infer(grey(0, 1), class_map=colors, ignore=[4]) is colors


def test_tasks_can_be_chosen() -> None:
    """task= overrides: two values as two classes, or all values but 0 as one."""
    assert infer(grey(0, 255), task="multiclass").values == (0, 255)
    assert infer(grey(0, 1), task="multiclass").names == ("class_0", "class_1")
    people = infer(grey(0, 1, 2, 3), task="binary", classes=["person"])
    assert encoded(people, 0, 1, 3, 9) == [0, 1, 1, 1]
    assert people.note == "every value but 0 is 'person' (75.0% of the pixels)"
    with pytest.raises(ClassMapError, match="One class is expected"):
        infer(grey(1, 2, 3), task="binary")


def palette_file(path: Path, indices: list[int], colors: list[tuple[int, int, int]]) -> Sample:
    """Write a palette mask and return its sample."""
    image = Image.frombytes("P", (len(indices), 1), bytes(indices))
    image.putpalette(bytes(part for color in colors for part in color))
    image.save(path)
    return Sample(IMAGE, path)


VOC = [(0, 0, 0), (128, 0, 0), (0, 128, 0)]


def test_palette_masks_use_indices_and_keep_colours(tmp_path: Path) -> None:
    """Palette files with one palette are read by index; the colours stay for drawing."""
    found = infer(palette_file(tmp_path / "a.png", [0, 1, 2], VOC), palette_file(tmp_path / "b.png", [0, 2], VOC))
    assert (found.encoding, found.values, found.colors) == ("ids", (0, 1, 2), tuple(VOC))


def test_palettes_that_differ_are_read_by_colour(tmp_path: Path) -> None:
    """Programs renumber palettes per file; then the colour, not the index, is the class."""
    first = palette_file(tmp_path / "a.png", [0, 1, 2], VOC)
    second = palette_file(tmp_path / "b.png", [0, 1], [VOC[2], VOC[0]])
    found = infer(first, second)
    assert found.encoding == "colors"
    assert found.names == ("black", "#008000", "#800000")


def test_colours_are_matched_to_palettes(tmp_path: Path) -> None:
    """class_map= with colours applies to palette files; ignored indices go with their colours."""
    sample = palette_file(tmp_path / "a.png", [0, 1, 2], VOC)
    found = infer(sample, class_map={"rest": (0, 0, 0), "plane": (128, 0, 0)}, ignore=[2])
    assert (found.encoding, found.ignored_colors) == ("colors", ((0, 128, 0),))


RED, BLUE, BLACK = (255, 0, 0), (0, 0, 255), (0, 0, 0)


def test_two_colours_with_black_are_binary() -> None:
    """Black and one colour is one class."""
    found = infer(colored(BLACK, RED), grey(0, 0))
    assert (found.task, found.encoding, found.colors) == ("binary", "colors", (RED,))
    assert found.encode(np.array([[RED, BLACK]], np.uint8)).tolist() == [[1, 0]]
    assert infer(colored(BLACK, RED), classes=["roof"]).names == ("roof",)


def test_colours_become_classes_named_after_them() -> None:
    """Without names each colour is a class, black first."""
    found = infer(colored(RED, BLUE, BLACK))
    assert (found.task, found.names) == ("multiclass", ("black", "#0000ff", "#ff0000"))
    assert found.encode(np.array([[RED, BLACK]], np.uint8)).tolist() == [[2, 0]]
    assert infer(colored(RED, BLACK), task="multiclass").num_classes == 2


def test_names_alone_do_not_say_which_colour_is_which() -> None:
    """classes= for colour masks is refused with a class_map= to fill in."""
    with pytest.raises(ClassMapError, match=r"Found: \(0, 0, 0\) 33\.3%.*class_map={'a': \("):
        infer(colored(RED, BLUE, BLACK), classes=["a", "b", "c"])


def test_colours_are_mapped_by_class_map() -> None:
    """class_map= gives each class its colour; unnamed colours are errors unless ignored."""
    wanted = {"road": RED, "#0000ff": "sea"}
    found = infer(colored(RED, BLUE, BLACK), class_map=wanted, ignore=[BLACK])
    assert (found.names, found.ignored_colors) == (("road", "sea"), (BLACK,))
    assert found.encode(np.array([[BLUE, BLACK, RED]], np.uint8)).tolist() == [[1, 255, 0]]
    with pytest.raises(ClassMapError, match=r"1 in all: \(0, 0, 0\) 33\.3%.*ignore=\[\(0, 0, 0\)\]\."):
        infer(colored(RED, BLUE, BLACK), class_map=wanted)
    with pytest.raises(ClassMapError, match="None of the colours"):
        infer(colored(RED, BLUE), class_map={"a": (1, 1, 1), "b": (2, 2, 2)})
    absent = infer(colored(RED, BLUE), class_map={"a": RED, "b": BLUE, "c": BLACK})
    assert "not found: c" in absent.note


def test_one_colour_against_the_rest() -> None:
    """class_map= with one colour makes the task binary."""
    found = infer(colored(RED, BLUE, BLACK), class_map={"road": RED})
    assert found.task == "binary"
    assert found.encode(np.array([[RED, BLUE, BLACK]], np.uint8)).tolist() == [[1, 0, 0]]


def test_numbers_for_colours_and_colours_for_numbers_are_refused() -> None:
    """A class_map= of the wrong kind is an error that shows what the masks hold."""
    with pytest.raises(ClassMapError, match=r"hold colours, but class_map gives numbers.*\(255, 0, 0\)"):
        infer(colored(RED, BLUE), class_map={"road": 1})
    with pytest.raises(ClassMapError, match="names colours, but the masks hold numbers"):
        infer(grey(0, 1), ignore=[RED])


def test_colour_masks_that_cannot_be_classes_are_refused() -> None:
    """Too many colours, a single one, or several for the binary task are errors."""
    many = [(at, 255 - at, 7) for at in range(80)]
    with pytest.raises(ClassMapError, match=r"80 different colours.*JPEG"):
        infer(colored(*many))
    with pytest.raises(ClassMapError, match="one colour only"):
        infer(colored(RED))
    with pytest.raises(ClassMapError, match="task='binary', but the masks hold"):
        infer(colored(RED, BLUE, BLACK), task="binary")


def test_one_mask_per_class_is_multilabel() -> None:
    """Masks per class overlap; 0/255 and 0/1 both work."""
    whites = Sample(IMAGE, (np.array([[0, 255]], np.uint8), np.array([[255, 255]], np.uint8)))
    found = infer(whites, classes=["road", "car"])
    assert (found.task, found.encoding) == ("multilabel", "threshold")
    ones = Sample(IMAGE, (np.array([[0, 1]], np.uint8), np.array([[1, 1]], np.uint8)))
    found = infer(ones)
    assert (found.names, found.values) == (("class_0", "class_1"), (1,))
    assert found.encode(np.array([[0, 1]], np.uint8)).tolist() == [[0, 1]]


def test_multilabel_masks_that_do_not_fit_are_refused() -> None:
    """Names of another number, another task, or masks with several classes are errors."""
    sample = Sample(IMAGE, (np.array([[0, 1]], np.uint8), np.array([[1, 2]], np.uint8)))
    with pytest.raises(ClassMapError, match="2 masks per image but 1 names"):
        infer(sample, classes=["road"])
    with pytest.raises(ClassMapError, match="every class has masks of its own"):
        infer(sample, task="binary")
    with pytest.raises(ClassMapError, match=r"0 and one more value; found 0 25.0%.*type ignore=\[\.\.\.\]"):
        infer(sample)


def test_borders_of_multilabel_masks_are_left_out_on_demand() -> None:
    """0, 1 and 255 in one mask are refused with the argument to type, which then works."""
    sample = Sample(IMAGE, (np.array([[0, 1]], np.uint8), np.array([[1, 255]], np.uint8)))
    with pytest.raises(ClassMapError, match=r"type ignore=\[255\]"):
        infer(sample)
    assert encoded(infer(sample, ignore=[255]), 0, 1, 255) == [0, 1, 255]
    whites = Sample(IMAGE, (np.array([[0, 255]], np.uint8), np.array([[254, 255]], np.uint8)))
    assert infer(whites, ignore=[254]).ignored == (254,)


def test_names_from_the_datasets_files_are_used() -> None:
    """A layout's names or values count unless arguments say otherwise; "void" is no class."""
    names = Layout((), names=("sky", "road"), names_source="classes.txt")
    assert infer(grey(0, 1), layout=names).names == ("sky", "road")
    assert infer(grey(0, 1), layout=names, classes=["a", "b"]).names == ("a", "b")
    with pytest.raises(ClassMapError, match=r"2 class names from classes\.txt"):
        infer(grey(0, 1, 2, 3), layout=names)
    values = Layout((), class_values={"sky": 3, "road": 9}, names_source="label_mapping.json")
    assert infer(grey(3, 9), layout=values).values == (3, 9)
    assert infer(grey(3, 9), layout=values, class_map={"a": 9, "b": 3}).names == ("a", "b")
    void = Layout((), names=("sky", "road", "Void"), names_source="codes.txt")
    found = infer(grey(0, 1, 2), layout=void)
    assert (found.names, found.ignored) == (("sky", "road"), (2,))
    assert "'Void' (value 2) in codes.txt is no class" in found.note


def test_void_in_a_mapping_file_does_not_count() -> None:
    """A value or colour that is called "void" and the like becomes 255, unless it is asked for by name."""
    listed = {"sky": 0, "void": 11, "road": 2, "Unlabeled": 7}
    values = Layout((), class_values=listed, names_source="label_mapping.json")
    samples = [grey(0, 2, 7, 11)]
    for arguments in ({}, {"classes": ["sky", "road"]}, {"classes": ["sky", "road"], "ignore": [7]}):
        found = infer(*samples, layout=values, **arguments)
        assert found.names == ("sky", "road")
        assert encoded(found, 0, 2, 7, 11) == [0, 1, 255, 255]
        assert "'void' (value 11) in label_mapping.json is no class; such pixels do not count" in found.note
    assert infer(*samples, layout=values, classes=list(listed)).names == tuple(listed)
    only = Layout((), class_values={"void": 0, "ignore": 1}, names_source="labels.json")
    assert infer(grey(0, 1), layout=only).names == ("void", "ignore")
    colors = Layout((), class_values={"sky": RED, "void": BLACK, "road": BLUE}, names_source="labels.json")
    found = infer(colored(RED, BLUE, BLACK), layout=colors)
    assert (found.names, found.ignored_colors) == (("sky", "road"), (BLACK,))
    assert "'void' (colour (0, 0, 0)) in labels.json is no class" in found.note


def test_values_from_the_datasets_files_count_for_the_names_given() -> None:
    """Names that a mapping file knows get its values and colours, in the order given; other names do not."""
    values = Layout((), class_values={"sky": 3, "road": 9, "car": 4}, names_source="label_mapping.json")
    found = infer(grey(3, 4, 9), layout=values, classes=["road", "sky", "car"])
    assert (found.names, found.values) == (("road", "sky", "car"), (9, 3, 4))
    assert infer(grey(3, 4, 9), layout=values, classes=["a", "b", "c"]).values == (3, 4, 9)
    colors = Layout((), class_values={"sky": RED, "road": BLUE}, names_source="label_mapping.json")
    found = infer(colored(RED, BLUE), layout=colors, classes=["road", "sky"])
    assert (found.names, found.colors) == (("road", "sky"), (BLUE, RED))


def test_void_in_a_list_does_not_count_where_its_classes_are_named() -> None:
    """Naming the list's classes without "Void" reads the masks as without naming them."""
    void = Layout((), names=("sky", "Void", "road"), names_source="codes.txt")
    for arguments in ({}, {"classes": ["sky", "road"]}):
        found = infer(grey(0, 1, 2), layout=void, **arguments)
        assert (found.names, found.values, found.ignored) == (("sky", "road"), (0, 2), (1,))


def test_jpeg_masks_of_black_and_white_are_read_and_named_in_the_note(tmp_path: Path) -> None:
    """Their compression noise is taken away, and the note says so; those of several classes are refused."""
    mask = np.zeros((32, 32), np.uint8)
    mask[5:20, 9:30] = 255
    Image.fromarray(mask).save(tmp_path / "noisy.jpg", quality=80)
    sample = Sample(IMAGE, tmp_path / "noisy.jpg")
    found = infer(sample, classes=["roof"])
    assert found.names == ("roof",)
    assert "JPEG masks with values near 0 and 255, read as exactly these: 1" in found.note
    assert "JPEG" not in infer(Sample(IMAGE, mask)).note
    Image.fromarray(mask // 3).save(tmp_path / "grey.jpg")
    with pytest.raises(SampleError, match=r"grey\.jpg: a JPEG file cannot hold a mask of several classes"):
        infer(sample, Sample(IMAGE, tmp_path / "grey.jpg"))


def test_large_datasets_are_sampled_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit, masks spread over the whole dataset are read, and the note says how many."""
    monkeypatch.setattr(mask_values, "MOST_MASKS", 4)
    samples = [grey(0, 1) for _ in range(9)] + [grey(0, 2)]
    assert infer(*samples).note.endswith("4 of 10 masks looked at")
    assert infer(*samples[:4]).note.count("looked at") == 0


def test_without_masks_there_are_no_classes() -> None:
    """Images alone are refused."""
    with pytest.raises(ClassMapError, match="No image has a mask"):
        infer(Sample(IMAGE))


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (np.array([[True, False]]), [1, 0]),
        (np.array([[0, 3]], np.int64), [0, 1]),
        (np.array([[0.0, 2.0]], np.float32), [0, 1]),
        (np.array([[[0], [9]]], np.int32), [0, 1]),
        (np.array([[0, -1]], np.int16), [0, 255]),
    ],
)
def test_arrays_of_any_whole_type_are_masks(mask: npt.NDArray[Any], expected: list[int]) -> None:
    """Bool, wide, float and negative values are read as what they are."""
    ignore = [-1] if mask.min() < 0 else None
    found = infer(Sample(IMAGE, mask), grey(0, 5), ignore=ignore, task="multiclass")
    values = mask_values.load_mask(mask).values
    assert found.encode(values).shape == (1, 2)
    assert (found.encode(values)[0] == 255).tolist() == [value == 255 for value in expected]


@pytest.mark.parametrize("mask", [np.zeros((2, 2, 4), np.uint8), np.zeros((0, 2)), np.array([["a"]]), np.zeros(3)])
def test_arrays_that_are_no_masks_are_refused(mask: npt.NDArray[Any]) -> None:
    """Shapes and types that cannot be masks are errors that show them."""
    with pytest.raises(SampleError, match="it has shape"):
        mask_values.load_mask(mask)
    with pytest.raises(SampleError, match="holds fractions"):
        mask_values.load_mask(np.array([[0.5]]))


@pytest.mark.parametrize("void", [False, True])
def test_a_photo_among_masks_of_ids_makes_no_single_class(void: bool) -> None:
    """Its values lie all over, but those of the others say what masks are; the odd one is named."""
    rng = np.random.default_rng(0)
    masks = [rng.integers(0, 6, (40, 40)).astype(np.uint8) for _ in range(6)]
    if void:
        for mask in masks:
            mask[:3] = 255
    photo = np.clip(rng.normal(120, 70, (40, 40)), 0, 255).astype(np.uint8)
    with pytest.raises(ClassMapError, match=r"different values .* of them in one mask alone, too many"):
        infer(*(Sample(mask, mask) for mask in (*masks, photo)))
    assert infer(smooth(), smooth(), smooth(0.1)).encoding == "threshold"
