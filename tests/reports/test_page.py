"""The HTML report of a run."""

from __future__ import annotations

import base64
import html.parser
import importlib.metadata
import io
import math
import re

import numpy as np
import pytest
from PIL import Image

from easyseg.errors import OutputError
from easyseg.reports.page import verdict, write_report
from easyseg.results import History, Report
from easyseg.structures import ClassMap

STREET = ClassMap("multiclass", ("sky", "<b>road</b>", "car"))
COUNTS = np.array([[90, 10, 0], [20, 80, 0], [0, 0, 0]])
VOID_TAGS = {"meta", "img", "br"}


class _Checker(html.parser.HTMLParser):
    """Collects tags, attributes and text, and notices tags that are not closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.links, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "xlink:href", "srcset") and value]
        if tag not in VOID_TAGS:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "xlink:href") and value]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def history():
    """Two epochs, the first the best."""
    history = History()
    for epoch, value in ((1, 0.5), (2, 0.4)):
        row = {"epoch": epoch, "step": epoch, "seconds": 90.0 * epoch, "learning_rate": 1e-3, "loss": 1.0}
        history.append({**row, "mean_iou": value}, is_best=epoch == 1)
    history.stopped = "it has not improved for 1 evaluation"
    return history


@pytest.fixture
def report():
    """One image without a car."""
    return Report.from_counts(COUNTS, COUNTS[None], names=["<i>1.png"], class_map=STREET, seconds=1.0)


def _checked(path):
    text = path.read_text(encoding="utf-8")
    checker = _Checker()
    checker.feed(text)
    assert checker.open == []
    return text, checker


def _write(tmp_path, **parts):
    path = tmp_path / "report.html"
    assert write_report(path, title="a <run>", settings={"loss": "<script>alert(1)</script>"}, **parts) == path
    return _checked(path)


def test_page_needs_nothing_else(tmp_path, history, report):
    """The page refers to no other file and no server, and runs no script."""
    picture = np.full((20, 30, 3), 90, np.uint8)
    text, page = _write(tmp_path, history=history, report=report, pictures=[("one", picture)])
    assert all(link.startswith(("data:", "#")) for link in page.links)
    assert not re.search(r"url\((?!#)|@import", text)
    assert "script" not in page.seen
    assert "link" not in page.seen


def test_everything_is_escaped(tmp_path, history, report):
    """Titles, classes, file names, captions, settings and notes cannot bring tags into the page."""
    picture = np.zeros((4, 4, 3), np.uint8)
    history.stopped = "<u>stop</u>"
    text, page = _write(
        tmp_path, history=history, report=report, pictures=[('"><s>', picture)], notes=["Note: <em>note</em>"]
    )
    assert not {"i", "u", "s", "em", "script", "run"} & set(page.seen)
    assert page.seen.count("b") == 7  # the figures on top and the note's name, and none from the class's name
    assert "&lt;b&gt;road&lt;/b&gt;" in text
    assert "&quot;&gt;&lt;s&gt;" in text


def test_page_says_it_all(tmp_path, history, report):
    """Figures, classes, worst images, notes, settings and versions stand on the page."""
    _, page = _write(tmp_path, history=history, report=report, notes=["Masks hold ids."])
    text = " ".join(page.text)
    for part in ("a <run>", f"{report.mean_iou:.4f}", "sky", "<i>1.png", "Masks hold ids.", "3 min"):
        assert part in text
    assert importlib.metadata.version("torch") in text
    assert "Best mean IoU 0.5000, in epoch 1 of 2." in text


def test_doubts_stand_on_top(tmp_path, history, report):
    """What may be wrong has a box before the first figure, with the word "Note" once; what is plain comes later."""
    text, page = _write(tmp_path, history=history, report=report, notes=["2 classes: a, b", "Note: white is 78 %."])
    assert text.index("white is 78 %.") < text.index("mean IoU</span>") < text.index("2 classes: a, b")
    assert page.text.count("Note") == 1
    assert "white is 78 %." in page.text


def test_one_is_not_many(tmp_path, history, report):
    """A single epoch on a single image is counted in the singular."""
    history.rows[:] = history.rows[:1]
    _, page = _write(tmp_path, history=history, report=report)
    assert {"epoch", f"{report.split} image"} <= set(page.text)


def test_legend_of_pictures_names_classes_that_occur(tmp_path):
    """Of very many classes, the legend has those in truth or prediction; the mistakes' colours follow."""
    classes = ClassMap("multiclass", tuple(f"class {number}" for number in range(81)))
    counts = np.zeros((81, 81), np.int64)
    counts[3, 7] = 10
    report = Report.from_counts(counts, counts[None], names=["a"], class_map=classes)
    text, _ = _write(tmp_path, report=report, pictures=[("one", np.zeros((4, 4, 3), np.uint8))])
    legend = re.search(r"<div class='legend'>(.*?)</div>", text)[1]
    assert re.findall(r"([\w ]+)</span>", legend) == ["class 3", "class 7", "wrong", "right", "ignored"]


def test_number_and_bar_have_room(tmp_path, report):
    """The bar of a share ends before the place of its number."""
    text, _ = _write(tmp_path, report=report)
    assert "background-size: calc(100% - 5.9rem) .5rem" in text


def test_absent_class_has_a_dash(tmp_path, report):
    """A class that was not measured has a dash and an empty bar, not a zero."""
    text, _ = _write(tmp_path, report=report)
    assert re.search(r"car</td><td class='bar' style='--share: 0.0%'>–</td>", text)


def test_pictures_are_inside(tmp_path, report):
    """A picture is embedded at its own size, with its caption."""
    picture = np.full((20, 30, 3), 90, np.uint8)
    _, page = _write(tmp_path, report=report, pictures=[("street.png", picture)])
    (link,) = [link for link in page.links if link.startswith("data:image/webp")]
    decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(link.partition(",")[2]))))
    assert decoded.shape == picture.shape
    assert abs(decoded.astype(int) - 90).max() < 4
    assert "street.png" in page.text


def test_charts_follow_the_colour_scheme(tmp_path, history, report):
    """Charts have the page's colours, not fixed dark ones, and the page has a dark and a print scheme."""
    text, _ = _write(tmp_path, history=history, report=report)
    assert "var(--ink)" in text.partition("<svg")[2]
    assert "#26262b" not in text
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_page_of_nothing(tmp_path):
    """Without history and report there is still a whole page with the settings."""
    text, page = _write(tmp_path, pictures=[("one", np.zeros((4, 4, 3), np.uint8))])
    assert "Nothing was measured." in page.text
    assert "svg" not in page.seen
    assert "Settings" in text


def test_missing_packages_are_left_out(tmp_path, monkeypatch):
    """A package that is not installed has no version on the page."""

    def version(name):
        if name == "timm":
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.2.3"

    monkeypatch.setattr(importlib.metadata, "version", version)
    _, page = _write(tmp_path)
    assert "torchvision" in page.text
    assert "timm" not in page.text


def test_page_that_cannot_be_written_is_named(tmp_path):
    """A path below a file is an error that names it, and leaves nothing behind."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"report\.html|file"):
        write_report(tmp_path / "file" / "report.html", title="t", settings={})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_verdict_names_best_end_and_hardest(history, report):
    """The words name the best figure, why training ended, the hardest classes, and what was not measured."""
    assert verdict(history, report) == (
        "Best mean IoU 0.5000, in epoch 1 of 2. Training ended: it has not improved for 1 evaluation. "
        "Hardest by IoU: <b>road</b> (0.73); easiest: sky (0.75). Not in the val split, so not measured: car."
    )


def test_verdict_without_a_best(history):
    """A run that kept nothing says so."""
    history.stopped = ""
    unkept = History()
    unkept.append(history.rows[0])
    assert verdict(unkept, None) == "1 epoch, and no evaluation was kept as the best."


def test_verdict_of_one_class():
    """With a single class there is no hardest and no easiest."""
    counts = np.array([[[8, 2], [1, 3]]])
    report = Report.from_counts(counts, counts[None], names=["a"], class_map=ClassMap("binary", ("roof",)))
    assert verdict(None, report) == "Nothing was measured."


@pytest.mark.parametrize(("seconds", "words"), [(59.6, "60 s"), (180, "3 min"), (7260, "2 h 1 min")])
def test_durations_are_readable(tmp_path, history, seconds, words):
    """Training time is in seconds, minutes or hours."""
    history.rows[-1]["seconds"] = seconds
    _, page = _write(tmp_path, history=history)
    assert words in page.text


def test_time_may_be_missing(tmp_path, history):
    """A history without times has no card for it."""
    history.rows[-1]["seconds"] = "?"
    _, page = _write(tmp_path, history=history)
    assert "training time" not in page.text


def test_one_class_has_no_means(tmp_path):
    """The figures of a single class are not called means."""
    counts = np.array([[[8, 2], [0, 0]]])
    report = Report.from_counts(counts, counts[None], names=["a"], class_map=ClassMap("binary", ("roof",)))
    assert math.isnan(report.mean_iou)
    _, page = _write(tmp_path, report=report)
    assert "IoU" in page.text
    assert "Dice" in page.text
