"""A stand-in for the library below the command line, so that these tests train nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import easyseg
from easyseg.config import ModelSettings
from easyseg.io.images import write_image


class Calls:
    """What was called, in order: (name, positional arguments, keywords)."""

    def __init__(self) -> None:
        self.made: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.images: list[Path] = []

    def add(self, name: str, *arguments: Any, **keywords: Any) -> None:
        self.made.append((name, arguments, keywords))

    def keywords(self, name: str) -> dict[str, Any]:
        return next(keywords for called, _, keywords in self.made if called == name)

    def arguments(self, name: str) -> tuple[Any, ...]:
        return next(arguments for called, arguments, _ in self.made if called == name)


class FakeResult:
    def __init__(self, calls: Calls, path: Path) -> None:
        self.calls = calls
        self.path = path

    def save(self, path: Path, *, kind: str, legend: bool) -> None:
        self.calls.add("result.save", path, kind=kind, legend=legend)
        write_image(path, np.zeros((2, 2, 3), np.uint8))


class FakePredictions:
    def __init__(self, results: list[FakeResult]) -> None:
        self.timing = {"reading": 0.0, "network": 0.0}
        self._results = iter(results)

    def __iter__(self) -> FakePredictions:
        return self

    def __next__(self) -> FakeResult:
        return next(self._results)


class FakeReport:
    mean_iou = 0.5

    def __str__(self) -> str:
        return "mean IoU 0.500, drawn; split='all' measures all"

    def to_json(self) -> str:
        return '{"mean_iou": 0.5}'


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Records every call that reaches the library."""
    record = Calls()

    class FakeSegmenter:
        class_map = "the model's class map"
        classes = ("a", "b")
        settings = ModelSettings(seed=4)

        def __init__(self, **settings: Any) -> None:
            record.add("Segmenter", **settings)

        @classmethod
        def load(cls, path: Path, **settings: Any) -> FakeSegmenter:
            record.add("load", path, **settings)
            return cls()

        def fit(self, data: Any, validation: Any = None, **settings: Any) -> None:
            record.add("fit", data, validation, **settings)

        def evaluate(self, data: Any, **settings: Any) -> FakeReport:
            record.add("evaluate", data, **settings)
            return FakeReport()

        def predict(self, source: Any, **settings: Any) -> Any:
            record.add("predict", source, **settings)
            return FakePredictions([FakeResult(record, path) for path in record.images])

    def load_dataset(path: Any, **settings: Any) -> str:
        record.add("load_dataset", path, **settings)
        return f"dataset of {path}"

    monkeypatch.setitem(easyseg.__dict__, "Segmenter", FakeSegmenter)
    monkeypatch.setitem(easyseg.__dict__, "load_dataset", load_dataset)
    return record
