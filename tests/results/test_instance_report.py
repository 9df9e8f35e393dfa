"""The report of an instance segmentation: its table, its plain values, and what it says in words."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from easyseg.errors import DataError
from easyseg.geometry import RunLengths
from easyseg.io.images import read_image
from easyseg.metrics import InstanceScorer, PredictedObjects, TruthObjects
from easyseg.metrics.instance import Diagnosis, InstanceFigures, InstanceScores, MistakeFigures
from easyseg.reports.object_page import object_sections
from easyseg.results import InstanceReport
from easyseg.results.instance_verdict import verdict

KINDS = ("classification", "localisation", "both", "duplicate", "background", "missed")


def _mask(left, width=10):
    mask = np.zeros((20, 60), bool)
    mask[2:12, left : left + width] = True
    return RunLengths.from_mask(mask)


def _scorer(*, masks=True):
    """Two images and three classes, of which the last has no object; one object is missed, one is misnamed."""
    scorer = InstanceScorer(3, masks=masks)
    scorer.add(
        0, TruthObjects([0, 1], (_mask(0), _mask(20))), PredictedObjects([0, 0], [0.9, 0.3], (_mask(0), _mask(20)))
    )
    scorer.add(1, TruthObjects([0], (_mask(0),)), PredictedObjects([], []))
    return scorer


def _report(**settings):
    return InstanceReport.from_scorer(_scorer(), names=["roof", "a long name", "absent"], **settings)


def test_the_table():
    """One line per class, figures that do not exist as n/a, then recall, mistakes and the verdict."""
    lines = str(_report()).splitlines()
    assert lines[0] == "val: 3 objects in 2 images"
    assert lines[1].split() == [
        *["class", "mask", "AP", "AP50", "AP75", "small", "medium", "large", "AR100", "box", "AP", "objects"],
    ]
    assert lines[2].split() == ["roof", "0.5050", "0.5050", "0.5050", "0.5050", "n/a", "n/a", "0.5000", "0.5050", "2"]
    assert lines[3].split() == ["a", "long", "name", *["0.0000"] * 4, "n/a", "n/a", "0.0000", "0.0000", "1"]
    assert lines[4].split() == ["absent", *["n/a"] * 8, "0"]
    assert set(lines[5]) == {"-"}
    assert lines[6].split() == ["mean", *["0.2525"] * 4, "n/a", "n/a", "0.2500", "0.2525", "3"]
    assert len({len(line) for line in lines[1:7]}) == 1
    assert lines[7] == "recall with at most 1 or 10 predictions of a class: AR1 0.2500, AR10 0.2500"
    assert lines[9].split() == ["mistake", "count", "AP50", "lost"]
    assert lines[10].split() == ["classification", "1", "0.5000"]
    assert lines[15].split() == ["missed", "1", "0.2475"]
    assert lines[16] == "1 of 3 found at IoU .50, by 2 predictions"
    assert lines[18].startswith("Wrong classes hold the model back most: 1 prediction with a good outline")
    assert len(lines) == 19


def test_many_classes_without_objects_have_no_rows():
    """They would bury the others: the first ones are named in a line below, the rest are counted."""
    scorer = InstanceScorer(9)
    scorer.add(0, TruthObjects([0, 1], (_mask(0), _mask(20))), PredictedObjects([5], [0.9], (_mask(0),)))
    names = ["roof", "tree", *(f"kind {number}" for number in range(7))]
    report = InstanceReport.from_scorer(scorer, names=names)
    lines = str(report).splitlines()
    assert [line.split()[0] for line in lines[2:4]] == ["roof", "tree"]
    assert lines[5].startswith("mean")
    assert lines[6] == "Not in the val split, so not measured: kind 0, kind 1, kind 2, kind 3, kind 4 and 2 more."
    assert len(report.to_dict()["classes"]) == 9
    page = "".join(object_sections(report))
    assert "kind 4 and 2 more." in page
    assert "<td>kind" not in page


def test_the_table_of_boxes():
    """Without masks there is one kind of figures, and no column for the other."""
    report = InstanceReport.from_scorer(_scorer(masks=False), names=["a", "b", "c"])
    head = str(report).splitlines()[1]
    assert "box AP" in head
    assert "mask" not in head
    assert head.count("AP") == 3
    assert (report.kind, report.box_scores) == ("box", None)
    assert report.box_ap == report.ap
    assert report.metrics.keys() == report.scores.to_dict().keys()


def test_more_lines_where_there_is_more_to_say():
    """Training images, objects beyond the limit, and time."""
    report = _report(training=_scorer(), seconds=4.0, timing={"reading": 1.0}, split="test")
    report = replace(report, diagnosis=replace(report.diagnosis, num_beyond_limit=2))
    text = str(report)
    assert text.startswith("test: 3 objects in 2 images\n")
    assert "\non training images: mask AP 0.2525, AP50 0.2525\n" in text
    assert "\n2 objects cannot be found: images hold more than max_detections=100 of a class\n" in text
    assert text.endswith("2 images in 4.0 s, 0.5 a second: reading 25%, other 75%")


def test_figures_at_hand():
    """Short names, a short representation, and the same table in a notebook."""
    report = _report()
    assert (report.ap, report.ap50, report.ap75) == pytest.approx((0.252475,) * 3, abs=1e-6)
    assert report.box_ap == report.box_scores.overall.ap
    assert {"mask_ap", "box_ap50"} <= report.metrics.keys()
    assert repr(report) == "InstanceReport(val, 2 images, mask AP 0.2525)"
    assert report._repr_html_() == f"<pre>{report}</pre>"


def test_plain_values():
    """JSON holds everything, with null for what does not exist."""
    values = json.loads(_report(training=_scorer()).to_json())
    assert values["num_images"] == 2
    assert values["metrics"]["mask_ap_large"] is None
    assert values["training_metrics"]["mask_ap"] == values["metrics"]["mask_ap"]
    assert [row["name"] for row in values["classes"]] == ["roof", "a long name", "absent"]
    assert [row["num_objects"] for row in values["classes"]] == [2, 1, 0]
    assert values["classes"][2]["ap50"] is None
    assert [row["name"] for row in values["diagnosis"]["mistakes"]] == list(KINDS)
    assert values["diagnosis"]["verdict"] == _report(training=_scorer()).verdict
    assert json.loads(_report().to_json())["training_metrics"] is None


def test_as_many_names_as_classes():
    """One too few would shift every row."""
    with pytest.raises(DataError, match="1 class name for 3 measured classes"):
        InstanceReport.from_scorer(_scorer(), names=["roof"])


def _scores(ap=0.3, *, small=math.nan, medium=math.nan, large=math.nan, num_small=0, num_objects=100):
    figures = InstanceFigures(ap, 0.5, ap, small, medium, large, *[0.5] * 6)
    sizes = np.array([[num_objects, num_small, 0, 0]])
    return InstanceScores("mask", figures, (figures,), sizes, np.zeros((1, 10, 101)), 10, 100)


def _diagnosis(ap50=0.5, *, gains=None, counts=None, **changes):
    gains, counts = gains or {}, counts or {}
    mistakes = tuple(MistakeFigures(name, counts.get(name, 7), gains.get(name, 0.0)) for name in KINDS)
    found = Diagnosis(
        ap50=ap50,
        mistakes=mistakes,
        num_truths=100,
        num_found=50,
        num_predictions=90,
        num_images_with_truth=10,
        num_merged_images=0,
        median_merged_parts=0,
        num_beyond_limit=0,
    )
    return replace(found, **changes)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("classification", "Wrong classes hold the model back most: 7 predictions with a good outline under another"),
        ("localisation", "Rough outlines hold the model back most: 7 predictions with less than half of the overlap;"),
        ("both", "Rough outlines under wrong classes hold the model back most: 7 predictions near objects of another"),
        ("duplicate", "Repeated predictions hold the model back most: 7 predictions of objects that were found"),
        ("background", "Predictions where nothing is hold the model back most: 7 predictions on the background;"),
        ("missed", "Missed objects hold the model back most: 7 true objects that no prediction fits;"),
    ],
)
def test_the_costliest_mistake_is_named(kind, words):
    """With how often it happens and what AP50 would be without it."""
    others = dict.fromkeys(KINDS, 0.06)
    text = verdict(_scores(), _diagnosis(gains={**others, kind: 0.25}))
    assert text.startswith(words)
    assert text.endswith("; without this, mask AP50 would be 0.75 instead of 0.50.")


def test_when_no_mistake_stands_out():
    """Found, but roughly outlined; or simply good."""
    found = verdict(_scores(0.6), _diagnosis(0.97, gains={"missed": 0.02}))
    assert found.startswith("The objects are found (mask AP50 0.97), but their outlines are not close enough")
    assert found.endswith("it is AP 0.60.")
    mixed = verdict(_scores(0.4), _diagnosis(0.79, gains={"missed": 0.02}))
    assert mixed == "No kind of mistake holds the model back by itself (mask AP50 0.79, AP 0.40)."
    good = verdict(_scores(0.95), _diagnosis(0.97))
    assert good == "No kind of mistake holds the model back by itself (mask AP50 0.97, AP 0.95)."


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_are_not_called_outlines(kind):
    """What was measured on boxes is said of boxes."""
    boxes = replace(_scores(0.6), kind="box")
    found = verdict(boxes, _diagnosis(0.97))
    assert found.startswith("The objects are found (box AP50 0.97), but their boxes are not close enough")
    costly = verdict(boxes, _diagnosis(gains={kind: 0.25}))
    lost = verdict(boxes, _diagnosis(0, counts={kind: 80}, num_found=0))
    assert "outline" not in costly + lost
    assert "{" not in costly + lost
    if kind == "localisation":
        assert costly.startswith("Rough boxes hold the model back most: 7 predictions with less than half")
    if kind == "classification":
        assert "7 predictions with a good box under another class" in costly
        assert "80 with a good box under another class" in lost


def test_when_nothing_is_found():
    """No single correction helps then, so counts speak."""
    lost = _diagnosis(0, counts={"background": 80}, num_found=0)
    assert (
        verdict(_scores(0), lost) == "None of 100 objects is found: 90 predictions, 80 on the background. Train longer."
    )
    assert verdict(_scores(0), replace(lost, num_predictions=0)) == (
        "Nothing was predicted, of 100 objects: train longer; it is sure of none yet."
    )
    assert verdict(_scores(0), _diagnosis(0, gains={"localisation": 0.4}, num_found=0)).startswith("Rough outlines")


def test_when_there_is_nothing_to_find():
    """No verdict on images without objects."""
    assert verdict(_scores(math.nan), _diagnosis(math.nan, num_truths=0)) == (
        "There is nothing to diagnose: the images hold no true object that counts."
    )


def test_a_truth_that_merges_objects_comes_first():
    """In half of the images, and more than one; then nothing else matters but the costliest mistake."""
    costly = {"gains": {"background": 0.2}}
    text = verdict(_scores(), _diagnosis(num_merged_images=5, median_merged_parts=24, **costly), _scores(0.9))
    assert text.startswith(
        "The truth draws several objects as one: in 5 of 10 images, the only object of its class has 24 separate parts"
    )
    assert "Predictions where nothing is hold the model back most" in text
    assert "by heart" not in text
    assert "The truth" not in verdict(_scores(), _diagnosis(num_merged_images=4, **costly))
    assert "The truth" not in verdict(_scores(), _diagnosis(num_merged_images=1, num_images_with_truth=1, **costly))


@pytest.mark.parametrize(
    ("here", "there", "words"),
    [
        (0.3, 0.6, "It has learned its images by heart (AP 0.60 on training images against 0.30 here)"),
        (0.3, 0.31, "Even its training images are not learned yet (AP 0.31 on training images against 0.30 here)"),
        (0.7, 0.8, None),
        (0.04, 0.11, "Even its training images are not learned yet"),
        (0.01, 0.04, "Even its training images are not learned yet"),
        (0.3, math.nan, None),
    ],
)
def test_training_images_say_whether_more_data_help(here, there, words):
    """Much better on them: learned by heart. As bad: not learned. Good on both: nothing to say."""
    text = verdict(_scores(here), _diagnosis(gains={"missed": 0.2}), _scores(there))
    assert ("training images" in text) == (words is not None)
    assert words is None or words in text


def test_small_objects_are_named_where_they_matter():
    """Many of them, and much worse than larger ones."""
    costly = _diagnosis(gains={"missed": 0.2})
    text = verdict(_scores(small=0.1, large=0.6, medium=0.4, num_small=45), costly)
    assert text.endswith(
        "Small objects, of up to 32 x 32 pixels, are 45% of all and reach AP 0.10 against 0.60 of larger ones: "
        "a larger image_size helps them."
    )
    for sizes in (
        {"small": 0.1, "large": 0.6, "num_small": 19},
        {"small": 0.31, "large": 0.6, "num_small": 45},
        {"small": 0.01, "large": 0.05, "num_small": 45},
        {"small": 0.1, "num_small": 100},
        {"large": 0.6},
    ):
        assert "Small objects" not in verdict(_scores(**sizes), costly)
    # what training images say matters more
    text = verdict(_scores(small=0.1, large=0.6, num_small=45), costly, _scores(0.9))
    assert "by heart" in text
    assert "Small objects" not in text


def test_single_images():
    """Named, the worst first, and in the table and the plain values with `details`."""
    report = replace(_report(image_names=["a.jpg", "b.jpg"]), details=True)
    assert [image.name for image in report.images] == ["a.jpg", "b.jpg"]
    assert [image.index for image in report.worst()] == [1, 0]
    assert report.worst(1)[0].counts.num_missed == 1
    lines = str(report).splitlines()
    assert lines[-3].split() == ["image,", "worst", "first", "AP50", "objects", "not", "found", "wrong"]
    assert lines[-2].split() == ["b.jpg", "0.0000", "1", "1", "0"]
    values = json.loads(report.to_json())["images"]
    counts = {"num_truths": 2, "num_found": 1, "num_missed": 1, "num_wrong": 1, "ap50": 0.5}
    assert values[0] == {"name": "a.jpg", "index": 0} | counts
    assert "images" not in json.loads(_report().to_json())
    assert _report().worst() == []


def test_as_many_image_names_as_images():
    """One too few would leave an image without its name."""
    with pytest.raises(DataError, match="Image 1 was measured, but 1 name of images given"):
        _report(image_names=["a.jpg"])


def test_what_an_evaluation_adds():
    """Loss, speed, and where a drawn split comes from."""
    report = replace(
        _report(loss=1.5, seconds=4.0), origin="2 of 9 images, drawn with seed 0; split='all' measures all"
    )
    values = json.loads(report.to_json())
    assert (values["loss"], values["images_per_second"], values["origin"]) == (1.5, 0.5, report.origin)
    first = "val: 3 objects in 2 of 9 images, drawn with seed 0; split='all' measures all"
    assert str(report).splitlines()[0] == first
    assert json.loads(_report().to_json())["images_per_second"] is None
    assert _report().timing_line() == ""


@pytest.mark.parametrize("masks", [True, False])
def test_picture(tmp_path, masks):
    """Of curves and mistakes, also written to a file; without a single object, too."""
    report = InstanceReport.from_scorer(_scorer(masks=masks), names=["a", "b", "c"])
    picture = report.plot(tmp_path / "new" / "report.png")
    assert np.array_equal(read_image(tmp_path / "new" / "report.png"), picture)
    assert picture.dtype == np.uint8
    curves, costs = report.figure().axes
    assert f"of {'masks' if masks else 'boxes'}" in curves.get_title(loc="left")
    assert curves.get_legend().get_texts()[0].get_text() == "IoU .50: AP .25"
    assert costs.texts[0].get_text() == "0.50  (1)"
    assert [label.get_text() for label in costs.get_yticklabels()] == list(KINDS)
    empty = InstanceReport.from_scorer(InstanceScorer(2), names=["a", "b"]).figure()
    assert "AP n/a" in empty.axes[0].get_legend().get_texts()[0].get_text()
