"""What `predict` of a detector returns for one image."""

from __future__ import annotations

import json
import math
import tracemalloc
from pathlib import Path

import faster_coco_eval.core.mask as reference
import numpy as np
import pytest
from PIL import Image

from easyseg import InstanceResult
from easyseg.errors import ConfigError, OutputError, UnknownNameError
from easyseg.geometry import RunLengths, polygon_area, polygons_to_mask
from easyseg.io.images import read_image, read_mask
from easyseg.metrics import PredictedObjects
from easyseg.results import FoundObject, instances
from easyseg.results.object_pictures import object_colors

SIZE = (24, 40)
NAMES = ("person", "car")


def _masks():
    """A ring of 16 pixels, two parts of 12 pixels together, and a square of 9 that lies over one of them."""
    masks = np.zeros((3, *SIZE), np.uint8)
    masks[0, 2:7, 2:7] = 1
    masks[0, 3:6, 3:6] = 0
    masks[1, 10:12, 20:23] = masks[1, 15:17, 20:23] = 1
    masks[2, 15:18, 22:25] = 1
    return masks


def _objects(scores=(0.5, 0.9, 0.7), *, has_masks=True):
    run_lengths = tuple(RunLengths.from_mask(mask) for mask in _masks())
    boxes = [[2, 2, 7, 7], [20, 10, 23, 17], [22, 15, 25.5, 18]]
    return PredictedObjects([0, 1, 0], scores, run_lengths if has_masks else None, boxes)


def _result(objects=None, *, names=NAMES, image=True, path=Path("photos/street.a.jpg")):
    picture = np.full((*SIZE, 3), 90, np.uint8) if image else None
    return InstanceResult(
        _objects() if objects is None else objects, class_names=names, size_hw=SIZE, image=picture, path=path
    )


NOTHING = PredictedObjects([], [], ())


def test_arrays_are_sorted_by_score():
    """Masks, boxes, scores and classes, all in one order and of the types that are promised."""
    result = _result()
    assert result.scores.tolist() == pytest.approx([0.9, 0.7, 0.5])
    assert result.class_ids.tolist() == [1, 0, 0]
    assert np.array_equal(result.masks, _masks()[[1, 2, 0]])
    assert result.boxes.tolist() == [[20, 10, 23, 17], [22, 15, 25.5, 18], [2, 2, 7, 7]]
    assert (result.masks.dtype, result.boxes.dtype, result.scores.dtype) == (np.uint8, np.float32, np.float32)
    assert result.class_ids.dtype == np.int64
    assert len(result) == 3


def test_named_after_its_file():
    """Or "image", where there is none."""
    assert (_result().name, _result().stem) == ("street.a.jpg", "street.a")
    assert _result(path=None).name == "image"


def test_objects_one_by_one():
    """Each with its name, score, box, mask, area and outlines."""
    first, second, third = _result()
    assert isinstance(first, FoundObject)
    assert (first.class_name, first.class_id, first.score) == ("car", 1, 0.9)
    assert second.box == (22, 15, 25.5, 18)
    assert np.array_equal(third.mask, _masks()[0])
    assert third.mask.dtype == np.uint8
    assert [one.area for one in (first, second, third)] == [12, 9, 16]
    assert _result()[-1].area == 16
    with pytest.raises(IndexError):
        _result()[3]


def test_counting():
    """In all, of a class, and of each."""
    result = _result()
    assert result.count() == 3
    assert result.count("person") == 2
    assert result.counts() == {"person": 2, "car": 1}
    with pytest.raises(UnknownNameError, match="Did you mean 'person'"):
        result.count("persons")


def test_areas():
    """Pixels of each object, the largest and the mean; without objects 0 and NaN."""
    result = _result()
    assert result.areas().tolist() == [12, 9, 16]
    assert result.areas().dtype == np.int64
    assert result.largest_area == 16
    assert result.mean_area == pytest.approx(37 / 3)
    assert _result(NOTHING).largest_area == 0
    assert math.isnan(_result(NOTHING).mean_area)


def test_polygons_fill_to_the_masks():
    """One per part, with holes, at their places in the image."""
    outlines = _result().polygons()
    assert [len(parts) for parts in outlines] == [2, 1, 1]
    assert len(outlines[2][0].holes) == 1
    assert sum(polygon_area(part) for part in outlines[0]) == 12
    for parts, mask in zip(outlines, _masks()[[1, 2, 0]], strict=True):
        assert np.array_equal(polygons_to_mask(parts, SIZE), mask)


def test_filtering_returns_a_new_result():
    """By score, the threshold included, by class, and by both; image and path go along."""
    result = _result()
    certain = result.filter(score=0.7)
    assert certain.scores.tolist() == pytest.approx([0.9, 0.7])
    assert len(result) == 3
    assert (certain.image is result.image, certain.path, certain.size_hw) == (True, result.path, SIZE)
    assert certain.class_names == NAMES
    assert result.filter(class_names=["car"]).areas().tolist() == [12]
    assert result.filter(class_names="person").areas().tolist() == [9, 16]
    assert result.filter(score=0.6, class_names=["person"]).areas().tolist() == [9]
    assert len(result.filter(class_names=[])) == 0
    with pytest.raises(UnknownNameError, match="truck"):
        result.filter(class_names=["truck"])


def test_coco_reads_it():
    """The reference decodes the masks, and the values go through JSON."""
    rows = json.loads(json.dumps(_result().to_coco(7)))
    assert [row["category_id"] for row in rows] == [2, 1, 1]
    assert [row["id"] for row in rows] == [1, 2, 3]
    assert {row["image_id"] for row in rows} == {7}
    assert {row["iscrowd"] for row in rows} == {0}
    assert [row["score"] for row in rows] == [0.9, 0.7, 0.5]
    assert rows[1]["bbox"] == [22, 15, 3.5, 3]
    for row, mask in zip(rows, _masks()[[1, 2, 0]], strict=True):
        assert np.array_equal(reference.decode(row["segmentation"]), mask)
        assert row["area"] == int(mask.sum())


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_coco_reads_it_as_pycocotools_does():
    """Where it is installed."""
    coder = pytest.importorskip("pycocotools.mask")
    for row, mask in zip(_result().to_coco(), _masks()[[1, 2, 0]], strict=True):
        assert np.array_equal(coder.decode(row["segmentation"]), mask)


def test_coco_categories_can_be_numbered():
    """As another file numbers them; one for each class."""
    assert [row["category_id"] for row in _result().to_coco(category_ids=[18, 3])] == [3, 18, 18]
    with pytest.raises(ConfigError, match="1 category_ids for 2 classes"):
        _result().to_coco(category_ids=[1])


def test_coco_takes_the_number_of_an_image():
    """A file's name there is a mistake: nothing would be written."""
    with pytest.raises(ConfigError, match=r"image_id='x\.json'.*writes no file"):
        _result().to_coco("x.json")
    assert json.loads(json.dumps(_result().to_coco(np.int64(7))))[0]["image_id"] == 7


def test_one_object_in_words():
    """In a debugger, run lengths would flood the screen."""
    assert repr(_result()[0]) == "FoundObject(car 0.90, 12 pixels, box 20 10 23 17)"
    assert repr(_result(_objects(has_masks=False))[1]) == "FoundObject(person 0.70, box 22 15 26 18)"


def test_boxes_without_masks():
    """What needs pixels says so; the rest works."""
    result = _result(_objects(has_masks=False))
    assert not result.has_masks
    assert result.count() == 3
    assert result.plot().shape[2] == 3
    assert "segmentation" not in result.to_coco()[0]
    assert result.to_coco()[0]["bbox"] == [20, 10, 3, 7]
    assert "area" not in str(result)
    for ask in (lambda: result.masks, result.areas, result.polygons, lambda: result.largest_area):
        with pytest.raises(OutputError, match=r"Only the boxes .* result\.boxes.*Segmenter\('mask_rcnn'"):
            ask()


def test_numbers_are_saved_for_programs(tmp_path):
    """In the order of the result, the more certain on top; a .png shows them in colours."""
    file = _result().save(tmp_path / "new" / "ids.png", kind="mask")
    numbers = read_mask(file).values
    expected = np.zeros(SIZE, np.uint8)
    for number, mask in ((3, _masks()[0]), (2, _masks()[2]), (1, _masks()[1])):
        expected[mask == 1] = number
    assert np.array_equal(numbers, expected)
    with Image.open(file) as picture:
        assert picture.mode == "P"
        assert picture.convert("RGB").getpixel((20, 10)) == object_colors(3)[0]
    assert np.array_equal(read_mask(_result().save(tmp_path / "ids.tif", kind="mask")).values, expected)


def test_many_objects_take_two_bytes(tmp_path):
    """From 256 objects on."""
    for count, dtype in ((255, np.uint8), (256, np.uint16)):
        masks = tuple(RunLengths([place, 1, SIZE[0] * SIZE[1] - place - 1], SIZE) for place in range(count))
        result = _result(PredictedObjects([0] * count, [0.5] * count, masks))
        with Image.open(result.save(tmp_path / "ids.png", kind="mask")) as picture:
            numbers = np.asarray(picture)
        assert numbers.max() == count
        assert numbers.dtype == dtype or numbers.dtype.itemsize > 1
        assert numbers[count % SIZE[0] - 1, count // SIZE[0]] == count


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
def test_numbers_are_not_written_as_jpeg(tmp_path, suffix):
    """It would change them; the message has what to type."""
    with pytest.raises(ConfigError, match=r"objects' numbers must not change.*ids\.png', kind='mask'"):
        _result().save(tmp_path / f"ids{suffix}", kind="mask")


def test_pictures_are_saved(tmp_path):
    """With and without words; without, in the image's own size."""
    file = _result().save(tmp_path / "overlay.png", labels=False)
    assert read_image(file).shape == (*SIZE, 3)
    assert np.array_equal(read_image(file), _result().plot(labels=False))
    assert read_image(_result().save(tmp_path / "words.png")).shape[0] > SIZE[0]


def test_pictures():
    """Overlay, objects alone, and image beside overlay; the image itself is left alone."""
    result = _result()
    overlay = result.plot(labels=False)
    assert overlay.shape == (*SIZE, 3)
    assert (overlay != 90).any()
    assert (result.image == 90).all()
    alone = result.plot("mask", labels=False)
    assert (alone[_masks().any(axis=0) == 0] == 0).all()
    assert {tuple(color) for color in alone[_masks().any(axis=0) == 1].tolist()} >= set(object_colors(3))
    assert result.plot("side_by_side", labels=False).shape[1] > 2 * SIZE[1]


def test_small_pictures_are_enlarged_for_words():
    """By a whole factor."""
    height, width, _ = _result().plot().shape
    assert (height % SIZE[0], width % SIZE[1]) == (0, 0)
    assert width > 500


def test_pictures_that_cannot_be():
    """An unknown kind, and an overlay without an image."""
    with pytest.raises(UnknownNameError, match="overlay"):
        _result().plot("overlays")
    with pytest.raises(OutputError, match=r"street\.a\.jpg was not kept.*result\.plot\('mask'\)"):
        _result(image=False).plot()
    assert _result(image=False).plot("mask", labels=False).shape == (*SIZE, 3)


def test_words_beside_objects():
    """Class and score; with a single class the score alone, and a score of 1 is not worth writing."""
    assert _result()._labels() == ["car 0.90", "person 0.70", "person 0.50"]
    assert _result(PredictedObjects([0], [0.5], _objects().masks[:1]), names=("roof",))._labels() == ["0.50"]
    assert _result(_objects((1, 1, 1)))._labels() == ["person", "car", "person"]


def test_shown_and_in_notebooks(monkeypatch):
    """The picture and a line of text."""
    shown = []
    monkeypatch.setattr(instances, "show_picture", lambda picture, name: shown.append((picture.shape, name)))
    _result().show()
    assert shown == [(_result().plot().shape, "street.a.jpg")]
    html = _result()._repr_html_()
    assert 'src="data:image/png;base64,' in html
    assert "street.a.jpg, 40×24: 3 objects: 2 × person, 1 × car" in html
    assert "<figure>" in _result(image=False)._repr_html_()


def test_in_words():
    """One line, and a table of the most certain objects."""
    assert repr(_result()) == "InstanceResult(street.a.jpg, 40×24: 3 objects: 2 × person, 1 × car)"
    lines = str(_result()).splitlines()
    assert lines[0] == "street.a.jpg, 40×24: 3 objects: 2 × person, 1 × car"
    assert lines[1].split() == ["class", "score", "area", "box", "(x1,", "y1,", "x2,", "y2)"]
    assert lines[2].split() == ["1", "car", "0.90", "12", "20,", "10,", "23,", "17"]
    assert len(lines) == 5
    assert str(_result(NOTHING)) == "street.a.jpg, 40×24: 0 objects"


@pytest.mark.parametrize(
    ("class_ids", "names", "words"),
    [
        ([0, 0], ("roof", "shed"), "2 × roof"),
        (range(6), tuple("abcdef"), "6 objects: 1 × a, 1 × b, 1 × c, 1 × d, 1 × e, 1 more class"),
        ([0], ("object",), "1 object"),
        ([0, 1], ("object", "shed"), "2 objects: 1 × object, 1 × shed"),
        (range(8), tuple("abcdefgh"), "8 objects: 1 × a, 1 × b, 1 × c, 1 × d, 1 × e, 3 more classes"),
    ],
)
def test_counts_in_words(class_ids, names, words):
    """Classes that are not there are not named, and of many only the first."""
    ids = list(class_ids)
    objects = PredictedObjects(ids, [0.5] * len(ids), boxes=[[0, 0, 1, 1]] * len(ids))
    assert repr(_result(objects, names=names)).endswith(f": {words})")


def test_long_tables_are_cut():
    """After twenty objects."""
    objects = PredictedObjects([0] * 23, [0.5] * 23, boxes=[[0, 0, 1, 1]] * 23)
    lines = str(_result(objects)).splitlines()
    assert lines[-1].strip() == "... and 3 more"
    assert len(lines) == 23


def test_a_large_result_takes_little_memory():
    """100 objects of a 12-megapixel image are run lengths: 1.2 GB as bytes, and not even one mask at a time here."""
    size_hw = (3000, 4000)
    generator = np.random.default_rng(0)
    masks = []
    for left, top in generator.integers(0, (3600, 2600), (100, 2)).tolist():
        masks.append(RunLengths.from_patch(np.ones((400, 400), bool), (left, top), size_hw))
    tracemalloc.start()
    try:
        result = InstanceResult(
            PredictedObjects([0] * 100, [0.5] * 100, tuple(masks)), class_names=("roof",), size_hw=size_hw
        )
        assert result.areas().tolist() == [160_000] * 100
        assert sum(len(parts) for parts in result.polygons()) == 100
        assert len(result.to_coco()) == 100
        assert tracemalloc.get_traced_memory()[1] < 60e6
    finally:
        tracemalloc.stop()
