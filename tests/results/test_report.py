"""What `evaluate` returns."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from easyseg.results import Report
from easyseg.structures import ClassMap

STREET = ClassMap("multiclass", ("sky", "road", "<car>"))
IMAGE_COUNTS = np.array(
    [
        [[50, 0, 0], [0, 50, 0], [0, 0, 0]],
        [[20, 30, 0], [25, 25, 0], [0, 0, 0]],
        [[0, 0, 0], [0, 0, 0], [0, 0, 0]],
        [[90, 0, 0], [10, 0, 0], [0, 0, 0]],
    ]
)


@pytest.fixture
def report():
    """Four images: a perfect one, a bad one, one without any class, a middling one. No image has a car."""
    return Report.from_counts(
        torch.from_numpy(IMAGE_COUNTS.sum(axis=0)),
        torch.from_numpy(IMAGE_COUNTS),
        names=["good.png", "bad.png", "void.png", "middling.png"],
        class_map=STREET,
        split="test",
        seconds=2.0,
        timing={"reading": 0.5, "network": 1.2},
    )


def test_figures_follow_from_the_counts(report):
    """The dataset's figures are those of all pixels together, not means over images."""
    assert report.scores.iou[0] == 160 / 225
    assert report.mean_iou == (160 / 225 + 75 / 140) / 2
    assert report.pixel_accuracy == 235 / 300
    assert report.confusion.dtype == np.int64


@pytest.mark.parametrize(
    "name",
    [
        "mean_iou",
        "mean_dice",
        "mean_precision",
        "mean_recall",
        "mean_accuracy",
        "pixel_accuracy",
        "frequency_weighted_iou",
    ],
)
def test_short_names(report, name):
    """Every figure of the dataset is an attribute of the report, the very same number."""
    assert getattr(report, name) == getattr(report.scores, name)


def test_rows_of_classes(report):
    """Each class has a row; its share is of all pixels; an absent class is NaN."""
    sky, road, car = report.per_class
    assert (sky.name, sky.iou, sky.share) == ("sky", 160 / 225, 190 / 300)
    assert road.recall == 75 / 110
    assert math.isnan(car.iou)
    assert car.share == 0
    assert report.classes == STREET.names


def test_shares_of_overlapping_classes():
    """For classes that overlap, the share is of each class's own pixels."""
    counts = np.array([[[6, 0], [0, 2]], [[0, 0], [4, 4]]])
    classes = ClassMap("multilabel", ("wet", "dark"))
    report = Report.from_counts(counts, counts[None], names=["a"], class_map=classes)
    assert [row.share for row in report.per_class] == [0.25, 1.0]


def test_worst_images_come_first(report):
    """Images are ranked by mean IoU; those in which no pixel counts come last."""
    assert [image.name for image in report.worst(9)] == ["bad.png", "middling.png", "good.png", "void.png"]
    (worst,) = report.worst(1)
    assert worst.index == 1
    assert worst.pixel_accuracy == 0.45
    assert worst.mean_dice == pytest.approx((40 / 95 + 50 / 105) / 2)


def test_images_without_the_class_are_ranked_by_accuracy():
    """Images without truth of the one class are ranked by wrongly claimed pixels."""
    roof = ClassMap("binary", ("roof",))
    counts = np.array([[[[9, 1], [0, 0]]], [[[5, 5], [0, 0]]], [[[0, 0], [9, 1]]]])
    report = Report.from_counts(counts.sum(axis=0), counts, names=["a", "b", "c"], class_map=roof)
    assert [image.name for image in report.worst()] == ["c", "b", "a"]


def test_falsely_painted_images_stand_among_the_worst():
    """An image without the class that is painted all over stands before a middling one that has it; ties keep order."""
    roof = ClassMap("binary", ("roof",))
    middling, painted, clean = [[[0, 0], [5, 5]]], [[[1, 99], [0, 0]]], [[[100, 0], [0, 0]]]
    counts = np.array([clean, middling, clean, painted])
    report = Report.from_counts(counts.sum(axis=0), counts, names=["c", "middling", "d", "painted"], class_map=roof)
    assert math.isnan(report.images[3].mean_iou)
    assert [image.name for image in report.worst()] == ["painted", "middling", "c", "d"]


def test_table_has_every_figure(report):
    """The text is a table with a row per class, the means, and what the time went into."""
    lines = str(report).splitlines()
    assert lines[0] == "test: 4 images"
    assert lines[1].split() == ["class", "iou", "dice", "precision", "recall", "accuracy", "share"]
    assert lines[2].split()[:2] == ["sky", "0.7111"]
    assert lines[4].split() == ["<car>", "-", "-", "-", "-", "-", "0.0%"]
    assert lines[6].split()[:2] == ["mean", f"{report.mean_iou:.4f}"]
    assert lines[-1] == "4 images in 2.0 s, 2.0 a second: reading 25%, network 60%, other 15%"
    assert repr(report) == f"Report(test, 4 images, mean IoU {report.mean_iou:.4f})"


def test_time_may_be_unknown():
    """Without times there is no line on them; with the total alone it stands alone."""
    bare = Report.from_counts(IMAGE_COUNTS[0], IMAGE_COUNTS[:1], names=["a"], class_map=STREET)
    assert bare.timing_line() == ""
    assert str(bare).splitlines()[0] == "val: 1 image"
    assert math.isnan(bare.images_per_second)
    timed = Report.from_counts(IMAGE_COUNTS[0], IMAGE_COUNTS[:1], names=["a"], class_map=STREET, seconds=0.5)
    assert timed.timing_line() == "1 image in 0.5 s, 2.0 a second"


def test_json_is_plain_and_strict(report):
    """The JSON text has no NaN, which is no JSON, and the images' figures on request."""
    values = json.loads(replace(report, details=True).to_json())
    assert values["metrics"]["mean_iou"] == report.mean_iou
    assert values["classes"][2] == {**dict.fromkeys(values["classes"][2]), "name": "<car>", "share": 0.0}
    assert values["images"][1]["iou/sky"] == 20 / 75
    assert values["images"][2]["mean_iou"] is None
    assert values["confusion"] == IMAGE_COUNTS.sum(axis=0).tolist()
    assert "images" not in report.to_dict()


def test_many_absent_classes_have_no_rows():
    """What is there stays in sight; the others are a line below."""
    counts = np.zeros((1, 9, 9), np.int64)
    counts[0, 3, 3] = 10
    classes = ClassMap("multiclass", tuple(f"class {number}" for number in range(9)))
    report = Report.from_counts(
        torch.from_numpy(counts[0]), torch.from_numpy(counts), names=["a.png"], class_map=classes, split="val"
    )
    lines = str(report).splitlines()
    assert lines[2].startswith("class 3")
    assert lines[4].startswith("mean")
    assert lines[6] == (
        "Not in the val split, so not measured: class 0, class 1, class 2, class 4, class 5 and 3 more."
    )


def test_notebooks_show_the_table(report):
    """The notebook's view is the table, escaped."""
    assert "&lt;car&gt;" in report._repr_html_()


def test_confusion_is_drawn(report, tmp_path):
    """The confusion matrix is drawn as an array, and written where a path is given."""
    picture = report.plot_confusion(tmp_path / "confusion.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "confusion.png")), picture)
    assert (picture != 255).any()


def _drawn(report):
    axes = report.confusion_figure().axes[0]
    texts = [text.get_text() for text in axes.texts]
    columns = [label.get_text() for label in axes.get_xticklabels()]
    return texts, columns


def test_confusion_shows_shares_of_truth(report):
    """Cells are percent of the class's pixels; those that round to nothing are left blank."""
    assert _drawn(report) == (["84", "16", "32", "68"], list(STREET.names))


def test_confusion_of_one_class():
    """A binary report shows the class against the rest."""
    counts = np.array([[[8, 2], [1, 3]]])
    report = Report.from_counts(counts, counts[None], names=["a"], class_map=ClassMap("binary", ("roof",)))
    assert _drawn(report) == (["80", "20", "25", "75"], ["not roof", "roof"])


def test_confusion_of_overlapping_classes():
    """A multilabel report shows how much of each class was found."""
    counts = np.array([[[6, 0], [1, 3]], [[2, 2], [2, 2]]])
    classes = ClassMap("multilabel", ("wet", "dark"))
    report = Report.from_counts(counts, counts[None], names=["a"], class_map=classes)
    assert _drawn(report) == (["75", "25", "50", "50"], ["found", "missed"])


def test_many_classes_are_drawn_without_names():
    """A hundred classes draw as colours alone; names and figures would only blacken the picture."""
    classes = ClassMap("multiclass", tuple(f"class {i}" for i in range(100)))
    counts = np.eye(100, dtype=np.int64)
    report = Report.from_counts(counts, counts[None], names=["a"], class_map=classes)
    texts, columns = _drawn(report)
    assert texts == []
    assert "class 1" not in columns


def _of_81_classes(task="multiclass"):
    """A report of 81 classes: class 3 is in the truth and half of it was taken for class 7; no other class occurs."""
    classes = ClassMap(task, tuple(f"class {number}" for number in range(81)))
    if task == "multiclass":
        counts = np.zeros((81, 81), np.int64)
        counts[3, 3] = counts[3, 7] = 10
    else:
        counts = np.zeros((81, 2, 2), np.int64)
        counts[:, 0, 0] = 20
        counts[3], counts[7] = [[0, 0], [10, 10]], [[10, 10], [0, 0]]
    return Report.from_counts(counts, counts[None], names=["a"], class_map=classes)


def test_many_classes_that_do_not_occur_are_not_drawn():
    """Of 81 classes, the two in truth or prediction fill the picture, with their names; a few others would stay."""
    report = _of_81_classes()
    assert report.classes_to_draw() == [3, 7]
    assert _drawn(report) == (["50", "50"], ["class 3", "class 7"])
    few = ClassMap("multiclass", ("sky", "road", "car", "tree"))
    counts = np.diag([5, 0, 0, 0])
    assert Report.from_counts(counts, counts[None], names=["a"], class_map=few).classes_to_draw() == [0, 1, 2, 3]


def test_many_overlapping_classes_that_do_not_occur_are_not_drawn():
    """Likewise where classes overlap: a class that was predicted only has an empty row."""
    report = _of_81_classes("multilabel")
    (axes,) = report.confusion_figure().axes
    assert report.classes_to_draw() == [3, 7]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["class 3", "class 7"]
    assert [text.get_text() for text in axes.texts] == ["50", "50"]


def test_confusion_of_nothing_is_drawn():
    """Where no pixel counts, no class occurs, and the picture is an empty square."""
    classes = ClassMap("multiclass", tuple(f"class {number}" for number in range(9)))
    counts = np.zeros((9, 9), np.int64)
    report = Report.from_counts(counts, counts[None], names=["a"], class_map=classes)
    assert report.plot_confusion().ndim == 3


def test_names_in_any_alphabet_and_with_signs_are_drawn():
    """Class names the font lacks, and dollar signs, draw without a warning or an error."""
    counts = np.eye(2, dtype=np.int64)
    classes = ClassMap("multiclass", ("道路", "$x$ and $"))
    report = Report.from_counts(counts, counts[None], names=["a"], class_map=classes)
    assert report.plot_confusion().ndim == 3


def test_details_list_every_image_worst_first(report):
    """With details, the text names every image, the worst one first."""
    lines = str(replace(report, details=True)).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("image, worst first"))
    listed = [line.split()[0] for line in lines[start + 1 :]]
    assert listed == [image.name for image in report.worst(len(report.images))]
    assert len(str(report).splitlines()) < len(lines)
