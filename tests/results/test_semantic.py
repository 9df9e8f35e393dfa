"""What `predict` returns for one image."""

from __future__ import annotations

import importlib
import math
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from easyseg import load_dataset
from easyseg.errors import ConfigError, OutputError, UnknownNameError
from easyseg.geometry import polygon_area
from easyseg.io.images import read_mask
from easyseg.results import SemanticResult
from easyseg.structures import IGNORE_INDEX, ClassMap

STREET = ClassMap("multiclass", ("sky", "road", "car"))
ROOF = ClassMap("binary", ("roof",))
TAGS = ClassMap("multilabel", ("wet", "dark"))


@pytest.fixture
def mask():
    """Sky above road, with a car of six pixels on it."""
    mask = np.zeros((20, 30), np.uint8)
    mask[10:] = 1
    mask[12:14, 5:8] = 2
    return mask


@pytest.fixture
def result(mask):
    """A result with its image."""
    return SemanticResult(mask=mask, class_map=STREET, image=np.full((20, 30, 3), 90, np.uint8), path=Path("a/b.png"))


def test_stem_is_the_name_without_its_suffix(result):
    """Other files are named after it."""
    assert result.stem == "b"
    assert SemanticResult(mask=result.mask, class_map=STREET, path=Path("photos/a.b.jpg")).stem == "a.b"


def test_areas_count_pixels(result):
    """Each class has its number of pixels."""
    assert result.areas() == {"sky": 300, "road": 294, "car": 6}


def test_areas_of_a_single_class():
    """In a binary mask the class is where it is 1, and ignored pixels are no part of it."""
    result = SemanticResult(mask=np.array([[0, 1, 1, IGNORE_INDEX]], np.uint8), class_map=ROOF)
    assert result.areas() == {"roof": 2}


def test_areas_of_overlapping_classes():
    """In a multilabel mask each class has a plane of its own."""
    result = SemanticResult(mask=np.array([[[1, 1]], [[0, 1]]], np.uint8), class_map=TAGS)
    assert result.areas() == {"wet": 2, "dark": 1}


def test_polygons_by_class(result):
    """Polygons come by class name, with the areas of the masks."""
    polygons = result.polygons()
    assert {name: sum(map(polygon_area, found)) for name, found in polygons.items()} == result.areas()
    assert list(result.polygons("car")) == ["car"]


def test_unknown_class_is_refused(result):
    """A class that does not exist is an error with the nearest name."""
    with pytest.raises(UnknownNameError, match=r"No class named 'cars'\. Did you mean 'car'"):
        result.polygons("cars")


def test_probabilities_are_computed_once(mask):
    """A function that computes the probabilities is called when they are first asked for, and only then."""
    calls = []

    def compute():
        calls.append(1)
        return np.zeros((3, 20, 30), np.float32)

    result = SemanticResult(mask=mask, class_map=STREET, probabilities=compute)
    assert not calls
    assert result.probabilities is result.probabilities
    assert calls == [1]


def test_probabilities_may_be_given(mask):
    """An array given is returned as it is."""
    given = np.ones((3, 20, 30), np.float32)
    assert SemanticResult(mask=mask, class_map=STREET, probabilities=given).probabilities is given


def test_missing_probabilities_say_what_to_do(result):
    """Probabilities that were not kept are an error that says how to get them."""
    with pytest.raises(OutputError, match=r"b\.png were not kept.*segmenter\.predict"):
        _ = result.probabilities


@pytest.mark.parametrize("kind", ["overlay", "mask"])
def test_pictures_without_legend_have_the_images_size(result, kind):
    """Without a legend, a picture lies exactly on the image."""
    assert result.plot(kind, legend=False).shape == (20, 30, 3)


def test_small_pictures_grow_beside_a_legend(result):
    """With a legend, a small picture is enlarged by a whole factor, so that the names are readable."""
    picture = result.plot()
    assert picture.shape[0] >= 20 * 11
    assert picture.shape[1] > 30 * 11


def test_side_by_side_shows_image_and_overlay(result):
    """The image stands left of the overlay."""
    picture = result.plot("side_by_side", legend=False)
    assert picture.shape[1] > 60
    assert (picture[-20:, :30] == 90).all()


def test_legend_names_the_classes_found_only(mask):
    """A class that is not in the mask is not in the legend."""
    without_car = np.where(mask == 2, 1, mask).astype(np.uint8)
    wide = SemanticResult(mask=mask, class_map=STREET).plot("mask")
    narrow = SemanticResult(mask=without_car, class_map=STREET).plot("mask")
    car = np.array(STREET.colors[2])
    assert (wide == car).all(axis=2).any()
    assert not (narrow == car).all(axis=2).any()


def test_nothing_found_is_said():
    """An empty prediction has a legend that says so."""
    result = SemanticResult(mask=np.zeros((400, 400), np.uint8), class_map=ROOF)
    assert (result.plot("mask")[:, 400:] < 100).any()
    assert repr(result) == "SemanticResult(image, 400×400: no class found)"


def test_unknown_kinds_are_refused(result):
    """A kind of picture that does not exist is an error with the nearest one."""
    with pytest.raises(UnknownNameError, match="Did you mean 'overlay'"):
        result.plot("overlya")
    with pytest.raises(UnknownNameError, match="Did you mean 'overlay'"):
        result.save("x.png", "overlya")


def test_overlay_needs_the_image(mask):
    """Without the image an overlay is refused, with what works instead."""
    with pytest.raises(OutputError, match=r"image of image was not kept.*result\.plot\('mask'\)"):
        SemanticResult(mask=mask, class_map=STREET).plot()


def test_saved_overlay_is_the_picture(result, tmp_path):
    """What is saved is what is drawn, and the path is returned."""
    path = result.save(tmp_path / "new" / "overlay.png")
    assert np.array_equal(np.asarray(Image.open(path)), result.plot(legend=False))
    with_legend = result.save(tmp_path / "legend.png", legend=True)
    assert np.array_equal(np.asarray(Image.open(with_legend)), result.plot())


def test_saved_mask_holds_class_ids(result, tmp_path):
    """A saved mask holds the ids themselves."""
    path = result.save(tmp_path / "mask.png", "mask")
    assert np.array_equal(np.asarray(Image.open(path)), result.mask)


def test_saved_mask_is_seen_in_colour(result, tmp_path):
    """A viewer shows the classes' colours, and the library's own reader finds ids and colours."""
    path = result.save(tmp_path / "mask.png", "mask")
    assert np.array_equal(np.asarray(Image.open(path).convert("RGB")), result.plot("mask", legend=False))
    raw = read_mask(path)
    assert raw.kind == "palette"
    assert raw.palette[:3] == STREET.colors
    assert np.array_equal(raw.values, result.mask)


def test_saved_mask_of_one_class_is_black_outside(tmp_path):
    """In a binary mask 0 is no class, so 1 has the first colour."""
    result = SemanticResult(mask=np.array([[0, 1]], np.uint8), class_map=ROOF)
    raw = read_mask(result.save(tmp_path / "mask.png", "mask"))
    assert raw.values.tolist() == [[0, 1]]
    assert raw.palette[:2] == ((0, 0, 0), ROOF.colors[0])


def test_saved_mask_of_another_format_holds_ids(result, tmp_path):
    """Formats without losses but PNG keep plain numbers."""
    assert np.array_equal(np.asarray(Image.open(result.save(tmp_path / "mask.tif", "mask"))), result.mask)


def test_saved_mask_of_overlapping_classes_is_a_picture(tmp_path):
    """Several classes per pixel do not fit into ids, so their colours are saved."""
    result = SemanticResult(mask=np.ones((2, 4, 5), np.uint8), class_map=TAGS)
    path = result.save(tmp_path / "mask.png", "mask")
    assert np.array_equal(np.asarray(Image.open(path)), result.plot("mask", legend=False))


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".webp"])
def test_ids_are_not_saved_with_losses(result, tmp_path, suffix):
    """A format that changes pixel values is refused for class ids, and nothing is written."""
    with pytest.raises(ConfigError, match=r"must not change.*mask\.png'"):
        result.save(tmp_path / f"mask{suffix}", "mask")
    assert not list(tmp_path.iterdir())


def test_repr_is_one_line_of_shares(result, mask):
    """The largest classes come first, with their share of the image."""
    assert repr(result) == "SemanticResult(b.png, 30×20: sky 50%, road 49%, car 1%)"
    mask[12:14, 5:8] = [[2, 1, 1], [1, 1, 1]]
    assert "car <1%" in repr(result)


def test_repr_of_many_classes_is_short():
    """More than five classes are summed up."""
    classes = ClassMap("multiclass", tuple("abcdefg"))
    result = SemanticResult(mask=np.arange(7, dtype=np.uint8)[None], class_map=classes)
    assert repr(result).endswith("2 more)")


def test_notebooks_show_picture_and_text(result):
    """The notebook's view is a picture with escaped text."""
    result.path = Path("<b>.png")
    shown = result._repr_html_()
    assert "data:image/png;base64," in shown
    assert "&lt;b&gt;.png" in shown
    assert "<b>" not in shown


def test_notebooks_show_the_mask_where_the_image_is_gone(mask):
    """Without the image the colours of the mask are shown."""
    assert "data:image/png" in SemanticResult(mask=mask, class_map=STREET)._repr_html_()


def test_show_opens_the_systems_viewer(result, monkeypatch):
    """Outside a notebook the picture goes to the system's viewer."""
    shown = []
    monkeypatch.setattr(Image.Image, "show", lambda picture, title=None: shown.append((picture.size, title)))
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    result.show("mask")
    assert shown[0][1] == "b.png"


def test_show_displays_in_a_notebook(result, monkeypatch):
    """In a notebook the picture goes below the cell."""
    shown = []
    monkeypatch.setitem(sys.modules, "ipykernel", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=shown.append))
    monkeypatch.setattr(importlib, "import_module", lambda name: sys.modules[name])
    result.show()
    assert isinstance(shown[0], Image.Image)


def test_instances_are_the_regions_of_each_class(mask):
    """Pixels that touch at a corner are one object; a background is none; ids count the classes of objects."""
    mask[0, 0] = mask[1, 1] = 2
    image = np.zeros((20, 30, 3), np.uint8)
    classes = ClassMap("multiclass", ("background", "road", "car"))
    found = SemanticResult(mask=mask, class_map=classes, image=image, path=Path("a/b.png")).instances()
    assert found.class_names == ("road", "car")
    assert found.counts() == {"road": 1, "car": 2}
    assert found.class_ids.tolist() == [0, 1, 1]
    assert found.areas().tolist() == [294, 2, 6]
    assert found.scores.tolist() == [1, 1, 1]
    assert np.array_equal(found.masks.sum(axis=0), mask != 0)
    assert (found.size_hw, found.image is image, found.name) == ((20, 30), True, "b.png")


def test_instances_can_be_chosen(result):
    """By area, and by class."""
    result.mask[0, 0] = 2
    assert result.instances().count() == 4
    assert result.instances(smallest_area=6).count("car") == 1
    assert result.instances(smallest_area=7).count("car") == 0
    only = result.instances(class_names=["car"])
    assert only.counts() == {"sky": 0, "road": 0, "car": 2}
    assert result.instances(class_names="car").count() == 2
    assert only.class_ids.tolist() == [2, 2]
    with pytest.raises(UnknownNameError, match="Did you mean 'car'"):
        result.instances(class_names=["cars"])
    with pytest.raises(ConfigError, match="smallest_area=0"):
        result.instances(smallest_area=0)


def test_instances_of_the_other_tasks():
    """A binary class, of which ignored pixels are no part, and classes that overlap."""
    roofs = SemanticResult(mask=np.array([[1, 0, 1, 1, IGNORE_INDEX, 1]], np.uint8), class_map=ROOF).instances()
    assert roofs.areas().tolist() == [1, 2, 1]
    tags = SemanticResult(mask=np.array([[[1, 1]], [[0, 1]]], np.uint8), class_map=TAGS).instances()
    assert tags.counts() == {"wet": 1, "dark": 1}
    assert tags.size_hw == (1, 2)


def test_area_of_the_largest_object_and_the_mean(result):
    """In pixels; 0 and NaN where there is no object."""
    assert result.largest_area == 300
    assert result.mean_area == 200
    empty = SemanticResult(mask=np.zeros((3, 4), np.uint8), class_map=ROOF)
    assert empty.largest_area == 0
    assert math.isnan(empty.mean_area)
    assert len(empty.instances()) == 0


@pytest.mark.skipif("EASYSEG_DATA" not in os.environ, reason="needs the real images")
def test_nuclei_are_counted():
    """As many as there are, in images whose nuclei do not touch; fewer where they do."""
    data = load_dataset(Path(os.environ["EASYSEG_DATA"]) / "dsb2018_nuclei")
    for index, touches in ((10, False), (18, False), (19, False), (28, False), (0, True)):
        truth = data.instances(index)
        mask = truth.masks.any(axis=0).astype(np.uint8)
        counted = SemanticResult(mask=mask, class_map=ClassMap("binary", ("nucleus",))).instances().count()
        assert counted < len(truth) if touches else counted == len(truth)
