"""What `fit` returns."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from easyseg.errors import DataError, UnknownNameError
from easyseg.results import History, charts


def _row(epoch, **figures):
    return {"epoch": epoch, "step": 10 * epoch, "learning_rate": 0.1 / epoch, "loss": 1 / epoch, **figures}


@pytest.fixture
def history():
    """Three epochs, the second of them the best."""
    history = History()
    for epoch, value in enumerate([0.1, 1 / 3, 0.2], start=1):
        history.append(_row(epoch, mean_iou=value, val_loss=2.0 / epoch), is_best=epoch < 3)
    history.stopped = "all 3 epochs are done"
    return history


def test_best_is_what_was_said_to_be(history):
    """The best row is the last one that was appended as the best."""
    assert history.best is history.rows[1]
    assert history.best_epoch == 2


def test_without_a_best_there_is_none():
    """A history without a best row says so."""
    history = History()
    history.append(_row(1))
    assert history.best is None
    assert history.best_epoch is None


def test_rows_are_copies():
    """Changing a row after it was appended does not change the history."""
    row = _row(1)
    history = History()
    history.append(row)
    row["loss"] = 99.0
    assert history["loss"] == [1.0]


def test_figures_by_name(history):
    """A figure's course has a value per row, NaN where the row lacks it."""
    history.append({"epoch": 4})
    assert len(history) == 4
    assert history["mean_iou"][:3] == [0.1, 1 / 3, 0.2]
    assert math.isnan(history["mean_iou"][3])


def test_unknown_figure_is_refused(history):
    """A figure that no row has is an error with the nearest name."""
    with pytest.raises(UnknownNameError, match="Did you mean 'mean_iou'"):
        history["mean_iuo"]


def test_csv_keeps_every_bit(tmp_path):
    """Numbers read back are the same numbers, of the same types, and so is the best row."""
    values = [0.1 + 0.2, 1e-300, -0.0, math.inf, 1 / 3, 12345678901234567890.0]
    history = History("val_loss")
    for index, value in enumerate(values):
        history.append({"epoch": index, "iou/a,b": value, "note": 'say "hi"'}, is_best=index == 2)
    history.append({"epoch": 9, "iou/a,b": np.float64(0.7)})
    history.append({"epoch": 10, "extra": math.nan})
    history.to_csv(tmp_path / "history.csv")
    again = History.from_csv(tmp_path / "history.csv", monitor="val_loss")
    assert again.rows[:-1] == history.rows[:-1]
    assert math.isnan(again.rows[-1]["extra"])
    assert "iou/a,b" not in again.rows[-1]
    assert [type(value) for value in again.rows[0].values()] == [int, float, str]
    assert again.best == history.best
    assert again.monitor == "val_loss"


@pytest.mark.parametrize("text", ["", "epoch,loss\n1,2\n", "epoch,is_best\n1\n", "epoch,is_best\n1,0,7\n"])
def test_other_files_are_no_history(tmp_path, text):
    """A file with other columns, or rows of another length, is refused by name."""
    file = tmp_path / "history.csv"
    file.write_text(text)
    with pytest.raises(DataError, match=r"history\.csv is no history\.csv of easyseg"):
        History.from_csv(file)


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b'epoch,is_best\n"1,0'])
def test_unreadable_files_are_named(tmp_path, content):
    """A missing file, bytes that are no text and broken CSV are refused by name."""
    file = tmp_path / "history.csv"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DataError, match=r"history\.csv cannot be read as a history"):
        History.from_csv(file)


def test_text_says_how_it_went(history):
    """The words name the best figure, its epoch, and why training ended."""
    assert str(history) == "3 evaluations in 3 epochs; best mean_iou 0.3333 in epoch 2; all 3 epochs are done"
    assert repr(history) == f"History({history})"


def test_text_of_beginnings():
    """An empty history and one without a best row have words, too."""
    history = History()
    assert str(history) == "No evaluation yet."
    history.append(_row(1))
    assert str(history) == "1 evaluation in 1 epoch"


def test_plot_is_a_picture_and_a_file(history, tmp_path):
    """The curves are drawn as an array, and written where a path is given."""
    picture = history.plot(tmp_path / "curves.png")
    assert picture.shape[2] == 3
    assert picture.shape[1] > 2 * picture.shape[0] > 400
    assert np.array_equal(np.asarray(Image.open(tmp_path / "curves.png")), picture)
    assert (picture != 255).any()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_short_histories_can_be_drawn(count):
    """Nothing, one point, and points without the monitored figure draw without an error."""
    history = History("val_loss")
    for epoch in range(count):
        history.append({"epoch": epoch + 1, "step": epoch, "loss": 1.0})
    assert history.plot().ndim == 3


def test_a_single_evaluation_has_a_single_mark():
    """One epoch is marked as 1, without fractions of epochs beside it."""
    history = History()
    history.append(_row(1, mean_iou=0.5) | {"loss": 5.0}, is_best=True)
    shown = history._repr_html_()
    assert ">1<" in shown
    assert ">1.02<" not in shown


def _axes(values, losses=None):
    """Return the charts of the losses and of the monitored figure."""
    history = History()
    for epoch, (value, loss) in enumerate(zip(values, losses or [1.0] * len(values), strict=True), start=1):
        history.append({"epoch": epoch, "step": epoch, "loss": loss, "mean_iou": value}, is_best=epoch == 1)
    of_losses, monitored = charts.curves(history).axes[:2]
    return of_losses, monitored


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize(
    ("value", "limits"), [(0.0, (0, 1)), (0.1, (0, 0.2)), (0.5, (0, 1)), (0.7, (0, 1)), (3.0, (0, 6))]
)
def test_one_value_alone_stands_over_zero(value, limits, count):
    """One epoch, or a constant figure, is drawn over an axis from 0 on, not over a sliver around it."""
    for axes in _axes([value] * count, [value] * count):
        assert axes.get_ylim() == pytest.approx(limits)


def test_axes_do_not_reach_below_zero():
    """What begins at 0 has no room below it; what is far from 0, or negative, is drawn as closely as ever."""
    losses, monitored = _axes([0.0, 0.2, 0.5], [-0.5, -0.7, 0.2])
    assert monitored.get_ylim()[0] == 0
    assert losses.get_ylim()[0] < -0.7
    losses, monitored = _axes([0.8, 0.82, 0.81], [5.0, 4.0, 4.5])
    assert losses.get_ylim()[0] > 3
    assert monitored.get_ylim()[0] > 0.7


def test_a_single_point_is_marked_in_the_middle():
    """One evaluation, or one among others without the figure, is a dot that nothing cuts off."""
    for axes in _axes([0.5]):
        assert {(line.get_marker(), line.get_clip_on()) for line in axes.lines} == {("o", False)}
        assert sum(axes.get_xlim()) / 2 == pytest.approx(1)
    _, monitored = _axes([math.nan, 0.5, math.nan, math.nan])
    assert monitored.lines[0].get_marker() == "o"


def test_curves_without_losses_and_rates():
    """A history of the monitored figure alone draws just that."""
    history = History()
    history.append({"epoch": 1, "mean_iou": 0.5})
    shown = history._repr_html_()
    assert "training" not in shown
    assert "learning rate" not in shown


def test_evaluations_within_an_epoch_go_by_step(history):
    """Several evaluations in one epoch are drawn over the step."""
    assert ">epoch<" in history._repr_html_()
    history.append({**_row(3), "step": 35})
    assert ">step<" in history._repr_html_()


def test_notebooks_show_curves(history):
    """The notebook's view has the words, escaped, and the curves; an empty one has words only."""
    history.stopped = "<script>"
    shown = history._repr_html_()
    assert "&lt;script&gt;" in shown
    assert "<svg" in shown
    assert "<svg" not in History()._repr_html_()


@pytest.mark.parametrize("best", [0, 4, 9])
def test_best_is_marked_wherever_it_is(best):
    """The best row is marked and named at the beginning, in the middle and at the end."""
    history = History()
    for epoch in range(10):
        history.append(_row(epoch + 1, mean_iou=0.5), is_best=epoch == best)
    assert "best 0.5000" in history._repr_html_()
