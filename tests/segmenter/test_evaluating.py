"""Measuring: the model that comes back from `fit` or `load` has the best row's figures, to the last bit."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from easyseg import Segmenter
from easyseg.data.reading import load_dataset
from easyseg.data.shapes import write_shapes
from easyseg.errors import DataError, UnknownNameError
from easyseg.io.images import read_image, write_image
from easyseg.results import History, Report
from easyseg.structures import Sample

Fit = Callable[..., tuple[Segmenter, History]]
Draw = Callable[..., tuple[np.ndarray, np.ndarray]]


def differing(report: Report, row: dict[str, Any] | None) -> list[str]:
    """Return the names of the figures in which a report does not equal a history's row, to the last bit."""
    assert row is not None
    found = report.scores.to_dict(report.class_map.names)
    assert found.keys() <= row.keys()
    both_nan = {name for name, value in found.items() if math.isnan(value) and math.isnan(row[name])}
    return [name for name, value in found.items() if value != row[name] and name not in both_nan]


def agree(segmenter: Segmenter, history: History, data: Any, tmp_path: Path, split: Any = "val") -> Report:
    """Check that the fitted and the loaded model both have the best row's figures on `data`."""
    report = segmenter.evaluate(data, split=split)
    assert differing(report, history.best) == []
    loaded = Segmenter.load(segmenter.save(tmp_path / "model"))
    assert differing(loaded.evaluate(data, split=split), history.best) == []
    return report


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"ema": True, "encoder": "resnet18"},
        {"ema": 0.5, "evaluate_every": "1 steps"},
        {"resize": "stretch", "image_size": (32, 48)},
        {"resize": "crop", "encoder": "resnet18"},
        {"resize": None, "image_size": None},
        {"in_channels": 1},
        {"in_channels": 4},
        {"precision": "bf16", "encoder": "convnext_atto"},
        {"precision": "fp32", "batch_size": 3, "cache": "none"},
    ],
    ids=lambda settings: ",".join(settings) or "usual",
)
def test_figures_equal_the_best_row(fit: Fit, shapes: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    """Whatever the settings, `evaluate` after `fit` and after `load` repeats the history's best row."""
    segmenter, history = fit(shapes, epochs=3, **settings)
    report = agree(segmenter, history, shapes, tmp_path)
    assert report.split == "val"
    assert len(report.images) == 2


def test_best_row_need_not_be_the_last(fit: Fit, shapes: Path, tmp_path: Path) -> None:
    """The weights that come back are those of the best evaluation."""
    segmenter, history = fit(shapes, epochs=3, min_delta=0.99)  # nothing is so much better
    assert history.best is history.rows[0]
    agree(segmenter, history, shapes, tmp_path)


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_other_validation_data_in_memory(fit: Fit, arrays: Draw, tmp_path: Path, task: str) -> None:
    """Figures are those of the data given as `validation`, all of it, for every task."""
    training, validation = arrays(task, count=6), arrays(task, count=3, size=33, seed=9)
    segmenter, history = fit(training, validation)
    assert segmenter.class_map is not None
    assert segmenter.class_map.task == task
    assert len(agree(segmenter, history, validation, tmp_path).images) == 3


def test_other_validation_folder(fit: Fit, shapes: Path, tmp_path: Path) -> None:
    """A folder with a validation split of its own is measured there."""
    other = write_shapes(tmp_path / "other", count=10, size=36, seed=5)
    segmenter, history = fit(shapes, other)
    assert len(agree(segmenter, history, other, tmp_path).images) == 2


def test_drawn_validation_split_is_found_again(fit: Fit, cells: Path, tmp_path: Path) -> None:
    """A binary folder without splits: `evaluate` measures the very images that `fit` put aside, in any seed."""
    segmenter, history = fit(cells, seed=7)
    report = agree(segmenter, history, cells, tmp_path)
    drawn = load_dataset(cells, seed=7).split("val")
    assert [image.name for image in report.images] == [sample.name for sample in drawn.samples]


def test_validation_folder_without_splits_is_measured_whole(fit: Fit, cells: Path, tmp_path: Path) -> None:
    """`fit` measures all of a folder given for validation alone, and so does `evaluate` when asked for all of it."""
    other = tmp_path / "other"
    for part in ("images", "masks"):
        for number in range(4):
            write_image(other / part / f"{number}.png", read_image(cells / part / f"cell_{number}.png"))
    segmenter, history = fit(cells, other)
    assert len(agree(segmenter, history, other, tmp_path, split="all").images) == 4


def test_in_memory_data_is_measured_whole(fitted: Segmenter, arrays: Draw) -> None:
    """Arrays without splits of their own have no part put aside, whichever split is asked for."""
    images, masks = arrays(count=5)
    for split in ("val", "test"):
        assert len(fitted.evaluate((images, masks), split=split).images) == 5


def test_what_was_put_aside_in_memory_is_found_again(fit: Fit, arrays: Draw, tmp_path: Path) -> None:
    """Of the very arrays that a model was trained on, the drawn validation images are measured; of others, all."""
    images, masks = arrays(count=9)
    segmenter, history = fit((images, masks), epochs=1)
    report = agree(segmenter, history, (images, masks), tmp_path)
    assert len(report.images) == 2
    assert report.origin == "2 of 9 images, drawn with seed 0; split='all' measures all"
    segmenter.save(tmp_path / "model.safetensors")
    again = Segmenter.load(tmp_path / "model.safetensors")
    assert len(again.evaluate((images, masks), split="train").images) == 7
    assert len(again.evaluate((images, masks), split="all").images) == 9
    changed = images.copy()
    changed[:, 0, 0] ^= 1
    assert len(again.evaluate((changed, masks)).images) == 9


def test_another_split_than_that_of_the_training_is_told(fit: Fit, cells: Path) -> None:
    """The same images from memory and from their folder have other names, by which a split is drawn."""
    dataset = load_dataset(cells)
    pairs = [(dataset.image(index), dataset.mask(index)) for index in range(len(dataset))]
    segmenter, _ = fit(pairs, epochs=1)
    told = "drawn with seed 0, not those that the training put aside; split='all' measures all"
    assert segmenter.evaluate(cells).origin.endswith(told)


def test_every_kind_of_data_gives_the_same_figures(fitted: Segmenter, shapes: Path) -> None:
    """A path, a Dataset, a list of Sample, and a list of pairs of arrays are one and the same."""
    dataset = load_dataset(shapes, classes=fitted.classes)
    val = dataset.split("val")
    expected = fitted.evaluate(shapes).scores.to_dict(fitted.classes)
    kinds: list[Any] = [
        str(shapes),
        dataset,
        val,
        list(val.samples),
        [(val.image(index), val.mask(index)) for index in range(len(val))],
        [Sample(val.image(index), val.mask(index)) for index in range(len(val))],
    ]
    for data in kinds:
        np.testing.assert_equal(fitted.evaluate(data).scores.to_dict(fitted.classes), expected)


def test_splits_are_measured_by_name(fitted: Segmenter, shapes: Path) -> None:
    """Each split has its own images; one that does not exist is named."""
    assert len(fitted.evaluate(shapes, split="train").images) == 8
    assert len(fitted.evaluate(shapes, split="test").images) == 2
    assert len(fitted.evaluate(shapes, split="all").images) == 12
    assert fitted.evaluate(shapes, split="test").split == "test"
    val = load_dataset(shapes, classes=fitted.classes).split("val")
    with pytest.raises(DataError, match=r"split 'test' of .*shapes is empty; there is: val 2"):
        fitted.evaluate(val, split="test")
    with pytest.raises(Exception, match=r"split='value'.*Did you mean 'val'"):
        fitted.evaluate(shapes, split="value")


def test_evaluating_twice_gives_the_same(fitted: Segmenter, shapes: Path) -> None:
    """And leaves the model as it was."""
    first, second = fitted.evaluate(shapes), fitted.evaluate(shapes)
    assert np.array_equal(first.confusion, second.confusion)
    assert not fitted.network.training
    assert all(weight.grad is None for weight in fitted.network.parameters())


def test_threshold_moves_the_balance(fit: Fit, cells: Path) -> None:
    """At 0 everything is the class, at 1 nothing is."""
    segmenter, _ = fit(cells, epochs=1)
    at_zero, at_one = (segmenter.evaluate(cells, threshold=value) for value in (0.0, 1.0))
    assert at_zero.confusion[0, :, 0].sum() == 0
    assert at_one.confusion[0, :, 1].sum() == 0


def test_batch_size_of_training_is_kept(fit: Fit, shapes: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """It can decide the last bit, so it travels with the model; another one may be asked for."""
    segmenter, _ = fit(shapes, epochs=1, batch_size=3)
    loaded = Segmenter.load(segmenter.save(tmp_path / "model"))
    seen: list[int] = []
    forward = type(loaded.network).forward

    def noted(model: Any, images: Any) -> Any:
        seen.append(len(images))
        return forward(model, images)

    monkeypatch.setattr(type(loaded.network), "forward", noted)
    loaded.evaluate(shapes, split="train")
    assert seen == [3, 3, 2]
    seen.clear()
    loaded.evaluate(shapes, split="train", batch_size=5)
    assert seen == [5, 3]


def test_data_with_other_classes_is_refused(fitted: Segmenter, cells: Path) -> None:
    """A dataset read with classes of its own names both lists and what to type."""
    with pytest.raises(DataError, match=r"expected background, disc, square, triangle.*class_map=segmenter\.class_map"):
        fitted.evaluate(load_dataset(cells))


def test_unknown_split_of_a_dataset_is_named(shapes: Path) -> None:
    """A Dataset itself offers the nearest name, too."""
    with pytest.raises(UnknownNameError, match=r"No split named 'valid'\. Did you mean 'val'"):
        load_dataset(shapes).split("valid")


def test_drawn_split_travels_with_the_model(fit: Fit, cells: Path, tmp_path: Path) -> None:
    """A folder is parted as it was for training, whatever seed and share that was, and the report says so."""
    segmenter, history = fit(load_dataset(cells, seed=5, validation_fraction=0.4), epochs=1)
    report = agree(segmenter, history, str(cells), tmp_path)
    assert len(report.images) == 3
    first = "val: 3 of 8 images, drawn with seed 5; split='all' measures all"
    assert str(report).splitlines()[0] == first
    assert report.to_dict()["origin"] in first
    assert segmenter.evaluate(cells, split="train").origin.startswith("5 of 8 images, drawn")
    assert str(segmenter.evaluate(cells, split="all")).splitlines()[0] == "all: 8 images"


def test_parts_of_a_drawn_dataset_keep_its_recipe(fit: Fit, cells: Path, tmp_path: Path) -> None:
    """Training on one part and validating on the other is the same as giving both at once."""
    dataset = load_dataset(cells, seed=2)
    segmenter, history = fit(dataset.split("train"), dataset.split("val"), epochs=1)
    agree(segmenter, history, str(cells), tmp_path)


def test_no_split_is_drawn_from_images_that_were_all_trained_on(fit: Fit, cells: Path, tmp_path: Path) -> None:
    """With a folder of its own for validation, "val" of the training's folder is refused, not made up."""
    other = shutil.copytree(cells, tmp_path / "other")
    for data in (cells, load_dataset(cells)):
        segmenter, _ = fit(data, other, epochs=1)
        with pytest.raises(DataError, match=r"split 'val' of .* is empty.*'all'"):
            segmenter.evaluate(cells)
