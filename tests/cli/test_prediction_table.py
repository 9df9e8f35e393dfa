"""The table that `easyseg predict` writes."""

from __future__ import annotations

import contextlib
import csv
from pathlib import Path

import numpy as np
import pytest

from easyseg import devices
from easyseg.cli.prediction_table import open_table
from easyseg.errors import ConfigError, OutputError
from easyseg.geometry import RunLengths
from easyseg.metrics import PredictedObjects
from easyseg.results import InstanceResult, SemanticResult
from easyseg.structures import ClassMap

SIZE = (20, 30)


def rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table by the names of its columns."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def found(*boxes: tuple[int, int, int, int], masks: bool = True) -> InstanceResult:
    """Return a roof for each box: x1, y1, x2, y2."""
    whole = np.zeros((len(boxes), *SIZE), bool)
    for mask, (left, top, right, bottom) in zip(whole, boxes, strict=True):
        mask[top:bottom, left:right] = True
    runs = tuple(RunLengths.from_mask(mask) for mask in whole) if masks else None
    objects = PredictedObjects(
        np.zeros(len(boxes), np.int64), np.full(len(boxes), 0.75), runs, np.array(boxes, np.float64).reshape(-1, 4)
    )
    image = np.zeros((*SIZE, 3), np.uint8)
    return InstanceResult(objects, class_names=("roof",), size_hw=SIZE, image=image, path=Path("a, b.jpg"))


def test_a_row_for_each_object(tmp_path: Path) -> None:
    """With class, score, box and area; an image without any is counted, and boxes alone have no area."""
    with open_table(str(tmp_path / "deep" / "t.csv"), overwrite=False) as table:
        assert table is not None
        for result in (found((2, 3, 9, 8), (10, 10, 25, 20)), found(), found((1, 1, 4, 5), masks=False)):
            table.add(result)
    first, second, none, box = rows(tmp_path / "deep" / "t.csv")
    assert first["image"] == "a, b.jpg"
    assert [first[name] for name in ("class", "score", "area")] == ["roof", "0.7500", "35"]
    assert [float(second[side]) for side in ("x1", "y1", "x2", "y2")] == [10, 10, 25, 20]
    assert set(none.values()) == {"a, b.jpg", ""}
    assert (box["class"], box["area"]) == ("roof", "")


def test_a_row_for_each_class(tmp_path: Path) -> None:
    """With its pixels, and their share of the image."""
    mask = np.zeros(SIZE, np.uint8)
    mask[:5] = 1
    classes = ClassMap("multiclass", ("ground", "roof"), values=(0, 1))
    result = SemanticResult(mask=mask, class_map=classes)
    with open_table(str(tmp_path / "t.csv"), overwrite=False) as table:
        assert table is not None
        table.add(result)
    ground, roof = rows(tmp_path / "t.csv")
    assert roof == {"image": "image", "class": "roof", "pixels": "150", "share": "0.250000"}
    assert ground["pixels"] == "450"


def test_tables_are_whole_or_not_there(tmp_path: Path) -> None:
    """Nothing is replaced unasked, and nothing is left of one that was not finished."""
    path = tmp_path / "t.csv"
    path.write_text("mine")
    with pytest.raises(OutputError, match="exists already"), open_table(str(path), overwrite=False):
        pass
    with contextlib.suppress(RuntimeError), open_table(str(path), overwrite=True) as table:
        assert table is not None
        table.add(found())
        raise RuntimeError
    assert path.read_text() == "mine"
    with open_table(str(path), overwrite=True):
        pass
    assert path.read_text() == ""
    assert [each.name for each in tmp_path.iterdir()] == ["t.csv"]


def test_several_processes_have_no_common_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would hold a part of the images."""
    monkeypatch.setattr(devices, "process_numbers", lambda: devices.ProcessNumbers(0, 2, 0, 2))
    with pytest.raises(ConfigError, match="--table is for one process"), open_table("t.csv", overwrite=False):
        pass
    with open_table(None, overwrite=False) as table:
        assert table is None
