"""What the verbs return: a prediction, an evaluation's report, a training's history, a dataset's checkup."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from easyseg.results.checkup import Case as Case
    from easyseg.results.checkup import Checkup as Checkup
    from easyseg.results.checkup import ClassShare as ClassShare
    from easyseg.results.checkup import Finding as Finding
    from easyseg.results.found_object import FoundObject as FoundObject
    from easyseg.results.history import History as History
    from easyseg.results.instance_report import InstanceReport as InstanceReport
    from easyseg.results.instances import InstanceResult as InstanceResult
    from easyseg.results.learning_rates import LearningRateCurve as LearningRateCurve
    from easyseg.results.report import ImageScores as ImageScores
    from easyseg.results.report import Report as Report
    from easyseg.results.semantic import SemanticResult as SemanticResult

_HOME = {
    "Case": "checkup",
    "Checkup": "checkup",
    "ClassShare": "checkup",
    "Finding": "checkup",
    "FoundObject": "found_object",
    "History": "history",
    "ImageScores": "report",
    "InstanceReport": "instance_report",
    "InstanceResult": "instances",
    "LearningRateCurve": "learning_rates",
    "Report": "report",
    "SemanticResult": "semantic",
}

__all__ = [
    "Case",
    "Checkup",
    "ClassShare",
    "Finding",
    "FoundObject",
    "History",
    "ImageScores",
    "InstanceReport",
    "InstanceResult",
    "LearningRateCurve",
    "Report",
    "SemanticResult",
]


def __getattr__(name: str) -> Any:
    """Load a record when it is first used: a checkup needs no torch, a report does."""
    if name not in _HOME:
        raise AttributeError(f"module 'easyseg.results' has no attribute {name!r}")
    return getattr(importlib.import_module(f"easyseg.results.{_HOME[name]}"), name)
